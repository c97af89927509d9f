"""Forced alignment by k2 against plain dynamic programming, and what becomes of utterances without a path."""

from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("k2")

from kdasr.align import aligner
from kdasr.align.aligner import Aligner, AlignOptions, batches_by_length
from kdasr.align.model import scaled_transitions
from kdasr.lang.graph import alignment_graph
from kdasr.lang.topology import make_topology
from kdasr.lang.tree import Tree
from tests import toy

LEXICON = toy.lexicon(2, 3)
TREE = Tree.monophone(make_topology(LEXICON))
TOPOLOGY, TABLE = TREE.topology, TREE.table
SCORES = scaled_transitions(TABLE, torch.from_numpy(np.log(TABLE.probability)).float(), 1.0, 0.1)
TEXTS = ["A", "TO B A", "AB TWO", "B", "B B B"]


def graph_of(text: str):
    return alignment_graph(text.split(), LEXICON, TREE)


def frames_of(lengths: list[int], seed: int = 0) -> list[torch.Tensor]:
    return [toy.random_frames(length, TABLE.num_pdfs, 100 * seed + number, 20) for number, length in enumerate(lengths)]


def align(texts: list[str], frames: list[torch.Tensor], **options: Any) -> list[Any]:
    made = Aligner([graph_of(text) for text in texts], [len(matrix) for matrix in frames], AlignOptions(**options))
    return made.align(lambda batch: [frames[number] for number in batch], SCORES)


@pytest.mark.parametrize("seed", range(3))
def test_paths_are_the_plain_viterbi_s_in_length_words_and_score(seed):
    frames = frames_of([7, 41, 23, 12, 30], seed)
    for text, matrix, path in zip(TEXTS, frames, align(TEXTS, frames, batch_frames=60), strict=True):
        assert path is not None and path.dtype == np.int32 and len(path) == len(matrix)
        graph = graph_of(text).with_transitions(SCORES.numpy())
        best, _ = toy.viterbi(graph, 0.1 * matrix)
        found, arcs = toy.viterbi(graph, 0.1 * matrix, path.tolist())
        assert found == pytest.approx(best, abs=1e-3)
        read = toy.words_of(graph, arcs, len(LEXICON.words))
        assert [LEXICON.words[word - 1] for word in read] == text.split()


def test_a_path_goes_through_whole_hmms():
    frames = frames_of([30, 20, 25, 15, 40])
    for path in align(TEXTS, frames):
        assert path is not None and TABLE.state[path[0]] == 0
        sizes = np.array([TOPOLOGY.num_states(int(phone)) for phone in TABLE.phone[path]])
        left = TABLE.destination[path] == sizes
        assert left[-1] and (TABLE.state[path[1:]][left[:-1]] == 0).all()
        stays = ~left[:-1]
        assert (TABLE.state[path[1:]][stays] == TABLE.destination[path[:-1]][stays]).all()
        assert (TABLE.phone[path[1:]][stays] == TABLE.phone[path[:-1]][stays]).all()


def test_batches_change_no_path():
    frames = frames_of([7, 41, 23, 12, 30])
    together, alone = (align(TEXTS, frames, batch_frames=size) for size in (10000, 1))
    assert all(np.array_equal(one, other) for one, other in zip(together, alone, strict=True))


def test_the_same_aligner_serves_every_round():
    frames = frames_of([20, 30])
    made = Aligner([graph_of("A"), graph_of("B A")], [20, 30], AlignOptions())
    first: list[Any] = made.align(lambda batch: [frames[number] for number in batch], SCORES)
    made.align(lambda batch: [frames[number] for number in batch], SCORES * 30)
    third: list[Any] = made.align(lambda batch: [frames[number] for number in batch], SCORES)
    assert all(np.array_equal(one, other) for one, other in zip(first, third, strict=True))


def test_an_utterance_shorter_than_its_states_has_no_path_and_harms_no_other():
    frames = frames_of([3, 30])
    short, whole = align(["AB", "AB"], frames)
    assert short is None and whole is not None and len(whole) == 30


def test_what_the_first_beam_loses_is_searched_again_with_the_second(monkeypatch):
    searched = []
    search = aligner._search

    def losing(graphs, matrices, beam):
        found: list[Any] = search(graphs, matrices, beam)
        searched.append((beam, len(matrices)))
        return [None if beam == 1.0 and len(path) == 20 else path for path in found]

    monkeypatch.setattr(aligner, "_search", losing)
    frames = frames_of([30, 20, 10])
    paths = align(["A", "B", "A"], frames)
    assert searched == [(1.0, 3), (20.0, 1)] and [len(path) for path in paths] == [30, 20, 10]
    best, _ = toy.viterbi(graph_of("B").with_transitions(SCORES.numpy()), 0.1 * frames[1])
    again, _ = toy.viterbi(graph_of("B").with_transitions(SCORES.numpy()), 0.1 * frames[1], paths[1].tolist())
    assert again == pytest.approx(best, abs=1e-3)


def test_batches_hold_every_utterance_once_longest_first_within_the_limit():
    lengths = np.random.default_rng(0).integers(1, 500, 200).tolist()
    batches = batches_by_length(lengths, 2000)
    assert sorted(number for batch in batches for number in batch) == list(range(200))
    for batch in batches:
        sizes = [lengths[number] for number in batch]
        assert sizes == sorted(sizes, reverse=True) and len(batch) * sizes[0] <= 2000
    assert batches_by_length([5000], 2000) == [[0]]  # one longer than the limit goes alone


@pytest.mark.parametrize(
    "options, told",
    [
        ({"beam": 0.0}, "acoustic_scale and beams must be above 0"),
        ({"acoustic_scale": -1.0}, "acoustic_scale and beams must be above 0"),
        ({"batch_frames": 0}, "batch_frames at least 1"),
        ({"max_bad": 5.0}, "max_bad is a share between 0 and 1, found 5.0"),
    ],
)
def test_options_out_of_range(options, told):
    with pytest.raises(ValueError, match=told):
        AlignOptions(**options)
