"""Confused classes, counted by hand."""

from __future__ import annotations

import json

import torch

from kdasr.train import confused
from kdasr.train.accuracy import Tally
from kdasr.train.confused import Confused, Pairs, group

NAMES = ["SIL.0", "SIL.1", "AH.0.2", "AH.1.3", "T.0.4"]
RIGHT, FOUND = [0, 0, 2, 2, 2, 3, 4], [0, 1, 3, 3, 4, 3, 2]


def counted() -> Pairs:
    pairs = Pairs()
    pairs.add(torch.tensor(RIGHT[:3]), torch.tensor(FOUND[:3]))
    pairs.add(torch.tensor(RIGHT[3:]), torch.tensor(FOUND[3:]))
    return pairs


def test_pairs_are_counted_over_batches_the_most_frequent_first():
    found = counted().named(NAMES)
    assert found.pairs[0] == ("AH.0.2", "AH.1.3", 2, 3) and ("T.0.4", "AH.0.2", 1, 1) in found.pairs
    assert len(found.pairs) == 4 and found.wrong == 5


def test_groups_are_phones_and_a_row_sums_to_the_frames_of_its_phone():
    found = counted().named(NAMES)
    assert found.groups == ("SIL", "AH", "T")
    assert found.matrix == ((2, 0, 0), (0, 3, 1), (0, 1, 0))


def test_background_classes_taken_for_each_other_are_no_pair_but_count():
    found = counted().named(NAMES, background=(0, 1))
    assert not any(right.startswith("SIL") for right, *_ in found.pairs) and found.wrong == 5


def test_a_class_without_a_state_is_its_own_group():
    assert [group(name) for name in ("7", "AH.1.204", "AH.1", ".5")] == ["7", "AH", "AH", ".5"]


def test_what_is_kept_is_small(monkeypatch):
    monkeypatch.setattr(confused, "GROUPED", 2)
    monkeypatch.setattr(confused, "KEPT", 1)
    found = counted().named(NAMES)
    assert found.groups == () and found.matrix == () and len(found.pairs) == 1 and found.wrong == 5


def test_a_record_is_read_back_from_json():
    found = counted().named(NAMES)
    assert Confused.of(json.loads(json.dumps(found.as_json()))) == found


def test_a_tally_counts_what_its_accuracy_counts():
    tally, labels = Tally(), torch.randint(0, 5, (50,))
    tally.add(torch.randn(50, 5), labels)
    found = tally.pairs.named(NAMES)
    assert found.wrong == 50 - tally.right and sum(map(sum, found.matrix)) == 50
