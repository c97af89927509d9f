"""N-best lists against the enumeration of every path."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
import pytest
import torch

pytest.importorskip("k2")
pytest.importorskip("kaldifst")
pytest.importorskip("kaldilm")

from kdasr.decode.lattice import Lattices
from kdasr.decode.nbest import Hypothesis, NbestLists, nbest, write_lists
from kdasr.decode.paths import Weights, best_words
from kdasr.decode.search import DecodeOptions, Searcher
from kdasr.fsa import Graph
from kdasr.lang.decoding import GraphOptions, decoding_graph
from kdasr.lang.topology import make_topology
from kdasr.lang.tree import Tree
from tests import toy

LEXICON = toy.lexicon()
TREE = Tree.monophone(make_topology(LEXICON))
NUM_WORDS, NUM_PDFS = len(LEXICON.words), TREE.num_pdfs
LENGTHS = (6, 5, 3)


@pytest.fixture(scope="module")
def graph(tmp_path_factory) -> Graph:
    return decoding_graph(LEXICON, toy.write_arpa(tmp_path_factory.mktemp("graph") / "lm.arpa"), TREE, GraphOptions())


@pytest.fixture(scope="module")
def searcher(graph) -> Searcher:
    return Searcher(graph, NUM_WORDS, DecodeOptions(search_beam=1e4, output_beam=1e3, max_active=10**6))


def frames_of(seed: int) -> list[torch.Tensor]:
    return [toy.random_frames(length, NUM_PDFS, 10 * seed + length, 15) for length in LENGTHS]


def enumerated(graph: Graph, frames: torch.Tensor, weights: Weights) -> list[Hypothesis]:
    """Every word sequence by its best path, best first."""
    best: dict[tuple[int, ...], tuple[float, Hypothesis]] = {}
    matrix = frames.double().numpy()
    for arcs in toy.all_paths(graph, len(frames)):
        words = tuple(toy.words_of(graph, arcs, NUM_WORDS))
        acoustic = sum(matrix[t, graph.label[arc] - 1] for t, arc in enumerate(arcs[:-1]))
        own = float(graph.score[arcs].astype(np.float64).sum())
        total = own + acoustic / weights[0] - weights[1] * len(words)
        if words not in best or total > best[words][0]:
            best[words] = total, Hypothesis(words, float(acoustic), own)
    return [hypothesis for _, hypothesis in sorted(best.values(), key=lambda pair: -pair[0])]


def expect_same(found: Sequence[Hypothesis], expected: Sequence[Hypothesis]) -> None:
    assert [one.words for one in found] == [one.words for one in expected]
    for name in ("acoustic", "graph"):
        values = [[getattr(one, name) for one in many] for many in (found, expected)]
        np.testing.assert_allclose(values[0], values[1], atol=1e-3)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("weights", [(10.0, 0.0), (3.0, 0.5), (17.0, -1.0)])
def test_a_list_is_the_enumeration_s_best(graph, searcher, seed, weights):
    frames = frames_of(seed)
    found = nbest(Lattices.of(searcher.lattices(frames)), searcher.sequences, weights, 7)
    for list_, matrix in zip(found, frames, strict=True):
        everything = enumerated(graph, matrix, weights)
        expect_same(list_, everything[:7])
        assert len({one.words for one in list_}) == len(list_)


def test_a_long_list_holds_every_word_sequence_once(graph, searcher):
    frames = frames_of(5)[2:]
    (found,) = nbest(Lattices.of(searcher.lattices(frames)), searcher.sequences, (10.0, 0.0), 10**4)
    expect_same(found, enumerated(graph, frames[0], (10.0, 0.0)))


def test_the_first_of_a_list_is_the_best_path(searcher):
    lattices = Lattices.of(searcher.lattices(frames_of(8)))
    for weights in ((10.0, 0.0), (5.0, 1.0)):
        first = [list(found[0].words) for found in nbest(lattices, searcher.sequences, weights, 3)]
        assert first == best_words(lattices, searcher.sequences, [weights])[weights]


def test_an_utterance_without_a_path_has_an_empty_list(searcher):
    frames = frames_of(1)
    frames[1][:] = float("nan")
    lists = nbest(Lattices.of(searcher.lattices(frames)), searcher.sequences, (10.0, 0.0), 4)
    assert [len(found) for found in lists] == [4, 0, 4]


def test_lists_on_disk_tell_both_scores(searcher, tmp_path):
    lattices = Lattices.of(searcher.lattices(frames_of(2)))
    lists = NbestLists(LEXICON.words, searcher.sequences, (10.0, 0.0), 2)
    lists.add(["c", "b", "a"], lattices)
    write_lists(tmp_path, lists.lines)
    read = {line["id"]: line["nbest"] for line in map(json.loads, (tmp_path / "nbest.jsonl").read_text().splitlines())}
    assert list(read) == ["a", "b", "c"]
    for id, found in zip("cba", nbest(lattices, searcher.sequences, (10.0, 0.0), 2), strict=True):
        texts = [" ".join(LEXICON.words[word - 1] for word in one.words) for one in found]
        assert read[id] == [
            {"text": text, "acoustic": one.acoustic, "graph": one.graph} for text, one in zip(texts, found, strict=True)
        ]


def test_no_lists_are_made_unless_asked_for(searcher):
    lists = NbestLists(LEXICON.words, searcher.sequences, (10.0, 0.0), 0)
    lists.add(["c", "b", "a"], Lattices.of(searcher.lattices(frames_of(2))))
    assert not lists.lines
