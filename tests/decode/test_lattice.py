"""Lattices as arrays, against k2's own view of them; on disk; and what is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

pytest.importorskip("k2")

from kdasr import fsa, io
from kdasr.decode.lattice import ARRAYS, LatticeReader, Lattices, LatticeWriter
from kdasr.decode.search import DecodeOptions, Searcher
from kdasr.fsa import FINAL, Graph, make_graph, phone_graph
from kdasr.refusal import Refusal
from tests import toy

WORDS, SEQUENCES = ["A", "B", "C", "D"], [[], [1], [2], [3], [4], [2, 3]]


@pytest.fixture(scope="module")
def graph() -> Graph:
    """A loop over four one-state words; one way to end says two more."""
    source, target = [0] * 4 + [1] * 6, [1] * 8 + [2] * 2
    label, words = [1, 2, 3, 4, 1, 2, 3, 4, FINAL, FINAL], [1, 2, 3, 4, 1, 2, 3, 4, 0, 5]
    score = [-0.5, -2.0, -4.0, -1.0] * 2 + [0.0, -1.0]
    columns = [np.array(column) for column in (source, target, label, score, words)]
    return phone_graph(columns[0], columns[1], columns[2], columns[3], columns[4], ((2, 3),))


@pytest.fixture(scope="module")
def found(graph):
    """k2's lattices of three utterances, the second without a path, and the same as arrays."""
    frames = [toy.random_frames(length, 4, length, 20) for length in (9, 7, 5)]
    frames[1][2] = float("nan")
    lattices = Searcher(graph, 4, DecodeOptions(search_beam=1e3, output_beam=1e2)).lattices(frames)
    return lattices, Lattices.of(lattices)


def test_arrays_hold_every_arc_with_its_scores(found):
    theirs, ours = found
    columns = (theirs.words, theirs.acoustic_scores, theirs.graph_scores)
    expected = sorted(zip(*(column.tolist() for column in columns), strict=True))
    assert sorted(zip(ours.words.tolist(), ours.acoustic.tolist(), ours.graph.tolist(), strict=True)) == expected
    np.testing.assert_allclose(
        np.sort(0.1 * ours.acoustic + ours.graph), np.sort(theirs.scores.numpy()), rtol=1e-5, atol=1e-5
    )


def test_every_arc_takes_one_frame_and_utterances_stay_apart(found):
    _, ours = found
    frame = np.searchsorted(ours.frames, np.arange(ours.frames[-1]), side="right") - 1
    assert (frame[ours.target] == frame[ours.source] + 1).all() and (np.diff(ours.source) >= 0).all()
    assert [int(frame[state]) if state >= 0 else None for state in ours.final] == [10, None, 6]
    owner = {int(ours.final[0]): 0, int(ours.final[2]): 2}
    for source, target in zip(ours.source[::-1].tolist(), ours.target[::-1].tolist(), strict=True):
        assert owner.setdefault(source, owner[target]) == owner[target]
    assert len(owner) == ours.frames[-1]


def test_steps_go_through_all_arcs_in_order(found):
    _, ours = found
    steps = list(ours.steps())
    assert len(steps) == 10 and [arcs.start for arcs, _, _ in steps[1:]] == [arcs.stop for arcs, _, _ in steps[:-1]]
    assert steps[0][0].start == 0 and steps[-1][0].stop == len(ours.source)
    for arcs, before, after in steps:
        assert set(ours.source[arcs]) <= set(range(before.start, before.stop))
        assert set(ours.target[arcs]) == set(range(after.start, after.stop))


def test_a_batch_without_any_path_is_empty(graph):
    lattices = Lattices.of(Searcher(graph, 4, DecodeOptions()).lattices([torch.full((3, 4), float("nan"))] * 2))
    assert lattices.final.tolist() == [-1, -1] and len(lattices.source) == 0 and not list(lattices.steps())


def test_the_torn_beginning_of_a_lost_utterance_is_dropped(graph):
    frames = [toy.random_frames(length, 4, length, 20) for length in (90, 60)]
    frames[0][80] = float("nan")  # late: k2 has kept what came before
    theirs = Searcher(graph, 4, DecodeOptions()).lattices(frames)
    ours = Lattices.of(theirs)
    assert ours.final[0] == -1 and len(ours.frames) == 60 + 3
    torn, whole = np.diff(fsa.arc_splits(theirs))
    assert torn > 0 and len(ours.source) == whole and ours.source.min() == 0


def written(folder, lattices, ids=("a", "b", "c")):
    io.begin(folder, io.Made("decode", {}))
    writer = LatticeWriter(folder, WORDS, SEQUENCES)
    writer.add(ids, lattices)
    writer.add(["d"], replace(lattices, final=lattices.final[:1]))
    io.finish(folder)
    return folder


def test_lattices_read_back(found, tmp_path):
    reader = LatticeReader(written(tmp_path / "out", found[1]))
    assert reader.words == WORDS and reader.sequences == SEQUENCES
    (ids, first), (more, _) = reader
    assert ids == ["a", "b", "c"] and more == ["d"]
    for name in ARRAYS:
        array = getattr(first, name)
        assert np.array_equal(array, getattr(found[1], name)) and array.dtype == getattr(found[1], name).dtype


def test_a_second_writer_leaves_nothing_of_the_first(found, tmp_path):
    written(tmp_path / "out", found[1])
    LatticeWriter(tmp_path / "out", WORDS, SEQUENCES).add(["z"], found[1])
    assert [ids for ids, _ in LatticeReader(tmp_path / "out")] == [["z"]]


def test_a_folder_without_lattices_is_refused(tmp_path):
    io.begin(tmp_path / "out", io.Made("decode", {}))
    io.finish(tmp_path / "out")
    with pytest.raises(Refusal, match="out: no lattices were kept; decode again with --lattices into another folder"):
        LatticeReader(tmp_path / "out")


@pytest.mark.parametrize("damage", ['{"words": ["A"]}', '["A"]', '{"words": ["A"], "sequences": [["x"]]}'])
def test_damaged_words_are_refused(found, tmp_path, damage):
    (written(tmp_path / "out", found[1]) / "lattices" / "words.json").write_text(damage)
    with pytest.raises(Refusal, match="words.json: damaged words of lattices .found .*delete the folder"):
        LatticeReader(tmp_path / "out")


def test_a_foreign_or_truncated_batch_is_refused(found, tmp_path):
    path = written(tmp_path / "out", found[1]) / "lattices" / "batch-0001.safetensors"
    io.save_tensors(path, {"frames": torch.zeros(1)}, {"utterances": []})
    with pytest.raises(Refusal, match="batch-0001.safetensors: not lattices .expected acoustic, final, frames, .*"):
        list(LatticeReader(tmp_path / "out"))
    path.write_bytes(path.read_bytes()[:-2])
    with pytest.raises(Refusal, match="batch-0001.safetensors: damaged or foreign tensor file"):
        list(LatticeReader(tmp_path / "out"))


def test_depths_are_arcs_from_the_start():
    rows = [(0, 1, 1, 0.5, 0), (0, 2, 2, 0.5, 0), (1, 3, 3, 0.5, 0), (2, 3, 3, 0.5, 0), (3, 4, FINAL, 0.5, 0)]
    vector = fsa.stack([fsa.fsa(make_graph(rows))])
    before = vector.scores.clone()
    assert fsa.depths(vector).tolist() == [0, 1, 1, 2, 3] and torch.equal(vector.scores, before)
