"""Phones of an alignment, against the flat start that it was made of."""

from __future__ import annotations

import numpy as np

from kdasr.align.segments import phone_segments
from kdasr.lang.topology import equal_alignment, make_topology
from kdasr.lang.tree import Tree
from tests import toy


def test_segments_are_the_phones_that_the_alignment_was_made_of():
    tree = Tree.monophone(make_topology(toy.lexicon(2, 3)))
    path = equal_alignment([1, 4, 4, 3, 1], tree.table, tree.topology, 36)
    assert path is not None
    phones, edges = phone_segments(path, tree)
    assert phones.tolist() == [1, 4, 4, 3, 1] and edges[0] == 0 and edges[-1] == 36
    states = [tree.topology.num_states(phone) for phone in phones]
    assert edges.tolist() == np.round(np.cumsum([0, *states]) * 36 / sum(states)).astype(int).tolist()
