"""On a graph of 20,000 words k2's lattices hold states that no arc leads to; their depth, -inf, is no integer."""

import warnings

import pytest

pytest.importorskip("k2")

from kdasr import fsa
from kdasr.decode.lattice import Lattices
from kdasr.fsa import FINAL, make_graph


def test_they_are_left_out_without_a_warning():
    rows = [(0, 1, 1, 0.5, 0), (1, 3, 1, 0.5, 7), (2, 3, 1, 0.5, 8), (3, 4, FINAL, 0.5, 0)]
    vector = fsa.stack([fsa.fsa(make_graph(rows))])
    vector.acoustic_scores, vector.graph_scores = vector.scores.clone(), vector.scores.clone()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        lattices = Lattices.of(vector)
    assert lattices.words.tolist() == [0, 7, 0] and lattices.final.tolist() == [3]
