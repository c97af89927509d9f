"""Epsilons taken out, against every path written out."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from kdasr.fsa import FINAL, Graph, make_graph, phone_graph
from kdasr.lang.epsilons import without_epsilons
from tests import toy

NUM_WORDS = 3
SEQUENCES = ((1, 2), (3, 1))  # rows 4 and 5
a, b = 1, 2


def make(arcs: list[tuple[int, int, int, float, int]]) -> Graph:
    graph = make_graph(arcs)
    return phone_graph(graph.source, graph.target, graph.label, graph.score, graph.words, SEQUENCES)


def strings(graph: Graph) -> Counter:
    """Labels, words and score of every path, and how often each is there."""
    found: Counter = Counter()
    for path in toy.all_paths(graph):
        labels = tuple(label for label in graph.label[path].tolist() if label > 0)
        words = tuple(toy.words_of(graph, path, NUM_WORDS))
        found[labels, words, round(float(graph.score[path].sum()), 3)] += 1
    return found


def random_graph(seed: int) -> Graph:
    """Arcs lead onwards, so there are no cycles; every state has a way to the end."""
    rng, last = np.random.default_rng(seed), 7
    arcs = [(state, state + 1, int(rng.integers(0, 3)), float(-rng.integers(9)), 0) for state in range(last)]
    for _ in range(9):
        source, target = sorted(rng.choice(last + 1, 2, replace=False).tolist())
        label, words = rng.integers(0, 3), rng.integers(0, 6)
        arcs.append((source, target, int(label), float(-rng.integers(9)), int(words)))
    return make([*arcs, (last, last + 1, FINAL, -0.5, 0), (3, last + 1, FINAL, -0.25, 3)])


@pytest.mark.parametrize("seed", range(40))
def test_the_graph_without_epsilons_has_the_same_paths(seed):
    graph = random_graph(seed)
    found = without_epsilons(graph, NUM_WORDS)
    assert strings(found) == strings(graph) and (found.label != 0).all()
    assert set(np.union1d(found.source, found.target)) == set(range(found.num_states))
    assert set(found.source) <= {0, *found.target}  # no state is left that nothing leads to
    assert (np.lexsort((found.label, found.source)) == np.arange(len(found))).all()


def test_epsilons_at_the_start_and_before_the_end_and_one_after_the_other():
    arcs = [(0, 1, 0, -1.0, 1), (1, 2, 0, -2.0, 2), (2, 3, a, -4.0, 3), (3, 4, 0, -8.0, 4), (4, 5, FINAL, -16.0, 0)]
    found = without_epsilons(make(arcs), NUM_WORDS)
    assert strings(found) == {((a,), (1, 2, 3, 1, 2), -31.0): 1}
    assert len(found) == 2 and found.num_states == 3


def test_arcs_into_a_state_that_backs_off_are_multiplied_not_those_out_of_it():
    """Ten arcs leave the state that is backed off to, one enters the state that backs off."""
    out = [(2, 2, label, 0.0, 0) for label in range(3, 13)]
    graph = make([(0, 1, a, 0.0, 0), (1, 2, 0, -1.0, 0), (1, 1, b, 0.0, 0), *out, (2, 3, FINAL, 0.0, 0)])
    assert len(without_epsilons(graph, NUM_WORDS)) == len(graph) - 1 + 2


def test_of_equal_ways_the_first_word_comes_last_and_none_is_lost():
    for words in ((1, 3, 2), (3, 2, 1)):
        ways = [(1, 2, 0, -1.0, word) for word in words]
        found = without_epsilons(make([(0, 1, a, 0.0, 0), *ways, (2, 3, FINAL, 0.0, 0)]), NUM_WORDS)
        assert found.words.tolist() == [3, 2, 1, 0]


def test_transitions_and_phone_starts_stay_on_their_arcs():
    graph = make([(0, 1, a, 0.0, 0), (1, 2, 0, -1.0, 0), (1, 2, b, 0.0, 0), (2, 3, FINAL, 0.0, 0)])
    graph.transition[:], graph.phone_start[:] = (7, -1, 9, -1), (1, 0, 0, 0)
    found = without_epsilons(graph, NUM_WORDS)
    rows = zip(found.label.tolist(), found.transition.tolist(), found.phone_start.tolist(), strict=True)
    assert sorted(rows) == [(FINAL, -1, 0), (a, 7, 1), (a, 7, 1), (b, 9, 0)]


def test_a_graph_without_epsilons_is_left_as_it_is():
    graph = make([(0, 1, a, 0.0, 0), (1, 2, FINAL, 0.0, 0)])
    assert without_epsilons(graph, NUM_WORDS) is graph


def test_a_cycle_of_epsilons_is_an_error():
    graph = make([(0, 1, a, 0.0, 0), (1, 2, 0, 0.0, 0), (2, 1, 0, 0.0, 0), (2, 3, FINAL, 0.0, 0)])
    with pytest.raises(ValueError, match="a cycle of epsilons"):
        without_epsilons(graph, NUM_WORDS)
