"""Graphs: of a transcript for alignment, of lexicon and n-gram for decoding; from phones down to HMM transitions.

At the phone level an arc's label is a phone number, then, in its context, an HMM number; at the state level it is
pdf + 1, and every arc that takes a frame carries its transition id.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from kdasr.fsa import ARRAYS, FINAL, Graph, make_graph
from kdasr.lang.lexicon import Lexicon
from kdasr.lang.tree import Tree
from kdasr.refusal import Refusal


def transcript_graph(words: Sequence[str], lexicon: Lexicon) -> Graph:
    """The phone-level graph of a transcript: pronunciation variants, optional silence around every word.

    Args:
        words: known words (see `Lexicon.known`), at least one.
        lexicon: pronunciations and silence.

    Returns:
        An epsilon-free graph; words stand on the first phone of their pronunciations.

    Raises:
        Refusal: there are no words, or one is not in the lexicon.
    """
    if not words:
        raise Refusal("a transcript without words cannot be aligned", do="take the utterance out of the cuts")
    silent = math.log(lexicon.options.silence_probability)
    spoken = math.log(1 - lexicon.options.silence_probability)
    silence = lexicon.phone_ids[lexicon.options.silence_phone]
    arcs: list[tuple[int, int, int, float, int]] = [(0, 1, silence, silent, 0)]
    sources, num_states = {0: spoken, 1: 0.0}, 2  # where a word may begin -> score of beginning there
    for word in words:
        if word not in lexicon.word_ids:
            raise Refusal(f"the word {word!r} is not in the lexicon", do="replace it by Lexicon.known")
        number, after, pause = lexicon.word_ids[word], num_states, num_states + 1
        num_states += 2
        for variant in lexicon.pronunciations[word]:
            phones = [lexicon.phone_ids[phone] for phone in variant]
            chain = list(range(num_states, num_states + len(phones) - 1))
            num_states += len(chain)
            ends = {after: spoken, pause: silent}
            for position, phone in enumerate(phones):
                starts = sources if position == 0 else {chain[position - 1]: 0.0}
                stops = ends if position == len(phones) - 1 else {chain[position]: 0.0}
                label = number if position == 0 else 0
                arcs += [(s, t, phone, a + b, label) for s, a in starts.items() for t, b in stops.items()]
        arcs.append((pause, after, silence, 0.0, 0))
        sources = {after: 0.0}
    arcs.append((after, num_states, FINAL, 0.0, 0))
    return make_graph(arcs)


def expand_states(graph: Graph, tree: Tree) -> Graph:
    """Replaces every arc of an HMM by its states: an arc for each transition, labelled by the pdf of the state left.

    The arcs out of an HMM's first state also leave the source of the arc that they replace, so that no epsilon is
    needed; they carry its score and words and mark the phone's start.

    Args:
        graph: its labels are HMM numbers of the tree, of monophones the phones' own.
        tree: what the HMM numbers mean.

    Returns:
        The graph whose labels are pdf + 1, its states numbered without gaps.
    """
    first, states, ways = _ways(tree)
    final = np.flatnonzero(graph.label == FINAL)
    hmm = np.where(graph.label == FINAL, 0, graph.label)
    count = first[hmm + 1] - first[hmm]
    base = graph.num_states + np.cumsum(states[hmm]) - states[hmm]  # of the states within each arc
    arc = np.repeat(np.arange(len(graph)), count)
    state, destination, pdf, transition = ways[:, _ranges(first[hmm], count)]
    target = np.where(destination == states[hmm][arc], graph.target[arc], base[arc] + destination)
    entry = state == 0
    pieces = (
        _columns(graph, final, graph.source[final], graph.target[final], graph.label[final], -1, entry=True),
        _columns(graph, arc, base[arc] + state, target, pdf + 1, transition, entry=False),
        _columns(
            graph, arc[entry], graph.source[arc[entry]], target[entry], pdf[entry] + 1, transition[entry], entry=True
        ),
    )
    arrays = {name: np.concatenate([piece[name] for piece in pieces]) for name in ARRAYS}
    return _renumbered(Graph(**arrays, word_sequences=graph.word_sequences), graph.num_states - 1)


def _ways(tree: Tree) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The transitions of all HMMs, one HMM after the other; HMM 0, of arcs that take no frame, has none.

    Returns:
        The first row of each HMM (and an end), its number of states, and rows (4, R) of state, destination, pdf,
        transition id.
    """
    destination, rows, first, states = tree.table.destination.tolist(), [], [0, 0], [0]
    for hmm in tree.hmms:
        for state, pdf in enumerate(hmm.pdfs):
            rows += [(state, destination[id], pdf, id) for id in tree.table.of_state[hmm.phone, state, pdf]]
        first.append(len(rows))
        states.append(len(hmm.pdfs))
    return np.array(first), np.array(states), np.array(rows, np.int64).T


def _ranges(begins: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """begin, begin + 1, ..., begin + count - 1 of each pair, one after the other."""
    return np.arange(counts.sum()) + np.repeat(begins - np.cumsum(counts) + counts, counts)


def _columns(
    graph: Graph,
    arcs: np.ndarray,
    source: np.ndarray,
    target: np.ndarray,
    label: np.ndarray,
    transition: np.ndarray | int,
    entry: bool,
) -> dict[str, np.ndarray]:
    """Arcs that stand for `arcs` of the graph, (A,); only entries carry score, words and, with a frame, phone start."""
    size = len(arcs)
    return {
        "source": source.astype(np.int32),
        "target": target.astype(np.int32),
        "label": label.astype(np.int32),
        "score": graph.score[arcs] if entry else np.zeros(size, np.float32),
        "words": graph.words[arcs] if entry else np.zeros(size, np.int32),
        "transition": np.broadcast_to(transition, size).astype(np.int32),
        "phone_start": (entry & (label != FINAL)).astype(np.int32),
    }


def _renumbered(graph: Graph, final: int) -> Graph:
    """Arcs sorted by source, states numbered without gaps, the start 0 and the final state last."""
    used = np.union1d(graph.source, graph.target)
    order = np.concatenate([used[used != final], [final]])
    numbers = np.zeros(used.max() + 1, np.int32)
    numbers[order] = np.arange(len(order))
    source, target = numbers[graph.source], numbers[graph.target]
    rows = np.lexsort((graph.label, source))  # k2 wants arcs sorted by label within a state
    arrays = {name: getattr(graph, name)[rows] for name in ARRAYS}
    return replace(graph, **{**arrays, "source": source[rows], "target": target[rows]})
