"""Phones in context: the labels of a graph from phone numbers to the HMM numbers of a tree.

Silence and noises are phones as any other: their neighbours see them, so a pause ends the context of the words beside
it. That they sound the same beside all phones is the tree's matter.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from kdasr.fsa import FINAL, Graph, join, phone_graph
from kdasr.lang.transducer import Transducer
from kdasr.lang.tree import Tree


def with_context(graph: Graph, tree: Tree) -> Graph:
    """Replaces every phone by its HMMs: an arc for each pair of a phone that may stand before and one that may follow.

    A state of the result is a state of the graph, the phone that led there and, where the tree asks for it, the phone
    that is read next; so words and scores stay on their phones and no epsilon is needed.

    Args:
        graph: its labels are phone numbers, none of them an epsilon.
        tree: its width tells how far a phone sees.

    Returns:
        A graph of the same paths, scores and words whose labels are HMM numbers.
    """
    if tree.width == 1:
        return graph
    phone = np.where(graph.label == FINAL, 0, graph.label)
    seen = phone if tree.width == 3 else np.zeros_like(phone)  # of what follows
    sides, final = len(tree.topology.phones) + 1, graph.num_states - 1
    state, before = _pairs(np.append(graph.target, 0), np.append(phone, 0), sides)
    arc, row = join(graph.source, state)
    left = before[row]
    state, after = _pairs(np.append(graph.source, final), np.append(seen, 0), sides)
    again, row = join(graph.target[arc], state)
    arc, left, right = arc[again], left[again], after[row]
    source = np.where(left > 0, (graph.source[arc].astype(np.int64) * sides + left) * sides + seen[arc], 0)
    target = (graph.target[arc].astype(np.int64) * sides + phone[arc]) * sides + right
    _, numbers = np.unique(np.concatenate([source, target]), return_inverse=True)
    source, target = np.split(numbers, 2)
    window = (left, phone[arc], right)[: tree.width]
    label = np.where(graph.label[arc] == FINAL, FINAL, _hmms(window, tree, sides))
    order = np.argsort(source, kind="stable")
    arc = arc[order]
    columns = source[order], target[order], label[order], graph.score[arc], graph.words[arc]
    return phone_graph(*columns, graph.word_sequences)


def _pairs(states: np.ndarray, phones: np.ndarray, sides: int) -> tuple[np.ndarray, np.ndarray]:
    """The different pairs of a state and a phone beside it, by state."""
    state, phone = np.divmod(np.unique(states.astype(np.int64) * sides + phones), sides)
    return state, phone


def _hmms(windows: Sequence[np.ndarray], tree: Tree, sides: int) -> np.ndarray:
    """The HMM number of each window, given as columns; 0 where the window has no phone in its own place."""
    shape = (sides,) * tree.width
    found, place = np.unique(np.ravel_multi_index(tuple(windows), shape), return_inverse=True)
    rows = zip(*(column.tolist() for column in np.unravel_index(found, shape)), strict=True)
    return np.array([tree.hmm_numbers.get(window, 0) for window in rows])[place]


def compose_context(transducer: Any, tree: Tree, num_symbols: int) -> Any:
    """Composes a transducer of kaldifst with its context: labels become HMM numbers.

    With a right context a phone is read when the next one is, the last one with the end: words and costs stand one
    phone earlier than before.

    Args:
        transducer: its labels are phone numbers and, after them, disambiguation symbols; changed in place.
        tree: windows that have the same HMM get the same label.
        num_symbols: of disambiguation.

    Returns:
        The transducer, its disambiguation symbols numbered after the HMMs; one more stands on the way to the first
        phone of which the context is known.
    """
    import kaldifst

    if tree.width == 1:
        return transducer
    first = len(tree.topology.phones) + 1
    symbols = list(range(first, first + num_symbols))
    composed, windows = kaldifst.compose_context(symbols, tree.width, tree.central, transducer)
    labels = np.array([_label(window, tree, num_symbols) for window in windows], np.int32)
    found = Transducer.of(composed)
    found.arcs["label"] = labels[found.arcs["label"]]
    return found.fst()


def _label(window: list[int], tree: Tree, num_symbols: int) -> int:
    """The label of what kaldifst tells of a label: a window, [-symbol], [0] before the first phone, [] an epsilon."""
    if not window:
        return 0
    if len(window) == tree.width:
        return tree.hmm_numbers[tuple(window)]
    first = len(tree.hmms) + 1
    return first + (num_symbols if window[0] == 0 else -window[0] - len(tree.topology.phones) - 1)
