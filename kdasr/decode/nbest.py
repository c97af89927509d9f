"""Exact n-best lists of lattices: the best n different word sequences, each by its best path.

k2's n-best lists are samples of paths. Here every state keeps the best n word sequences that lead to it, each once,
which is exact: two that differ on the way to a state differ at the end, whatever follows.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kdasr import io
from kdasr.decode.lattice import NO_STATE, Lattices
from kdasr.decode.paths import Weights

NBEST = "nbest.jsonl"


@dataclass(frozen=True)
class Hypothesis:
    """A word sequence and the scores of its best path.

    Attributes:
        words: word numbers.
        acoustic: log-likelihood, not scaled.
        graph: score of graph and transitions.
    """

    words: tuple[int, ...]
    acoustic: float
    graph: float


class Histories:
    """Word sequences as numbers, the same sequence always the same number; 0 is no word.

    Args:
        sequences: row -> word numbers that it adds.
    """

    def __init__(self, sequences: Sequence[Sequence[int]]) -> None:
        self.sequences = sequences
        self._numbers: dict[tuple[int, int], int] = {}  # (number of the sequence before, word)
        self._words: list[tuple[int, int]] = [(0, 0)]

    def extended(self, histories: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """The numbers of sequences (K,) with the words of rows (K,) added."""
        result, adding = histories.copy(), rows > 0
        keys, inverse = np.unique(np.stack([histories[adding], rows[adding]]), axis=1, return_inverse=True)
        numbers = [self._extended(int(history), int(row)) for history, row in keys.T]
        result[adding] = np.array(numbers, np.int64)[inverse.reshape(-1)]
        return result

    def _extended(self, history: int, row: int) -> int:
        for word in self.sequences[row]:
            number = self._numbers.setdefault((history, word), len(self._words))
            if number == len(self._words):
                self._words.append((history, word))
            history = number
        return history

    def words(self, history: int) -> tuple[int, ...]:
        """The word numbers of a sequence."""
        found = []
        while history:
            history, word = self._words[history]
            found.append(word)
        return tuple(reversed(found))


@dataclass(frozen=True)
class _Partial:
    """Word sequences that lead to states of one frame, with scores and number of words: columns sorted by state."""

    state: np.ndarray
    history: np.ndarray
    acoustic: np.ndarray
    graph: np.ndarray
    length: np.ndarray

    def __getitem__(self, rows: np.ndarray) -> _Partial:
        return _Partial(*(column[rows] for column in vars(self).values()))

    def best(self, weights: Weights, number: int) -> _Partial:
        """The best of each state, no word sequence twice."""
        lm_weight, penalty = weights
        total = self.graph + self.acoustic / lm_weight - self.length * penalty
        order = np.lexsort((-total, self.history, self.state))
        state, history = self.state[order], self.history[order]
        once = order[np.append(True, (np.diff(state) != 0) | (np.diff(history) != 0))[: len(order)]]
        once = once[np.lexsort((-total[once], self.state[once]))]
        state = self.state[once]
        return self[once[np.arange(len(once)) - np.searchsorted(state, state) < number]]


def nbest(
    lattices: Lattices, sequences: Sequence[Sequence[int]], weights: Weights, number: int
) -> list[list[Hypothesis]]:
    """The best word sequences of each lattice, best first; fewer where it holds fewer.

    Args:
        lattices: of a batch of N utterances.
        sequences: row -> word numbers.
        weights: by which they are ordered.
        number: of word sequences at most.

    Returns:
        A list for each utterance, empty where no path survived.
    """
    histories, lengths = Histories(sequences), np.array([len(sequence) for sequence in sequences])
    owner = {int(state): utterance for utterance, state in enumerate(lattices.final) if state != NO_STATE}
    found: list[list[Hypothesis]] = [[] for _ in lattices.final]
    starts = np.arange(lattices.frames[1])
    none, zero = np.zeros(len(starts), np.int64), np.zeros(len(starts))
    partial = _Partial(starts, none, zero, zero, none)
    for arcs, _, _ in lattices.steps():
        begin, end = (np.searchsorted(partial.state, lattices.source[arcs], side) for side in ("left", "right"))
        arc = np.repeat(np.arange(arcs.start, arcs.stop), end - begin)
        before = partial[np.arange(len(arc)) + np.repeat(end - np.cumsum(end - begin), end - begin)]
        words = lattices.words[arc]
        partial = _Partial(
            lattices.target[arc],
            histories.extended(before.history, words),
            before.acoustic + lattices.acoustic[arc],
            before.graph + lattices.graph[arc],
            before.length + lengths[words],
        ).best(weights, number)
        for row in np.flatnonzero(np.isin(partial.state, lattices.final)):
            words, scores = histories.words(partial.history[row]), (partial.acoustic[row], partial.graph[row])
            found[owner[int(partial.state[row])]].append(Hypothesis(words, *map(float, scores)))
    return found


class NbestLists:
    """The n-best lists of a set: `nbest.jsonl`, a line an utterance.

    Args:
        words: of the lexicon, in the order of their numbers.
        sequences: row -> word numbers.
        weights: by which lists are ordered.
        number: word sequences of each list; 0 makes none.
    """

    def __init__(self, words: Sequence[str], sequences: Sequence[Sequence[int]], weights: Weights, number: int) -> None:
        self.words, self.sequences, self.weights, self.number = words, sequences, weights, number
        self.lines: list[str] = []

    def add(self, ids: Sequence[str], lattices: Lattices) -> None:
        """Makes the lists of a batch."""
        if self.number:
            for id, found in zip(ids, nbest(lattices, self.sequences, self.weights, self.number), strict=True):
                texts = [
                    {"text": text_of(self.words, one.words), "acoustic": one.acoustic, "graph": one.graph}
                    for one in found
                ]
                self.lines.append(json.dumps({"id": id, "nbest": texts}) + "\n")


def write_lists(out: str | Path, lines: Sequence[str]) -> None:
    """Writes `nbest.jsonl`, utterances sorted, from the lines of lists."""
    io.write_text(Path(out) / NBEST, "".join(sorted(lines)))


def text_of(words: Sequence[str], numbers: Sequence[int]) -> str:
    """The words of word numbers, which begin at 1."""
    return " ".join(words[number - 1] for number in numbers)
