"""Epsilons taken out of a graph: an arc into a state also leads where the epsilons out of that state lead.

Arcs into a state are multiplied, not those out of it: few n-grams end in a history that backs off, and all words leave
the state that it backs off to.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from kdasr.fsa import Graph, concatenated, join, renumbered


def without_epsilons(graph: Graph, num_words: int) -> Graph:
    """The graph with the same paths, less the epsilons on them; their scores and words go to the arcs before them.

    Only epsilons out of the start have no arc before them: the arcs after those are multiplied.

    Args:
        graph: label 0 is an epsilon.
        num_words: words of the lexicon; larger rows of `words` refer to `word_sequences`.

    Raises:
        ValueError: the epsilons have a cycle.
    """
    rows, num_states, epsilon = _WordRows(graph.word_sequences, num_words), graph.num_states, graph.label == 0
    if not epsilon.any():
        return graph
    left = _marked(num_states, graph.source[~epsilon], num_states - 1)  # not by epsilons alone
    ways = _closure(graph.arcs(epsilon), rows)
    ways = ways.arcs(left[ways.target])
    leading = ~epsilon & _marked(num_states, ways.source)[graph.target]
    led, direct = _followed(graph.arcs(leading), ways, rows), ~epsilon & left[graph.target]
    first = ways.arcs(ways.source == 0)
    second = _marked(num_states, first.target)
    starts = _preceded(
        first, concatenated([graph.arcs(direct & second[graph.source]), led.arcs(second[led.source])]), rows
    )
    reached = _marked(num_states, 0, graph.target[direct], led.target)
    found = concatenated([graph.arcs(direct & reached[graph.source]), led.arcs(reached[led.source]), starts])
    return renumbered(replace(found, word_sequences=rows.sequences), num_states - 1)


def _marked(num_states: int, *states: np.ndarray | int) -> np.ndarray:
    """Whether a state is among some, (num_states,) bool."""
    marks = np.zeros(num_states, bool)
    for some in states:
        marks[some] = True
    return marks


def _closure(epsilons: Graph, rows: _WordRows) -> Graph:
    """An arc for each path of epsilons; the first word comes last, since of equals k2's best path takes the last."""
    paths = [epsilons]
    while len(paths[-1]):
        if (paths[-1].source == paths[-1].target).any():
            raise ValueError("a cycle of epsilons")
        paths.append(_followed(paths[-1], epsilons, rows))
    found = concatenated(paths)
    return found.arcs(np.lexsort((-found.words, found.source)))


def _followed(arcs: Graph, ways: Graph, rows: _WordRows) -> Graph:
    """The arcs led on by each way that leaves their target, ways sorted by source."""
    arc, way = join(arcs.target, ways.source)
    arcs, ways = arcs.arcs(arc), ways.arcs(way)
    words = rows.joined(arcs.words, ways.words)
    return replace(arcs, target=ways.target, score=arcs.score + ways.score, words=words)


def _preceded(ways: Graph, arcs: Graph, rows: _WordRows) -> Graph:
    """The arcs that leave the target of a way, from the source of that way."""
    ways = ways.arcs(np.argsort(ways.target, kind="stable"))
    arc, way = join(arcs.source, ways.target)
    arcs, ways = arcs.arcs(arc), ways.arcs(way)
    words = rows.joined(ways.words, arcs.words)
    return replace(arcs, source=ways.source, score=ways.score + arcs.score, words=words)


class _WordRows:
    """Rows of words: 0 is none, then the single words, then sequences.

    Args:
        sequences: those that there are.
        num_words: single words.
    """

    def __init__(self, sequences: tuple[tuple[int, ...], ...], num_words: int) -> None:
        self._rows = [(), *((word,) for word in range(1, num_words + 1)), *sequences]
        self._numbers = {sequence: row for row, sequence in enumerate(self._rows)}
        self._num_words = num_words

    @property
    def sequences(self) -> tuple[tuple[int, ...], ...]:
        """All but the single words."""
        return tuple(self._rows[self._num_words + 1 :])

    def joined(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """Rows of the words of `first` and then `second`, both rows of shape (N,)."""
        found = np.where(first > 0, first, second)
        both = np.flatnonzero((first > 0) & (second > 0))
        pairs, place = np.unique(np.stack([first[both], second[both]]), axis=1, return_inverse=True)
        found[both] = np.array([self._row(*pair) for pair in pairs.T.tolist()], np.int32)[place.reshape(-1)]
        return found

    def _row(self, first: int, second: int) -> int:
        sequence = self._rows[first] + self._rows[second]
        if sequence not in self._numbers:
            self._numbers[sequence] = len(self._rows)
            self._rows.append(sequence)
        return self._numbers[sequence]
