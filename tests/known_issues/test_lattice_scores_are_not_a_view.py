"""k2 hands out a view of a lattice's scores: reading it at one weight once changed what the next weight read."""

import itertools

import numpy as np
import pytest
import torch

pytest.importorskip("k2")

from kdasr.decode.lattice import ARRAYS, Lattices
from kdasr.decode.paths import best_words
from kdasr.decode.search import DecodeOptions, Searcher
from kdasr.fsa import FINAL, phone_graph
from tests import toy

WEIGHTS = ((4.0, 0.0), (10.0, 0.5), (17.0, -0.5))


@pytest.fixture(scope="module")
def searcher():
    """A loop over four one-state words, whose graph scores differ."""
    source, target = [0] * 4 + [1] * 5, [1] * 8 + [2]
    label, words = [1, 2, 3, 4, 1, 2, 3, 4, FINAL], [1, 2, 3, 4, 1, 2, 3, 4, 0]
    score = [-0.5, -2.0, -4.0, -1.0] * 2 + [0.0]
    graph = phone_graph(np.array(source), np.array(target), np.array(label), np.array(score), np.array(words))
    return Searcher(graph, 4, DecodeOptions(search_beam=1e3, output_beam=1e2))


def test_reading_lattices_leaves_k2_s_scores_as_they_were(searcher):
    lattices = searcher.lattices([toy.random_frames(length, 4, length, 20) for length in (12, 9, 5)])
    before = lattices.scores.clone()
    arrays = [Lattices.of(lattices) for _ in range(2)]
    assert torch.equal(lattices.scores, before)
    assert all(np.array_equal(*(getattr(one, name) for one in arrays)) for name in ARRAYS)


def test_the_order_in_which_weights_are_read_is_no_matter(searcher):
    lattices = Lattices.of(searcher.lattices([toy.random_frames(length, 4, length, 20) for length in (12, 9, 5)]))
    alone = {weights: best_words(lattices, searcher.sequences, [weights])[weights] for weights in WEIGHTS}
    assert len({str(found) for found in alone.values()}) == len(WEIGHTS)
    for order in itertools.permutations(WEIGHTS):
        assert best_words(lattices, searcher.sequences, order) == alone
