"""Folds: speakers whole, the same whatever set they are found in; speakers of unlabelled sets alone are in none."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import torch

from kdasr.data.folds import UNSEEN, Folds, fold, without
from kdasr.data.frames import FrameExamples
from kdasr.data.images import ImageExamples
from kdasr.data.table import FrameTable
from kdasr.refusal import Refusal
from tests import images
from tests.tables import speech, write_alignment, write_features

SPEAKERS = "abcdefgh"


def speakers(tmp_path, names=SPEAKERS, transfer=()):
    """A set of two utterances a speaker, who is an id's first letter, and transfer sets of given utterances."""
    features, pdfs = dict[str, Any](), dict[str, Any]()
    for number, name in enumerate(names):
        each = speech(2, number, prefix=name)
        features, pdfs = features | each[0], pdfs | each[1]
    write_features(tmp_path / "feats", features)
    write_alignment(tmp_path / "ali", pdfs, 8)
    more = [FrameTable(write_features(tmp_path / f"more-{n}", each)) for n, each in enumerate(transfer)]
    return FrameExamples(FrameTable(tmp_path / "feats"), FrameTable(tmp_path / "ali"), transfer=more)


def of_parts(examples, number):
    return {part.id: int(Folds(examples, number)(torch.tensor([part.begin]))) for part in examples.parts}


def test_all_frames_of_a_speaker_are_in_one_fold_whatever_the_set(tmp_path):
    examples = speakers(tmp_path / "all")
    folds = Folds(examples, 3)(torch.arange(len(examples)))
    for part in examples.parts:
        assert folds[part.rows].unique().tolist() == [fold(part.speaker, 3)]
    some = of_parts(speakers(tmp_path / "some", "hcb"), 3)
    assert some.items() <= of_parts(examples, 3).items() and len(some) == 6
    assert Folds(examples, 3).present == set(folds.tolist()) == {0, 1, 2}


def test_folds_are_about_as_large():
    counts = Counter(fold(f"speaker-{number}", 5) for number in range(2000))
    assert set(counts) == set(range(5)) and 330 < min(counts.values()) <= max(counts.values()) < 470


def test_a_copy_at_another_speed_is_in_its_speakers_fold():
    for name in ("sp0.9-anna", "sp1.1-anna", "sp0.85-anna", "sp1.1-sp0.9-anna"):
        assert [fold(name, number) for number in (2, 5, 7)] == [fold("anna", number) for number in (2, 5, 7)]
    assert fold("spa-1", 1000) != fold("1", 1000)


def test_speakers_without_labels_are_in_no_fold_unless_they_have_some_elsewhere(tmp_path):
    copies, others = speech(2, 50, prefix="c")[0], speech(2, 51, prefix="x")[0]
    copies = {f"{name}-again": frames for name, frames in copies.items()}
    examples = speakers(tmp_path, transfer=(copies, others))
    found = of_parts(examples, 3)
    assert found["c0-again"] == found["c1-again"] == fold("c", 3) == found["c0"]
    assert found["x0"] == found["x1"] == UNSEEN
    assert Folds(examples, 3).present == {UNSEEN, 0, 1, 2}


def test_images_which_have_no_speakers_are_dealt_out_by_the_part_they_lie_in(tmp_path):
    examples = ImageExamples(images.write_set(tmp_path / "set", 2500, 0))
    folds = Folds(examples, 2)(torch.arange(2500))
    for part in examples.parts:
        assert folds[part.rows].unique().tolist() == [fold(part.id, 2)]


@pytest.mark.parametrize("order", [torch.arange(400), torch.arange(400).flip(0), torch.randperm(400)])
def test_order_and_type_of_the_numbers_are_free(tmp_path, order):
    folds = Folds(speakers(tmp_path), 3)
    assert torch.equal(folds(order.int()), folds(torch.arange(400))[order])


def test_a_set_of_one_fold_cannot_be_left_out_and_one_of_none_is_told(tmp_path, capsys):
    examples = speakers(tmp_path, "a")
    every, own = torch.arange(len(examples)), fold("a", 2)
    told = f"folds: all speakers are in the fold that is left out .expected .*, found those of fold {own} of 2 alone"
    with pytest.raises(Refusal, match=told):
        without(examples, every, own, 2)
    assert torch.equal(without(examples, every, 1 - own, 2), every)
    assert f"no speaker is in fold {1 - own} of 2: none is left out" in capsys.readouterr().err
