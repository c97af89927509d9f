"""Graphs as arrays, and what goes through the one door to k2."""

import builtins
import sys

import numpy as np
import pytest
import torch

from kdasr import fsa, io
from kdasr.fsa import FINAL, Graph, make_graph, phone_graph
from kdasr.lang.graph import alignment_graph
from kdasr.lang.topology import make_topology
from kdasr.lang.tree import Tree
from kdasr.refusal import Refusal
from tests import toy

LEXICON = toy.lexicon(2, 3)
TREE = Tree.monophone(make_topology(LEXICON))


def graph_of(text: str) -> Graph:
    return alignment_graph(text.split(), LEXICON, TREE)


def same(one: Graph, other: Graph) -> bool:
    return one.word_sequences == other.word_sequences and all(
        np.array_equal(getattr(one, name), getattr(other, name)) for name in fsa.ARRAYS
    )


def test_a_graph_reads_back(tmp_path):
    graph = make_graph([(1, 2, FINAL, 0.0, 0), (0, 1, 3, -0.5, 7), (0, 1, 2, -0.25, 1)])
    graph = phone_graph(graph.source, graph.target, graph.label, graph.score, graph.words, ((1, 2), (3, 4, 5)))
    fsa.write_graph(tmp_path / "g", graph)
    again = fsa.read_graph(tmp_path / "g")
    assert same(again, graph) and again.num_states == 3 and len(again) == 3 and again.max_label == 3
    assert again.source.tolist() == [0, 0, 1] and again.label.tolist() == [2, 3, FINAL]


def test_what_is_no_graph_is_refused(tmp_path):
    io.save_tensors(tmp_path / "model", {"weight": torch.zeros(3)})
    with pytest.raises(Refusal, match="model: not a graph .expected tensors source, .*found weight.; name a folder"):
        fsa.read_graph(tmp_path / "model")
    fsa.write_graph(tmp_path / "g", graph_of("A"))
    (tmp_path / "g").write_bytes((tmp_path / "g").read_bytes()[:-3])
    with pytest.raises(Refusal, match="g: damaged or foreign tensor file"):
        fsa.read_graph(tmp_path / "g")
    with pytest.raises(Refusal, match="none: no such file"):
        fsa.read_graph(tmp_path / "none")


def test_transition_scores_go_to_the_arcs_that_take_them():
    graph = graph_of("A B")
    scores = np.arange(len(TREE.table), dtype=np.float32)
    added = graph.with_transitions(scores).score - graph.score
    frames = graph.label != FINAL
    assert np.allclose(added[frames], scores[graph.transition[frames]]) and (added[~frames] == 0).all()


def test_without_k2_the_message_says_what_to_install(monkeypatch):
    real = builtins.__import__

    def blocked(name: str, *arguments, **named):
        if name == "k2":
            raise ImportError("libk2: undefined symbol")
        return real(name, *arguments, **named)

    monkeypatch.delitem(sys.modules, "k2", raising=False)
    monkeypatch.setattr(builtins, "__import__", blocked)
    with pytest.raises(Refusal) as caught:
        fsa.fsa(graph_of("A"))
    assert str(caught.value) == (
        "alignment and decoding: k2 cannot be imported (expected k2 1.23 or 1.24 built for this torch, found torch "
        f"{torch.__version__}, libk2: undefined symbol); run local/setup.sh, or take the wheel for your torch from "
        "https://k2-fsa.github.io/k2/"
    )


def test_dense_wants_the_longest_first():
    with pytest.raises(ValueError, match="longest first"):
        fsa.dense([torch.zeros(2, 3), torch.zeros(5, 3)])


def search(graphs: list[Graph], frames: list[torch.Tensor], beam: float = 100.0):
    k2 = pytest.importorskip("k2")
    return k2.intersect_dense(fsa.stack([fsa.fsa(graph) for graph in graphs]), fsa.dense(frames), beam)


@pytest.mark.parametrize("seed", range(4))
def test_k2_s_scores_and_paths_are_the_plain_viterbi_s(seed):
    texts = ["A TO B", "B AB", "TWO"]
    frames = [toy.random_frames(length, TREE.num_pdfs, 10 * seed + length) for length in (30 - seed, 17, 9)]
    graphs = [graph_of(text) for text in texts]
    lattices = search(graphs, frames)
    scores = lattices.get_tot_scores(use_double_scores=True, log_semiring=False)
    paths = fsa.best_paths(lattices)
    transitions, words = fsa.path_rows(paths, "transition"), fsa.path_rows(paths, "words")
    for number, graph in enumerate(graphs):
        best, _ = toy.viterbi(graph, frames[number])
        assert float(scores[number]) == pytest.approx(best, abs=1e-3)
        same_path, _ = toy.viterbi(graph, frames[number], transitions[number].tolist())
        assert same_path == pytest.approx(best, abs=1e-3)  # the path is a best one, but for ties the only one
        assert len(transitions[number]) == len(frames[number])
        assert [LEXICON.words[word - 1] for word in words[number] if word] == texts[number].split()


def test_an_utterance_without_a_path_has_no_arcs_and_harms_no_other():
    frames = [toy.random_frames(length, TREE.num_pdfs, length) for length in (12, 3)]
    paths = fsa.best_paths(search([graph_of("A"), graph_of("AB TO")], frames))
    assert [len(row) for row in fsa.path_rows(paths, "transition", final=True)] == [13, 0]
    assert fsa.arc_splits(paths).tolist() == [0, 13, 13]


def test_words_on_the_final_arc_are_read_when_asked_for():
    graph = make_graph([(0, 1, 1, 0.0, 4), (1, 2, FINAL, 0.0, 5)])
    paths = fsa.best_paths(search([graph], [torch.zeros(1, 1)]))
    assert [row.tolist() for row in fsa.path_rows(paths, "words")] == [[4]]
    assert [row.tolist() for row in fsa.path_rows(paths, "words", final=True)] == [[4, 5]]
