"""Forced alignment: the best path of every utterance through the graph of its transcript, found by k2."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from kdasr import fsa
from kdasr.align import scratch
from kdasr.fsa import Graph

LogLikelihoods = Callable[[int, torch.Tensor], torch.Tensor]  # utterance number and pdfs (P,) -> matrix (T, P)


@dataclass(frozen=True)
class AlignOptions:
    """Options of forced alignment.

    Attributes:
        acoustic_scale: of log-likelihoods against transition probabilities (Kaldi's: 0.1).
        transition_scale: of transition log-probabilities (Kaldi's: 1).
        self_loop_scale: of staying in a state against leaving it (Kaldi's: 0.1).
        beam: the search is exact; of its lattice what lies within this much of the best path is kept.
        retry_beam: for utterances that the first beam loses to rounding.
        batch_frames: frames that are searched at once, padding included.
        max_bad: share of utterances that may fail before the verb refuses to go on.
    """

    acoustic_scale: float = 0.1
    transition_scale: float = 1.0
    self_loop_scale: float = 0.1
    beam: float = 1.0
    retry_beam: float = 20.0
    batch_frames: int = 5000
    max_bad: float = 0.05

    def __post_init__(self) -> None:
        if min(self.acoustic_scale, self.beam, self.retry_beam) <= 0 or self.batch_frames < 1:
            raise ValueError("acoustic_scale and beams must be above 0, batch_frames at least 1")
        if not 0 <= self.max_bad <= 1:
            raise ValueError(f"max_bad is a share between 0 and 1, found {self.max_bad}")


class Aligner:
    """Aligns a fixed set of utterances, as often as training asks; their graphs lie in a scratch file.

    Args:
        graphs: state-level graph of each utterance's transcript; read one at a time.
        lengths: frames of each utterance.
        options: scales and beams.
    """

    def __init__(self, graphs: Iterable[Graph], lengths: Sequence[int], options: AlignOptions) -> None:
        self.options, self.lengths = options, lengths
        self.batches = batches_by_length(lengths, options.batch_frames)
        self._pdfs: list[torch.Tensor] = []
        self._arcs = scratch.Rows(map(self._packed, graphs))

    def _packed(self, graph: Graph) -> np.ndarray:
        """Arcs as k2 wants them, with their transition ids: (num_arcs, 5) int32; the graph's pdfs are noted."""
        own, pdfs = _by_own_pdfs(graph)
        self._pdfs.append(pdfs)
        return np.concatenate([fsa.arcs(own), own.transition[:, None]], axis=1)

    def align(self, log_likelihoods: LogLikelihoods, transition_scores: torch.Tensor) -> list[np.ndarray | None]:
        """The best path of each utterance.

        Args:
            log_likelihoods: `log p(x | pdf)` of an utterance, unscaled, for the pdfs of its graph alone: of thousands
                of tied states a transcript has some hundred.
            transition_scores: scaled log-probability of each transition id, (num_transitions,).

        Returns:
            Transition ids `(T,)` int32 of each utterance; None where no path survives either beam.
        """
        paths: list[np.ndarray | None] = [None] * len(self.lengths)
        for batch in self.batches:
            matrices = [log_likelihoods(row, self._pdfs[row]).mul(self.options.acoustic_scale) for row in batch]
            graphs = self._scored(batch, transition_scores)
            found = _search(graphs, matrices, self.options.beam)
            lost = [row for row, path in enumerate(found) if path is None]
            if lost:
                again = fsa.k2().index_fsa(graphs, torch.tensor(lost, dtype=torch.int32))
                for row, path in zip(
                    lost,
                    _search(again, [matrices[row] for row in lost], self.options.retry_beam),
                    strict=True,
                ):
                    found[row] = path
            for row, utterance in enumerate(batch):
                paths[utterance] = found[row]
        return paths

    def _scored(self, batch: Sequence[int], transition_scores: torch.Tensor) -> Any:
        rows = [self._arcs[number] for number in batch]
        graphs = fsa.stack([fsa.of_arcs(each[:, :4], {"transition": each[:, 4]}) for each in rows])
        scaled = torch.cat([transition_scores, torch.zeros(1)])  # id -1 is the last
        graphs.scores = graphs.scores + scaled[graphs.transition.long()]
        return graphs


def _by_own_pdfs(graph: Graph) -> tuple[Graph, torch.Tensor]:
    """The graph with the pdfs that it has numbered without gaps, and these pdfs, (P,)."""
    pdfs = np.unique(graph.label[graph.label > 0])
    label = np.where(graph.label > 0, np.searchsorted(pdfs, graph.label) + 1, graph.label).astype(np.int32)
    return replace(graph, label=label), torch.from_numpy(pdfs.astype(np.int64) - 1)


def _search(graphs: Any, matrices: Sequence[torch.Tensor], beam: float) -> list[np.ndarray | None]:
    """The best path of each utterance, None where rounding or too few frames left none."""
    k2, dense = fsa.k2(), fsa.dense(matrices)
    try:
        rows = fsa.path_rows(fsa.best_paths(k2.intersect_dense(graphs, dense, beam)), "transition")
    except ValueError:  # k2 refuses the whole batch when rounding has torn one lattice
        if len(matrices) == 1:
            return [None]
        single = (k2.index_fsa(graphs, torch.tensor([row], dtype=torch.int32)) for row in range(len(matrices)))
        return [_search(graph, [matrix], beam)[0] for graph, matrix in zip(single, matrices, strict=True)]
    return [row if len(row) == len(matrix) else None for row, matrix in zip(rows, matrices, strict=True)]


def batches_by_length(lengths: Sequence[int], batch_frames: int) -> list[list[int]]:
    """Utterance numbers in batches, longest first, of at most `batch_frames` frames with padding."""
    order = sorted(range(len(lengths)), key=lambda number: -lengths[number])
    batches: list[list[int]] = []
    for number in order:
        if not batches or (len(batches[-1]) + 1) * lengths[batches[-1][0]] > batch_frames:
            batches.append([])
        batches[-1].append(number)
    return batches
