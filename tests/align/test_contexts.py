"""Statistics of phones in context, against a walk over the frames one by one."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from kdasr.align.contexts import accumulate
from kdasr.lang.topology import equal_alignment, make_topology
from kdasr.lang.tree import Leaf, Split, Tree
from tests import toy

TREE = Tree.monophone(make_topology(toy.lexicon(2, 3)))
PHONES = [[1, 4, 4, 3, 1], [5, 3], [3, 2, 4, 1, 4, 4], [4]]  # 1 and 2 are SIL and SPN
CONTEXTS = {  # of each phone above by hand: left and right; nothing beside silence
    0: [(0, 0), (1, 4), (4, 3), (4, 1), (0, 0)],
    1: [(0, 3), (5, 0)],
    2: [(0, 2), (0, 0), (2, 1), (0, 0), (1, 4), (4, 0)],
    3: [(0, 0)],
}


def spoken(tree: Tree = TREE) -> tuple[list[np.ndarray], list[torch.Tensor]]:
    rng = np.random.default_rng(0)
    paths = []
    for phones in PHONES:
        path = equal_alignment(phones, tree.table, tree.topology, 31)
        assert path is not None
        paths.append(path)
    return paths, [torch.from_numpy(rng.normal(5, 1, (31, 3)).astype(np.float32)) for _ in paths]


def walk(width: int, chosen: range = range(len(PHONES))) -> dict[tuple[int, ...], np.ndarray]:
    """(window, state) -> frames, by a count of state edges as the equal alignment lays them."""
    _, frames = spoken()
    found: dict[tuple[int, ...], list[np.ndarray]] = {}
    for number in chosen:
        phones = PHONES[number]
        states = [(place, state) for place, phone in enumerate(phones) for state in range(3 if phone < 3 else 2)]
        edges = np.linspace(0, 31, len(states) + 1).round().astype(int)
        for (place, state), begin, end in zip(states, edges, edges[1:], strict=False):
            left, right = CONTEXTS[number][place]
            window = {1: (phones[place],), 2: (left, phones[place]), 3: (left, phones[place], right)}[width]
            found.setdefault((*window, state), []).extend(frames[number].numpy()[begin:end].astype(np.float64))
    return {key: np.array(x) for key, x in sorted(found.items())}


@pytest.mark.parametrize("width", [1, 2, 3])
def test_each_window_and_state_has_the_sums_of_its_frames(width):
    found, expected = accumulate(*spoken(), TREE, width), walk(width)
    assert np.column_stack([found.windows, found.states]).tolist() == [list(key) for key in expected]
    sums = [np.concatenate([[len(x)], x.sum(0), (x**2).sum(0)]) for x in expected.values()]
    assert np.allclose(found.sums, sums, rtol=1e-12, atol=0) and found.sums.dtype == np.float64


def test_parts_of_a_set_add_up_to_it():
    paths, frames = spoken()
    parts = accumulate(paths[:2], frames[:2], TREE, 3) + accumulate(paths[2:], frames[2:], TREE, 3)
    whole = accumulate(paths, frames, TREE, 3)
    assert parts.windows.tolist() == whole.windows.tolist() and parts.states.tolist() == whole.states.tolist()
    assert np.allclose(parts.sums, whole.sums)


def test_an_utterance_without_an_alignment_is_left_out():
    paths, frames = spoken()
    kept = accumulate([None, *paths[1:]], frames, TREE, 3)
    assert len(kept.states) == len(walk(3, range(1, 4))) and kept.sums[:, 0].sum() == 3 * 31
    none = accumulate([None] * 4, frames, TREE, 3)
    assert none.windows.shape == (0, 3) and none.sums.shape == (0, 7)
    assert len((none + kept).states) == len(kept.states)


def test_an_alignment_of_a_tied_tree_tells_the_same():
    """Transition ids of a tree in which the states of a phone have several pdfs, or two states one."""
    roots = dict((min(phones), node) for phones, node in TREE.roots)
    roots[4] = Split("left", frozenset([1]), Leaf(20), roots[4])
    roots[5] = Leaf(21)
    tied = Tree(TREE.topology, 3, tuple((frozenset([phone]), node) for phone, node in roots.items()))
    paths, frames = spoken()
    rows = list(zip(TREE.table.phone, TREE.table.state, TREE.table.destination, strict=True))
    ids = {
        row: id for id, row in enumerate(zip(tied.table.phone, tied.table.state, tied.table.destination, strict=True))
    }
    moved = [np.array([ids[rows[id]] for id in path]) for path in paths]
    one, other = accumulate(moved, frames, tied, 3), accumulate(paths, frames, TREE, 3)
    assert one.windows.tolist() == other.windows.tolist() and np.array_equal(one.sums, other.sums)
