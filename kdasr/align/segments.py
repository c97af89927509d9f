"""From an alignment's transition ids to the phones that they run through."""

from __future__ import annotations

import numpy as np

from kdasr.lang.tree import Tree


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
