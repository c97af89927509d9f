"""Parts of a training set: who is in them, their frames, alignments found again, silence boosted, trees taken over."""

from __future__ import annotations

import numpy as np
import pytest
import torch

pytest.importorskip("k2")

from kdasr.align import fmllr, scratch
from kdasr.align.aligner import AlignOptions
from kdasr.align.frontend import DELTAS, Projection
from kdasr.align.gmm import Gmm, flat_gmm
from kdasr.align.model import gmm_frames
from kdasr.align.monophone import flat_part
from kdasr.align.part import NUM_PARTS, Part, Share, TrainingSet
from kdasr.data.table import FrameTable
from kdasr.lang.tree import Leaf, Split, Tree
from kdasr.refusal import Refusal
from tests import toy
from tests.tables import write_features

LEXICON = toy.lexicon(3, 5)
SCALES = AlignOptions()
TEXTS = toy.sentences(14)


@pytest.fixture(scope="module")
def speech(tmp_path_factory) -> FrameTable:
    folder, _ = toy.write_speech(tmp_path_factory.mktemp("speech") / "mfcc", TEXTS)
    return FrameTable(folder)


def part_of(table: FrameTable, texts: dict[str, str], boost: float = 0.0) -> Part:
    part = flat_part(Share(table.folder, list(texts), list(texts.values()), LEXICON))
    part.tie(part.tree, SCALES, boost)
    return part


def test_every_utterance_is_in_one_part_of_a_fixed_number(speech):
    shares = TrainingSet.of(speech, TEXTS, LEXICON, 0.0).shares
    assert len(shares) == NUM_PARTS and sorted(id for share in shares for id in share.ids) == sorted(TEXTS)
    assert all(share.texts == [TEXTS[id] for id in share.ids] for share in shares)


def test_a_large_set_has_more_parts_of_bounded_size(speech, monkeypatch):
    longest = max(utterance.num_frames for utterance in speech.utterances)
    monkeypatch.setattr("kdasr.align.part.PART_FRAMES", 2 * longest)
    shares = TrainingSet.of(speech, TEXTS, LEXICON, 0.0).shares
    assert len(shares) > NUM_PARTS and sorted(id for share in shares for id in share.ids) == sorted(TEXTS)


def test_what_grows_with_a_part_lies_in_files(speech, monkeypatch):
    made, empty = [], scratch.empty
    monkeypatch.setattr(scratch, "empty", lambda *shape: made.append(empty(*shape)) or made[-1])  # type: ignore[func-returns-value]
    part = part_of(speech, TEXTS)
    assert [array.ctypes.data for array in made] == [part.transitions.ctypes.data, part.frames.data_ptr()]
    assert isinstance(part.aligner._arcs[0].base, np.memmap) and all(isinstance(array, np.memmap) for array in made)


def test_frames_are_those_of_the_front_end_and_of_each_speaker_s_transform(speech):
    part, whole = part_of(speech, TEXTS), [speech.by_id[id] for id in TEXTS]
    assert torch.equal(part.frames, torch.cat(gmm_frames(speech, whole, DELTAS)))
    projection = Projection(torch.randn(5, 12), 1)
    moved = {speaker: torch.randn(5, 6) for speaker in "ab"}
    part.see(projection, moved)
    assert torch.equal(part.frames, torch.cat(gmm_frames(speech, whole, projection, moved)))
    plain = torch.cat(
        [fmllr.apply(moved[u.id[0]], x) for u, x in zip(whole, gmm_frames(speech, whole, projection), strict=True)]
    )
    assert torch.allclose(part.frames, plain)
    assert [len(matrix) for matrix in part.matrices] == part.lengths


def test_speech_is_what_is_aligned_to_other_phones_than_silence(speech):
    part = part_of(speech, TEXTS)
    part.follow([None if number == 3 else path for number, path in enumerate(part.paths)])
    rows, pdfs = part.spoken()
    edges = np.cumsum([0, *part.lengths])
    expected = [
        (edges[number] + frame, part.tree.table.pdf[id])
        for number, path in enumerate(part.paths)
        if path is not None
        for frame, id in enumerate(path.tolist())
        if part.tree.table.phone[id] > 2  # 1 is silence, 2 the unknown word's noise
    ]
    assert list(zip(rows.tolist(), pdfs.tolist(), strict=True)) == expected


def test_a_tree_is_taken_over_with_the_alignment(speech):
    part = part_of(speech, TEXTS)
    tree = part.tree
    shared = Split("state", frozenset([0]), Leaf(10), Leaf(11))  # all speech phones share two pdfs
    tied = Tree(tree.topology, 3, (*tree.roots[:2], *((phones, shared) for phones, _ in tree.roots[2:])))
    before = [path.copy() for path in part.paths if path is not None]
    part.tie(tied, SCALES, 0.0)
    for old, new in zip(before, part.paths, strict=True):
        for name in ("phone", "state", "destination"):
            assert np.array_equal(getattr(tree.table, name)[old], getattr(tied.table, name)[new])
    gmm = Gmm(torch.arange(12), torch.ones(12), torch.randn(12, 12), torch.ones(12, 12))
    part.align(gmm, torch.zeros(len(tied.table)))
    assert all(path is not None and path.max() < len(tied.table) for path in part.paths)


def test_an_utterance_too_short_for_the_flat_start_is_found_by_realignment(tmp_path):
    rng = np.random.default_rng(0)
    features = {"a1": rng.normal(size=(60, 4)), "a2": rng.normal(size=(8, 4))}  # SIL A SIL is flat from 13 frames on
    table = FrameTable(write_features(tmp_path / "mfcc", {id: array.astype("f4") for id, array in features.items()}))
    part = part_of(table, {"a1": "A", "a2": "A"})
    gmm = flat_gmm(lambda: [part.frames], part.tree.table.num_pdfs)
    statistics, counts, lost = part.statistics(gmm)
    assert lost == [1] and statistics.num_frames == 60 == counts.sum()
    part.align(gmm, torch.zeros(len(part.tree.table)))
    statistics, counts, lost = part.statistics(gmm)
    assert lost == [] and statistics.num_frames == 68 == counts.sum()


def test_boosted_silence_takes_more_frames(speech):
    gmm, frames = flat_gmm(lambda: gmm_frames(speech), 25), []
    gmm.mean.add_(torch.randn(gmm.mean.shape, generator=torch.Generator().manual_seed(0)))
    for boost in (0.0, 60.0):
        part = part_of(speech, TEXTS, boost)
        part.align(gmm, torch.zeros(len(part.tree.table)))
        frames.append(sum(int((part.tree.table.phone[path] == 1).sum()) for path in part.paths if path is not None))
    assert frames[1] > frames[0] > 0


def test_who_has_no_alignment_at_the_end_is_named_or_too_many(speech, capsys):
    chosen = TrainingSet.of(speech, TEXTS | {"a00": ""}, LEXICON, 0.2)
    assert "a00 (empty transcript)" in capsys.readouterr().err
    lost = chosen.shares[1].ids[2]
    assert chosen.not_aligned([[], [2], [], []]) == sorted(["a00", lost])
    assert f"{lost} (no path found)" in capsys.readouterr().err
    with pytest.raises(Refusal, match=r"4 of 14 utterances did not align .expected at most 20%"):
        chosen.not_aligned([[0], [1, 2], [], []])
