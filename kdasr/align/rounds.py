"""Rounds of realignment, re-estimation and splitting: what all GMM passes have in common.

The recipe is Kaldi's: Viterbi training, mixtures grown to a total number of Gaussians.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import torch

from kdasr import jobs, log
from kdasr.align.aligner import AlignOptions
from kdasr.align.gmm import Gmm, Statistics, maximise, split
from kdasr.align.model import scaled_transitions, transition_estimate
from kdasr.align.part import Part
from kdasr.lang.tree import Tree
from kdasr.refusal import Refusal

Parts: TypeAlias = "jobs.Workers[Any, Part]"
Before = Callable[[int, Gmm], Gmm]


@dataclass(frozen=True)
class RoundOptions:
    """Options that all passes have.

    Attributes:
        iterations: rounds of re-estimation (Kaldi: 40 of monophones, 35 of triphones).
        realign: rounds that begin with a realignment.
        gaussians: in all at the end (Kaldi: 1000 of monophones).
        grow_until: round after which the mixtures grow no more (Kaldi: 30 of 40, 25 of 35).
        power: Gaussians are shared out by occupancy to this power (Kaldi: 0.25, in speaker-adaptive training 0.2).
        minimum_occupancy: frames that a Gaussian needs (Kaldi: 10, 3 in the round of a flat start).
        split_occupancy: a pdf's Gaussians are split only while it has more frames than this for each (Kaldi: 20).
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
    split_occupancy: float = 20.0
    variance_floor: float = 0.001
    boost_silence: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        if (
            self.iterations < 1
            or self.gaussians < 1
            or min(self.boost_silence, self.variance_floor, self.split_occupancy) <= 0
        ):
            raise ValueError(
                "iterations and gaussians must be at least 1, boost_silence, variance_floor and split_occupancy above 0"
            )


def run(
    parts: Parts,
    gmm: Gmm,
    tree: Tree,
    options: RoundOptions,
    scales: AlignOptions,
    first: int = 1,
    before: Before | None = None,
) -> tuple[Gmm, torch.Tensor, list[list[int]]]:
    """Trains mixtures and transitions.

    Args:
        parts: the training set, with graphs of the tree and an alignment.
        gmm: mixtures to begin with.
        tree: of the graphs.
        options: rounds, sizes, floors.
        scales: of transitions in realignment.
        first: number of the first round; 0 is a flat start's, whose alignment is equal parts.
        before: (number of the round, mixtures) -> mixtures, called after a round's realignment; it may change the
            frames of the parts.

    Returns:
        The mixtures, log-probabilities of the transitions `(num_transitions,)`, and by part the utterances without an
        alignment in the last round.

    Raises:
        Refusal: no utterance aligns.
    """
    table, generator = tree.table, torch.Generator().manual_seed(options.seed)
    transitions = np.log(table.probability)
    lost: list[list[int]] = []
    for number in log.progress(range(first, options.iterations + 1), "rounds"):
        if number in options.realign:
            scores = scaled_transitions(
                table, torch.from_numpy(transitions).float(), scales.transition_scale, scales.self_loop_scale
            )
            parts.each(Part.align, gmm, scores)
        if before:
            gmm = before(number, gmm)
        statistics, counts, lost = zip(*parts.each(Part.statistics, gmm), strict=True)  # type: ignore[assignment]
        total = functools.reduce(Statistics.__add__, statistics)
        if not total.num_frames:
            raise Refusal(
                f"no utterance aligns in round {number}",
                where="GMM training",
                do="check that audio and transcripts belong together, and that utterances are longer than their states",
            )
        transitions = transition_estimate(table, np.sum(counts, axis=0), transitions)
        size, occupancy = len(gmm), torch.bincount(gmm.pdf, weights=total.occupancy)
        gmm, removed = maximise(gmm, total, 3.0 if number == 0 else options.minimum_occupancy, options.variance_floor)
        log.event(
            f"round {number}: log-likelihood {total.log_likelihood / total.num_frames:.3f} per frame,"
            f" {size} Gaussians, {removed} removed, {sum(map(len, lost))} utterances not aligned"
        )
        if 1 <= number <= options.grow_until:
            wanted = table.num_pdfs + (options.gaussians - table.num_pdfs) * number // options.grow_until
            gmm = split(gmm, occupancy, wanted, options.power, options.split_occupancy, generator)
    return gmm, torch.from_numpy(transitions).float(), list(lost)
