"""k2's search against plain dynamic programming, and lattices read at other weights against searches at them."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

pytest.importorskip("k2")
pytest.importorskip("kaldifst")
pytest.importorskip("kaldilm")

from kdasr import fsa
from kdasr.align.model import scaled_transitions
from kdasr.decode import search
from kdasr.decode.lattice import Lattices
from kdasr.decode.paths import Weights, Words, best_words
from kdasr.decode.search import DecodeOptions, Searcher
from kdasr.fsa import FINAL, Graph, make_graph
from kdasr.lang.decoding import GraphOptions, decoding_graph
from kdasr.lang.topology import make_topology
from kdasr.lang.tree import Tree
from kdasr.refusal import Refusal
from tests import toy

LEXICON = toy.lexicon(2, 3)
TREE = Tree.monophone(make_topology(LEXICON))
TABLE = TREE.table
NUM_WORDS = len(LEXICON.words)
WIDE = DecodeOptions(search_beam=1e4, output_beam=1e3, max_active=10**6)


@pytest.fixture(scope="module")
def graph(tmp_path_factory) -> Graph:
    arpa = toy.write_arpa(tmp_path_factory.mktemp("graph") / "lm.arpa")
    built = decoding_graph(LEXICON, arpa, TREE, GraphOptions())
    scores = scaled_transitions(TABLE, torch.from_numpy(np.log(TABLE.probability)).float(), 1.0, 0.1)
    return built.with_transitions(scores.numpy())


def frames_of(lengths: list[int], seed: int) -> list[torch.Tensor]:
    return [toy.random_frames(length, TABLE.num_pdfs, 50 * seed + number, 15) for number, length in enumerate(lengths)]


def best(searcher: Searcher, frames: list[torch.Tensor], *weights: Weights) -> list[list[Words]]:
    """The words of each utterance, for each pair of weights."""
    return list(best_words(Lattices.of(searcher.lattices(frames)), searcher.sequences, weights).values())


def plainly(graph: Graph, frames: torch.Tensor, lm_weight: float, penalty: float) -> list[int]:
    """The best words by plain Viterbi: acoustics over the weight, graph scores less the penalty of every word."""
    lengths = np.array([0, *[1] * NUM_WORDS, *(len(sequence) for sequence in graph.word_sequences)])
    charged = replace(graph, score=(graph.score - penalty * lengths[graph.words]).astype(np.float32))
    return toy.words_of(graph, toy.viterbi(charged, frames / lm_weight)[1], NUM_WORDS)


@pytest.mark.parametrize("seed", range(3))
def test_words_at_every_weight_and_penalty_are_the_plain_viterbi_s(graph, seed):
    frames = frames_of([30, 21, 12], seed)
    searcher = Searcher(graph, NUM_WORDS, WIDE)
    tried = ((10.0, 0.0), (3.0, 0.0), (20.0, -1.0), (8.0, 2.0), (30.0, 1.0))
    found = best(searcher, frames, *tried)
    assert found == [[plainly(graph, matrix, *weights) for matrix in frames] for weights in tried]
    assert len({str(words) for words in found}) > 1  # the weights do matter here


@pytest.mark.parametrize("lm_weight", [4.0, 15.0])
def test_a_lattice_read_at_a_weight_is_a_search_at_that_weight(graph, lm_weight):
    frames = frames_of([25, 18], 7)
    searcher = Searcher(graph, NUM_WORDS, WIDE)
    there = Searcher(graph, NUM_WORDS, replace(WIDE, acoustic_scale=1 / lm_weight))
    assert best(searcher, frames, (lm_weight, 0.0)) == best(there, frames, (lm_weight, 0.0))


def test_a_penalty_never_adds_words(graph):
    frames = frames_of([60], 3)
    found = best(
        Searcher(graph, NUM_WORDS, WIDE), frames, *((10.0, penalty) for penalty in (-4.0, -1.0, 0.0, 1.0, 4.0))
    )
    counts = [len(words or []) for (words,) in found]
    assert counts == sorted(counts, reverse=True) and counts[0] > counts[-1]


def test_decoding_by_batches_gives_each_utterance_its_words(graph):
    lengths = [12, 40, 25, 18, 33]
    frames = frames_of(lengths, 1)
    options = replace(WIDE, batch_frames=70, lm_weights=(5.0, 10.0), penalties=(0.0, 0.5))
    decoded = Searcher(graph, NUM_WORDS, options).decode(lengths, lambda number: frames[number])
    assert list(decoded.words) == [(5.0, 0.0), (5.0, 0.5), (10.0, 0.0), (10.0, 0.5)] and decoded.search_seconds > 0
    for weights, rows in decoded.words.items():
        assert rows == [plainly(graph, matrix, *weights) for matrix in frames]


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_an_utterance_without_a_path_is_none_and_harms_no_other(graph, bad):
    frames = frames_of([20, 15], 2)
    frames[0][7] = bad
    ((lost, kept),) = best(Searcher(graph, NUM_WORDS, WIDE), frames, (10.0, 0.0))
    assert lost is None and kept == plainly(graph, frames[1], 10.0, 0.0)


def test_a_single_score_that_is_nan_loses_its_utterance_alone(graph):
    """k2 once ended the process."""
    frames = frames_of([20, 15], 2)
    frames[1][7, 3] = float("nan")
    ((kept, lost),) = best(Searcher(graph, NUM_WORDS, WIDE), frames, (10.0, 0.0))
    assert lost is None and kept == plainly(graph, frames[0], 10.0, 0.0)


def test_a_score_of_minus_infinity_only_forbids_its_state(graph):
    frames = frames_of([20, 15], 2)
    frames[1][7, 3] = -float("inf")
    (found,) = best(Searcher(graph, NUM_WORDS, WIDE), frames, (10.0, 0.0))
    assert found == [plainly(graph, matrix, 10.0, 0.0) for matrix in frames]


def test_words_that_epsilons_left_on_a_final_arc_are_read():
    graph = replace(make_graph([(0, 1, 1, 0.0, 1), (1, 2, FINAL, 0.0, 4)]), word_sequences=((2, 3),))
    assert best(Searcher(graph, 3, WIDE), [torch.zeros(1, 1)], (10.0, 0.0)) == [[[1, 2, 3]]]


def test_a_model_with_fewer_states_than_the_graph_is_refused(graph):
    told = f"decoding: the graph is of another model .expected at least {graph.max_label} states, found 3 states."
    with pytest.raises(Refusal, match=told):
        Searcher(graph, NUM_WORDS, WIDE).lattices([torch.zeros(5, 3)])


class Short(Searcher):
    """A search that finds no memory for more than two utterances at once."""

    fault: Exception = RuntimeError("[enforce fail at alloc_cpu.cpp:66] . DefaultCPUAllocator: can't allocate memory")

    def lattices(self, log_likelihoods):
        if len(log_likelihoods) > 2:
            raise self.fault
        return super().lattices(log_likelihoods)


@pytest.mark.parametrize(
    "fault",
    [MemoryError(), RuntimeError("std::bad_alloc"), RuntimeError("CUDA out of memory. Tried to allocate 2 GiB")],
)
def test_a_search_that_runs_out_of_memory_goes_on_with_smaller_batches(graph, capsys, fault):
    lengths = [12, 40, 25, 18, 33]
    frames = frames_of(lengths, 1)
    options = replace(WIDE, max_active=100, lm_weights=(10.0,), penalties=(0.0,))
    searcher = Short(graph, NUM_WORDS, options)
    searcher.fault = fault
    decoded = searcher.decode(lengths, lambda number: frames[number])
    assert decoded.words[10.0, 0.0] == [plainly(graph, matrix, 10.0, 0.0) for matrix in frames]
    told = capsys.readouterr().err
    assert f"memory is short with 5 utterances at once ({str(fault) or 'MemoryError'}): goes on with half as" in told


def test_other_errors_of_a_search_are_not_taken_for_want_of_memory(graph):
    searcher = Short(graph, NUM_WORDS, replace(WIDE, max_active=100))
    searcher.fault = RuntimeError("Some bad things happened.")
    with pytest.raises(RuntimeError, match="Some bad things happened"):
        searcher.decode([9, 9, 9], lambda number: torch.zeros(9, TABLE.num_pdfs))


def test_a_limit_of_memory_changes_batches_and_no_word(graph):
    lengths = [12, 40, 25, 18, 33]
    frames, batches, words = frames_of(lengths, 1), [], []
    for gib in (0.0, 1e-3):
        searcher = Searcher(graph, NUM_WORDS, replace(WIDE, max_active=10**4, memory=gib))
        batches.append([batch for batch, _ in searcher.search(lengths, lambda number: frames[number])])
        words.append(searcher.decode(lengths, lambda number: frames[number]).words)
    assert len(batches[0]) < len(batches[1]) == 5 and words[0] == words[1]


def test_a_device_that_is_not_there_is_refused(graph):
    with pytest.raises(Refusal, match="device cuda:99: no such device here .expected auto or cpu"):
        Searcher(graph, NUM_WORDS, replace(WIDE, device="cuda:99"))


def test_a_k2_without_cuda_searches_on_the_processor_unless_told_otherwise(graph, monkeypatch):
    monkeypatch.setattr(search, "compute_device", lambda wanted: torch.device("cuda"))
    monkeypatch.setattr(fsa, "k2", lambda: SimpleNamespace(with_cuda=False))
    assert search._device("auto") == torch.device("cpu")
    with pytest.raises(Refusal, match="device cuda: k2 was built without CUDA; take a k2 built for CUDA, or --set"):
        search._device("cuda")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_search_on_cuda_finds_what_the_processor_finds(graph):
    lengths = [40, 33, 25]
    frames = frames_of(lengths, 1)
    options = replace(WIDE, lm_weights=(5.0, 10.0), penalties=(0.0, 0.5))
    found = [
        Searcher(graph, NUM_WORDS, replace(options, device=device)).decode(lengths, lambda number: frames[number]).words
        for device in ("cpu", "cuda")
    ]
    assert found[0] == found[1]


@pytest.mark.parametrize(
    "options, told",
    [
        ({"prior": "uniform"}, "prior must be counts or mean_posterior, found 'uniform'"),
        ({"search_beam": 0.0}, "beams and acoustic_scale must be above 0"),
        ({"lm_weights": (0.0, 1.0)}, "lm_weights and penalties must not be empty, lm_weights above 0"),
        ({"penalties": ()}, "lm_weights and penalties must not be empty"),
        ({"memory": -1.0}, "memory is in GiB, 0 for the default, found -1.0"),
        ({"max_bad": -0.1}, "max_bad is a share between 0 and 1"),
    ],
)
def test_options_out_of_range(options, told):
    with pytest.raises(ValueError, match=told):
        DecodeOptions(**options)
