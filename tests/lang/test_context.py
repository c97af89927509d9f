"""Graphs in context against the windows of every pronunciation written out."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from kdasr.fsa import FINAL, Graph, make_graph, phone_graph
from kdasr.lang.context import with_context
from kdasr.lang.graph import transcript_graph
from kdasr.lang.topology import make_topology
from kdasr.lang.tree import Tree
from tests import toy

LEXICON = toy.lexicon()
TOPOLOGY = make_topology(LEXICON)
TREES = {(width, group): toy.context_tree(TOPOLOGY, width, group) for width in (1, 2, 3) for group in (1, 3)}
TEXTS = ["A", "B", "A B", "B AB", "TO TWO B", "B B", "A A A", "<UNK> B", "B <UNK> A"]


def hmms(phones: list[int], tree: Tree) -> tuple[int, ...]:
    return tuple(tree.hmm_numbers[window] for window in toy.windows(phones, tree.width))


def labels(graph: Graph, path: list[int]) -> tuple[int, ...]:
    assert graph.label[path[-1]] == FINAL
    return tuple(graph.label[path[:-1]].tolist())


@pytest.mark.parametrize("tree", TREES.values(), ids=map(str, TREES))
@pytest.mark.parametrize("text", TEXTS)
def test_a_transcript_s_graph_holds_the_windows_of_every_pronunciation_and_pause_once(text, tree):
    words = text.split()
    graph = with_context(transcript_graph(words, LEXICON), tree)
    found: Counter = Counter()
    for path in toy.all_paths(graph):
        found[labels(graph, path), round(float(graph.score[path].sum()), 4)] += 1
        assert toy.words_of(graph, path, len(LEXICON.words)) == [LEXICON.word_ids[word] for word in words]
    assert found == Counter((hmms(phones, tree), round(score, 4)) for phones, score in toy.pronounced(words, LEXICON))


@pytest.mark.parametrize("width", (2, 3))
def test_words_and_scores_stay_on_their_phones(width):
    tree, phones = TREES[width, 1], transcript_graph(["B", "TO", "AB"], LEXICON)
    graph = with_context(phones, tree)

    def steps(some: Graph, phone_of: dict[int, int]) -> Counter:
        columns = (some.label, some.score, some.words)
        paths = ([tuple(column[arc].item() for column in columns) for arc in path] for path in toy.all_paths(some))
        return Counter(tuple((phone_of[label], score, word) for label, score, word in path) for path in paths)

    numbers = {number: number for number in (FINAL, *range(len(LEXICON.phones) + 1))}
    own = {FINAL: FINAL, **{number: hmm.phone for number, hmm in enumerate(tree.hmms, start=1)}}
    assert steps(graph, own) == steps(phones, numbers)


@pytest.mark.parametrize("width", (2, 3))
def test_a_graph_with_cycles_has_a_window_for_every_way_into_and_out_of_a_phone(width):
    tree, (a, b) = TREES[width, 1], (LEXICON.phone_ids[phone] for phone in "ab")
    arcs = [(0, 0, a, -1.0, 1), (0, 1, b, -2.0, 2), (1, 0, b, -4.0, 9), (1, 2, FINAL, -8.0, 0), (0, 2, FINAL, 0.0, 0)]
    phones = make_graph(arcs)
    phones = phone_graph(phones.source, phones.target, phones.label, phones.score, phones.words, ((1, 2), (3, 3), (2,)))
    graph = with_context(phones, tree)
    assert graph.word_sequences == phones.word_sequences
    for size in range(6):
        found: Counter = Counter()
        expected: Counter = Counter()
        for path in toy.all_paths(graph, size):
            found[labels(graph, path), graph.score[path].sum(), tuple(graph.words[path])] += 1
        for path in toy.all_paths(phones, size):
            spoken = hmms(list(labels(phones, path)), tree)
            expected[spoken, phones.score[path].sum(), tuple(phones.words[path])] += 1
        assert found == expected and len(found) > 0


def test_arcs_are_sorted_and_states_numbered_without_gaps():
    for tree in TREES.values():
        graph = with_context(transcript_graph(["B", "AB", "TO"], LEXICON), tree)
        assert (np.diff(graph.source) >= 0).all()
        assert set(np.union1d(graph.source, graph.target)) == set(range(graph.num_states))
        assert ((graph.target == graph.num_states - 1) == (graph.label == FINAL)).all()


@pytest.mark.parametrize("width, most", [(1, 1), (2, 3), (3, 4)])
def test_the_graph_of_a_long_transcript_grows_only_where_words_meet(width, most):
    words = ["B", "AB", "TO", "TWO"] * 10
    phones = transcript_graph(words, LEXICON)
    assert len(with_context(phones, TREES[width, 1])) <= most * len(phones)
