"""The training set in parts, each with its frames, graphs and current alignment in a worker process."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch

from kdasr.align import scratch
from kdasr.align.aligner import Aligner, AlignOptions
from kdasr.align.frontend import Cepstra, Frontend
from kdasr.align.gmm import Gmm, Statistics, accumulate
from kdasr.align.model import speaker_frames
from kdasr.align.segments import converted
from kdasr.align.utterances import NO_PATH, alignable, check_bad
from kdasr.data.table import FrameTable
from kdasr.lang.graph import alignment_graph
from kdasr.lang.lexicon import Lexicon
from kdasr.lang.topology import make_topology
from kdasr.lang.tree import Tree

NUM_PARTS = 4  # of a training set at least; they do not depend on the number of processes, so sums do not either
PART_FRAMES = 500_000  # of a part at most, but for its last utterance: statistics are gathered of a part at once


@dataclass(frozen=True)
class Share:
    """Utterances of a part, as they travel to its process.

    Attributes:
        features: folder of raw cepstra.
        ids: utterances.
        texts: transcript of each.
        lexicon: their words.
    """

    features: Path
    ids: Sequence[str]
    texts: Sequence[str]
    lexicon: Lexicon


@dataclass(frozen=True)
class TrainingSet:
    """Utterances that have features and a transcript.

    Attributes:
        features: raw cepstra.
        ids: utterances that can be aligned.
        texts: utterance id -> transcript.
        lexicon: pronunciations of their words.
        bad: id -> reason of those that cannot be aligned.
        max_bad: share that may be bad.
    """

    features: FrameTable
    ids: Sequence[str]
    texts: Mapping[str, str]
    lexicon: Lexicon
    bad: Mapping[str, str]
    max_bad: float

    @classmethod
    def of(cls, features: FrameTable, texts: Mapping[str, str], lexicon: Lexicon, max_bad: float) -> TrainingSet:
        """The set. Raises Refusal if more than `max_bad` of its utterances cannot be aligned."""
        ids, bad = alignable(features, texts, lexicon, make_topology(lexicon))
        check_bad(bad, len(ids) + len(bad), max_bad, features.folder)
        return cls(features, ids, texts, lexicon, bad, max_bad)

    @cached_property
    def shares(self) -> list[Share]:
        """The parts' utterances."""
        frames = sum(self.features.by_id[id].num_frames for id in self.ids)
        number = min(len(self.ids), max(NUM_PARTS, -(-frames // PART_FRAMES)))
        parts = [self.ids[first::number] for first in range(number)]
        return [Share(self.features.folder, part, [self.texts[id] for id in part], self.lexicon) for part in parts]

    def not_aligned(self, lost: Sequence[Sequence[int]]) -> list[str]:
        """Ids of all that have no alignment at the end, sorted; `lost` are, by part, the numbers of its utterances.

        Raises:
            Refusal: they are more than `max_bad`.
        """
        bad = dict(self.bad)
        bad |= {
            share.ids[number]: NO_PATH for share, numbers in zip(self.shares, lost, strict=True) for number in numbers
        }
        check_bad(bad, len(self.ids) + len(self.bad), self.max_bad, self.features.folder)
        return sorted(bad)


class Part:
    """A share of the training set; lives in a worker process, its frames, alignment and graphs in scratch files.

    Args:
        share: its utterances.
        tree: what the transition ids of `paths` mean.
        paths: alignment to begin with, transition ids (T,) of each utterance, None of one that has none.
        frontend: from cepstra to frames.

    Attributes:
        frames: of all utterances one after the other, (N, D) float32.
        transitions: their transition ids, -1 of those that are not aligned, (N,) int32.
        lengths: frames of each utterance.
    """

    def __init__(self, share: Share, tree: Tree, paths: Iterable[np.ndarray | None], frontend: Frontend) -> None:
        table = FrameTable(share.features)
        utterances = [table.by_id[id] for id in share.ids]
        self.share, self.tree = share, tree
        self.speakers = [utterance.speaker for utterance in utterances]
        self.lengths = [utterance.num_frames for utterance in utterances]
        self.edges = np.cumsum([0, *self.lengths])
        self.transitions = scratch.empty((sum(self.lengths),), np.int32)
        self.follow(paths)
        self.cepstra = Cepstra(table, utterances)
        self.see(frontend)

    @property
    def paths(self) -> list[np.ndarray | None]:
        """The alignment: transition ids (T,) of each utterance, None of one that has none."""
        each = (self.transitions[begin:end] for begin, end in pairwise(self.edges))
        return [path if len(path) and path[0] >= 0 else None for path in each]

    def follow(self, paths: Iterable[np.ndarray | None]) -> None:
        """Takes an alignment, as `paths` gives one."""
        for path, (begin, end) in zip(paths, pairwise(self.edges), strict=True):
            self.transitions[begin:end] = -1 if path is None else path

    @property
    def matrices(self) -> tuple[torch.Tensor, ...]:
        """The frames of each utterance, (T, D)."""
        return self.frames.split(self.lengths)

    def see(self, frontend: Frontend, transforms: Mapping[str, torch.Tensor] | None = None) -> None:
        """Makes the frames anew, with fMLLR of each speaker if it is given."""
        frames = None
        for x, begin in zip(speaker_frames(self.cepstra, frontend, transforms), self.edges, strict=False):
            if frames is None:
                frames = torch.from_numpy(scratch.empty((sum(self.lengths), x.shape[1]), np.float32))
            frames[begin : begin + len(x)] = x
        assert frames is not None  # a share has utterances
        self.frames = frames

    def tie(self, tree: Tree, options: AlignOptions, boost: float) -> None:
        """Takes a tree over: the alignment is converted, and graphs are made of its states.

        Args:
            tree: of the same topology.
            options: of the aligner.
            boost: log of the factor on silence's likelihood.
        """
        self.follow(None if path is None else converted(path, self.tree, tree) for path in self.paths)
        self.tree = tree
        lexicon = self.share.lexicon
        graphs = (alignment_graph(lexicon.known(text), lexicon, tree) for text in self.share.texts)
        self.aligner = Aligner(graphs, self.lengths, options)
        self.boost = torch.zeros(tree.num_pdfs)
        self.boost[tree.silence_pdfs()] = boost

    def align(self, gmm: Gmm, transition_scores: torch.Tensor) -> None:
        """Realigns; an utterance that is lost keeps no alignment until it is found again."""
        matrices, boost = self.matrices, self.boost

        def log_likelihoods(number: int, pdfs: torch.Tensor) -> torch.Tensor:
            return gmm.log_likelihoods(matrices[number], pdfs).add_(boost[pdfs])

        self.follow(self.aligner.align(log_likelihoods, transition_scores))

    def aligned(self) -> tuple[torch.Tensor, np.ndarray]:
        """Rows of `frames` that are aligned, (A,) long, and their transition ids, (A,)."""
        rows = np.flatnonzero(self.transitions >= 0)
        return torch.from_numpy(rows), self.transitions[rows]

    def spoken(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Rows of `frames` that are aligned to other phones than silence, (A,) long, and their pdfs, (A,) long."""
        rows, transitions = self.aligned()
        pdfs = self.pdfs(transitions)
        speech = ~torch.isin(pdfs, torch.tensor(self.tree.silence_pdfs()))
        return rows[speech], pdfs[speech]

    def statistics(self, gmm: Gmm) -> tuple[Statistics, np.ndarray, list[int]]:
        """Statistics of mixtures and transitions `(num_transitions,)` at the current alignment, and who is lost."""
        rows, transitions = self.aligned()
        counts = np.bincount(transitions, minlength=len(self.tree.table))
        lost = [number for number, path in enumerate(self.paths) if path is None]
        return accumulate(gmm, self.frames[rows], self.pdfs(transitions)), counts, lost

    def pdfs(self, transitions: np.ndarray) -> torch.Tensor:
        """The pdf of each transition id, long."""
        return torch.from_numpy(self.tree.table.pdf[transitions])
