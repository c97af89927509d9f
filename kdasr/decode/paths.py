"""The best path of each lattice at many weights at once: a Viterbi search, frame by frame through a batch."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence

import numpy as np
import torch

from kdasr import jobs
from kdasr.decode.lattice import NO_STATE, Lattices

Weights = tuple[float, float]  # language-model weight, by which acoustic scores are divided; penalty of each word
Words = list[int] | None  # word numbers of an utterance, None where no path survived
BACK_POINTERS = 1 << 26  # at once, of 4 bytes
warnings.filterwarnings("ignore", "scatter_reduce")  # torch 1.13 calls it beta; torch 2 has it in the same form


def best_words(
    lattices: Lattices, sequences: Sequence[Sequence[int]], pairs: Sequence[Weights]
) -> dict[Weights, list[Words]]:
    """The words of the best path of each lattice at each pair of weights.

    A path's score is `graph + acoustic / lm_weight - penalty * words`, summed over its arcs, in float64.

    Args:
        lattices: of a batch of N utterances.
        sequences: row -> word numbers.
        pairs: of weights.

    Returns:
        Pair -> word numbers of each utterance, None where no path survived.
    """
    lengths = np.array([len(sequence) for sequence in sequences])
    parts = _parts(pairs, int(lattices.frames[-1]))
    found: dict[Weights, list[Words]] = {}
    for part, rows in zip(parts, jobs.in_threads(lambda part: _best_rows(lattices, lengths, part), parts), strict=True):
        for number, pair in enumerate(part):
            found[pair] = [
                None if final == NO_STATE else [word for row in rows[utterance][number] for word in sequences[row]]
                for utterance, final in enumerate(lattices.final)
            ]
    return found


def _parts(pairs: Sequence[Weights], num_states: int) -> list[Sequence[Weights]]:
    """The pairs in parts, one for each thread or more: products of a frame are too small for threads of their own."""
    threads = torch.get_num_threads()
    size = max(1, min(math.ceil(len(pairs) / threads), BACK_POINTERS // threads // max(1, num_states)))
    return [pairs[begin : begin + size] for begin in range(0, len(pairs), size)]


def _best_rows(lattices: Lattices, lengths: np.ndarray, pairs: Sequence[Weights]) -> list[list[np.ndarray]]:
    """Rows of word sequences along the best paths, by utterance and pair."""
    back = _back_pointers(lattices, lengths, pairs)
    num_frames, columns = len(lattices.frames) - 2, np.arange(len(pairs))
    given = np.zeros((len(lattices), len(pairs), num_frames), np.int32)
    state = np.repeat(lattices.final[:, None], len(pairs), axis=1)
    for t in reversed(range(num_frames)):
        begun = state[:, 0] >= lattices.frames[t + 1]  # the others end at an earlier frame
        arc = back[state[begun], columns]
        given[begun, :, t], state[begun] = lattices.words[arc], lattices.source[arc]
    spoken = given > 0
    pieces = np.split(given[spoken], np.cumsum(spoken.sum(axis=2))[:-1])
    return [pieces[row * len(pairs) : (row + 1) * len(pairs)] for row in range(len(lattices))]


def _back_pointers(lattices: Lattices, lengths: np.ndarray, pairs: Sequence[Weights]) -> np.ndarray:
    """The arc by which each state is reached best, at each pair: (S, W) int32.

    Args:
        lattices: S states.
        lengths: number of words in each row of word sequences.
        pairs: W of them.
    """
    weights = torch.tensor([[1.0, 1 / lm_weight, -penalty] for lm_weight, penalty in pairs], dtype=torch.float64).T
    back = torch.full((int(lattices.frames[-1]), len(pairs)), -1, dtype=torch.int32)
    best = torch.zeros(int(lattices.frames[1]), len(pairs), dtype=torch.float64)  # of the states of a frame
    for arcs, before, after in lattices.steps():
        source = torch.from_numpy(lattices.source[arcs] - before.start)
        target = torch.from_numpy(lattices.target[arcs] - after.start).long()
        parts = (lattices.graph[arcs], lattices.acoustic[arcs], lengths[lattices.words[arcs]])
        own = torch.from_numpy(np.stack(parts, axis=1).astype(np.float64))
        scores = best.index_select(0, source).addmm_(own, weights)  # (A, W)
        places = target[:, None].expand_as(scores)
        best = scores.new_full((after.stop - after.start, len(pairs)), -torch.inf)
        best = best.scatter_reduce(0, places, scores, "amax")
        numbers = torch.arange(arcs.start, arcs.stop, dtype=torch.int32)[:, None]
        winners = torch.where(torch.eq(scores, best.index_select(0, target)), numbers, -1)
        back[after] = back[after].scatter_reduce(0, places, winners, "amax")
    return back.numpy()
