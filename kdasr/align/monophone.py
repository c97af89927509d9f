"""Monophone GMMs from a flat start: equal alignment, then rounds of realignment, re-estimation and splitting.

The recipe is Kaldi's (Viterbi training, mixtures grown to a total number of Gaussians), its rounds fewer.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from kdasr import jobs, log
from kdasr.align.aligner import Aligner, AlignOptions
from kdasr.align.gmm import Gmm, Statistics, accumulate, flat_gmm, maximise, split
from kdasr.align.model import GmmModel, gmm_frames, scaled_transitions, transition_estimate
from kdasr.align.utterances import NO_PATH, alignable, check_bad
from kdasr.data.table import FrameTable
from kdasr.lang.graph import alignment_graph
from kdasr.lang.lexicon import Lexicon
from kdasr.lang.topology import equal_alignment, make_topology
from kdasr.lang.tree import Tree
from kdasr.refusal import Refusal

NUM_PARTS = 4  # of the training set; fixed, so that the sums do not depend on the number of processes


@dataclass(frozen=True)
class MonophoneOptions:
    """Options of monophone training.

    Attributes:
        iterations: rounds of re-estimation (Kaldi: 40).
        realign: rounds that begin with a realignment.
        gaussians: in all at the end (Kaldi: 1000).
        grow_until: round after which the mixtures grow no more (Kaldi: 30 of 40).
        power: Gaussians are shared out by occupancy to this power (Kaldi: 0.25).
        minimum_occupancy: frames that a Gaussian needs (Kaldi: 10, 3 in the first round).
        variance_floor: smallest variance (Kaldi: 0.001).
        boost_silence: factor of silence's likelihood in realignment (Kaldi: 1.0, its recipes 1.25).
        seed: of the directions in which Gaussians are split.
    """

    iterations: int = 30
    realign: tuple[int, ...] = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 14, 16, 18, 20, 23, 26)
    gaussians: int = 1000
    grow_until: int = 22
    power: float = 0.25
    minimum_occupancy: float = 10.0
    variance_floor: float = 0.001
    boost_silence: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.iterations < 1 or self.gaussians < 1 or min(self.boost_silence, self.variance_floor) <= 0:
            raise ValueError("iterations and gaussians must be at least 1, boost_silence and variance_floor above 0")


class Part:
    """A share of the training set with its graphs and its current alignment; lives in a worker process.

    Args:
        frames: (T, D) float32 of each utterance.
        texts: transcript of each.
        lexicon: their words.
        options: of the aligner.
        boost: log of the factor on silence's likelihood.
    """

    def __init__(
        self,
        frames: Sequence[torch.Tensor],
        texts: Sequence[str],
        lexicon: Lexicon,
        options: AlignOptions,
        boost: float,
    ) -> None:
        self.tree = Tree.monophone(make_topology(lexicon))
        self.table = self.tree.table
        self.matrices, self.lengths = list(frames), [len(matrix) for matrix in frames]
        self.frames = torch.cat(self.matrices)
        self.boost = torch.zeros(self.table.num_pdfs)
        self.boost[self.tree.silence_pdfs()] = boost
        graphs = (alignment_graph(lexicon.known(text), lexicon, self.tree) for text in texts)
        self.aligner = Aligner(list(graphs), self.lengths, options)
        phones = (_flat_phones(text, lexicon) for text in texts)
        self.paths = [
            equal_alignment(p, self.table, self.tree.topology, n) for p, n in zip(phones, self.lengths, strict=True)
        ]

    def align(self, gmm: Gmm, transition_scores: torch.Tensor) -> None:
        """Realigns; an utterance that is lost keeps no alignment until it is found again."""

        def log_likelihoods(batch: Sequence[int]) -> list[torch.Tensor]:
            joined = gmm.log_likelihoods(torch.cat([self.matrices[number] for number in batch])) + self.boost
            return list(joined.split([self.lengths[number] for number in batch]))

        self.paths = self.aligner.align(log_likelihoods, transition_scores)

    def statistics(self, gmm: Gmm) -> tuple[Statistics, np.ndarray, list[int]]:
        """Statistics of mixtures and transitions `(num_transitions,)` at the current alignment, and who is lost."""
        kept = [path if path is not None else np.full(n, -1) for path, n in zip(self.paths, self.lengths, strict=True)]
        transitions = np.concatenate(kept)
        rows = np.flatnonzero(transitions >= 0)
        pdfs = torch.from_numpy(self.table.pdf[transitions[rows]])
        counts = np.bincount(transitions[rows], minlength=len(self.table))
        lost = [number for number, path in enumerate(self.paths) if path is None]
        return accumulate(gmm, self.frames[torch.from_numpy(rows)], pdfs), counts, lost


def _flat_phones(text: str, lexicon: Lexicon) -> list[int]:
    silence = (lexicon.options.silence_phone,)
    variants = [silence, *(lexicon.pronunciations[word][0] for word in lexicon.known(text)), silence]
    return [lexicon.phone_ids[phone] for variant in variants for phone in variant]


def _make_part(arguments: tuple[Path, Sequence[str], Sequence[str], Lexicon, AlignOptions, float]) -> Part:
    features, ids, texts, lexicon, options, boost = arguments
    table = FrameTable(features)
    return Part(gmm_frames(table, [table.by_id[id] for id in ids]), texts, lexicon, options, boost)


def train(
    features: FrameTable,
    texts: Mapping[str, str],
    lexicon: Lexicon,
    options: MonophoneOptions,
    align_options: AlignOptions,
    num_jobs: int = 1,
) -> tuple[GmmModel, list[str]]:
    """Trains monophone mixtures from a flat start.

    Args:
        features: raw cepstra of the training set.
        texts: utterance id -> transcript.
        lexicon: pronunciations of their words.
        options: rounds, sizes, floors.
        align_options: scales and beams.
        num_jobs: processes that share the utterances.

    Returns:
        The model, and the ids of the utterances that have no alignment at the end, sorted.

    Raises:
        Refusal: more than `align_options.max_bad` of the utterances do not align.
    """
    tree = Tree.monophone(make_topology(lexicon))
    ids, bad = alignable(features, texts, lexicon, tree.topology)
    total = len(ids) + len(bad)
    check_bad(bad, total, align_options.max_bad, features.folder)
    shares = [ids[number::NUM_PARTS] for number in range(min(NUM_PARTS, len(ids)))]
    boost = float(np.log(options.boost_silence))
    items = [(features.folder, share, [texts[id] for id in share], lexicon, align_options, boost) for share in shares]
    gmm = flat_gmm(torch.cat(gmm_frames(features, [features.by_id[id] for id in ids])), tree.num_pdfs)
    with jobs.Workers(_make_part, items, num_jobs) as parts:
        model, lost = _rounds(parts, gmm, tree, options, align_options)
    bad |= {share[number]: NO_PATH for share, numbers in zip(shares, lost, strict=True) for number in numbers}
    check_bad(bad, total, align_options.max_bad, features.folder)
    return model, sorted(bad)


def _rounds(
    parts: jobs.Workers[Any, Part],
    gmm: Gmm,
    tree: Tree,
    options: MonophoneOptions,
    scales: AlignOptions,
) -> tuple[GmmModel, list[list[int]]]:
    """The model after all rounds, and by part the utterances without an alignment in the last one."""
    table, generator = tree.table, torch.Generator().manual_seed(options.seed)
    transitions = np.log(table.probability)
    lost: list[list[int]] = []
    for number in range(options.iterations + 1):  # round 0 is the flat start
        if number in options.realign:
            scores = scaled_transitions(
                table, torch.from_numpy(transitions).float(), scales.transition_scale, scales.self_loop_scale
            )
            parts.each(Part.align, gmm, scores)
        statistics, counts, lost = zip(*parts.each(Part.statistics, gmm), strict=True)  # type: ignore[assignment]
        total = functools.reduce(Statistics.__add__, statistics)
        if not total.num_frames:
            raise Refusal(
                f"no utterance aligns in round {number}",
                where="monophone training",
                do="check that audio and transcripts belong together, and that utterances are longer than their states",
            )
        transitions = transition_estimate(table, np.sum(counts, axis=0), transitions)
        before, occupancy = len(gmm), torch.bincount(gmm.pdf, weights=total.occupancy)
        gmm, removed = maximise(gmm, total, 3.0 if number == 0 else options.minimum_occupancy, options.variance_floor)
        log.event(
            f"round {number}: log-likelihood {total.log_likelihood / total.num_frames:.3f} per frame,"
            f" {before} Gaussians, {removed} removed, {sum(map(len, lost))} utterances not aligned"
        )
        if 1 <= number <= options.grow_until:
            wanted = table.num_pdfs + (options.gaussians - table.num_pdfs) * number // options.grow_until
            gmm = split(gmm, occupancy, wanted, options.power, generator)
    return GmmModel(gmm, torch.from_numpy(transitions).float(), tree), lost
