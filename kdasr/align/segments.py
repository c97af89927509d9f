"""From an alignment's transition ids to the phones that they run through, and to the ids of another tree."""

from __future__ import annotations

import numpy as np

from kdasr.lang.tree import PLACES, Tree


def phone_segments(path: np.ndarray, tree: Tree) -> tuple[np.ndarray, np.ndarray]:
    """The phones of an aligned utterance: one ends with the transition that leaves its last state.

    Args:
        path: transition ids, (T,) int.
        tree: what they mean.

    Returns:
        Phone numbers (P,), and their edges (P + 1,): phone p takes the frames from edges[p] up to edges[p + 1].
    """
    sizes = np.array([0, *(len(states) for states in tree.topology.states)])
    phones = tree.table.phone[path]
    ends = np.flatnonzero(tree.table.destination[path] == sizes[phones])
    return phones[ends], np.concatenate([[0], ends + 1])


def converted(path: np.ndarray, old: Tree, new: Tree) -> np.ndarray:
    """An alignment in the transition ids of another tree of the same topology: same phones, states and ways out.

    Args:
        path: transition ids of the old tree, (T,) int.
        old: what they mean.
        new: the tree wanted; the first and the last phone of an utterance have no phone (0) beside them.

    Returns:
        (T,) int32.
    """
    phones, edges = phone_segments(path, old)
    beside = np.concatenate([[0], phones, [0]])
    columns = {"left": beside[:-2], "phone": phones, "right": beside[2:]}
    windows = zip(*(columns[place].tolist() for place in PLACES[new.width]), strict=True)
    pdfs = np.zeros((len(phones), max(map(len, new.topology.states))), int)
    for row, window in enumerate(windows):
        found = new.pdfs(window)
        pdfs[row, : len(found)] = found
    state = old.table.state[path]
    pdf = pdfs[np.repeat(np.arange(len(phones)), np.diff(edges)), state]
    known = _keys(new.table.phone, new.table.state, new.table.destination, new.table.pdf)
    wanted = _keys(old.table.phone[path], state, old.table.destination[path], pdf)
    order = np.argsort(known)
    return order[np.searchsorted(known, wanted, sorter=order)].astype(np.int32)


def _keys(phone: np.ndarray, state: np.ndarray, destination: np.ndarray, pdf: np.ndarray) -> np.ndarray:
    """One number for each transition's meaning; 2^16 phones, 2^8 states, 2^24 pdfs have room."""
    keys: np.ndarray = (phone << 48) | (state << 40) | (destination << 32) | pdf
    return keys
