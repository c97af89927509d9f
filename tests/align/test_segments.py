"""Phones of an alignment, against the flat start that it was made of."""

from __future__ import annotations

import itertools

import numpy as np

from kdasr.align.segments import converted, phone_segments
from kdasr.lang.topology import equal_alignment, make_topology
from kdasr.lang.tree import Leaf, Split, Tree
from tests import toy


def test_segments_are_the_phones_that_the_alignment_was_made_of():
    tree = Tree.monophone(make_topology(toy.lexicon(2, 3)))
    path = equal_alignment([1, 4, 4, 3, 1], tree.table, tree.topology, 36)
    assert path is not None
    phones, edges = phone_segments(path, tree)
    assert phones.tolist() == [1, 4, 4, 3, 1] and edges[0] == 0 and edges[-1] == 36
    states = [tree.topology.num_states(phone) for phone in phones]
    assert edges.tolist() == np.round(np.cumsum([0, *states]) * 36 / sum(states)).astype(int).tolist()


def test_an_alignment_is_converted_to_the_ids_of_a_tree_that_asks_for_neighbours():
    """Phone by phone: the pdf is the one that the tree gives the window, all else stays."""
    old = Tree.monophone(make_topology(toy.lexicon(2, 3)))
    topology = old.topology
    node = Split("state", frozenset([0]), Split("left", frozenset([0, 4]), Leaf(6), Leaf(7)), Leaf(8))
    node = Split("right", frozenset([1, 3]), node, Split("state", frozenset([1]), Leaf(9), Leaf(10)))
    speech = frozenset(range(3, len(topology.phones) + 1))
    new = Tree(topology, 3, (*old.roots[:2], (speech, node)))
    phones = [1, 4, 4, 3, 5, 1, 6, 3]
    path = equal_alignment(phones, old.table, topology, 61)
    assert path is not None
    found = converted(path, old, new)
    assert found.dtype == np.int32
    for name in ("phone", "state", "destination"):
        assert np.array_equal(getattr(new.table, name)[found], getattr(old.table, name)[path])
    found_phones, edges = phone_segments(found, new)
    beside = [0, *phones, 0]
    assert found_phones.tolist() == phones
    for place, (begin, end) in enumerate(itertools.pairwise(edges)):
        pdfs = new.pdfs((beside[place], beside[place + 1], beside[place + 2]))
        assert [pdfs[state] for state in new.table.state[found[begin:end]]] == new.table.pdf[found[begin:end]].tolist()
    assert np.array_equal(converted(found, new, old), path)  # and back
