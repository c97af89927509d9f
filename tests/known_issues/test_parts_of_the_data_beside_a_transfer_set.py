"""With a transfer set a part of the data was drawn of both together, so hard and soft targets had other utterances."""

from __future__ import annotations

import torch

from kdasr.data.frames import FrameExamples
from kdasr.data.table import FrameTable
from tests.tables import speech, write_features, write_set


def test_a_part_of_the_data_is_the_same_beside_a_transfer_set_and_takes_as_large_a_part_of_that(tmp_path):
    features, alignment = map(FrameTable, write_set(tmp_path, 20, seed=1))
    more = FrameTable(write_features(tmp_path / "more", speech(30, 51, prefix="x")[0]))
    alone, beside = FrameExamples(features, alignment), FrameExamples(features, alignment, transfer=[more])
    part = beside.pool(0.3, 5)
    assert torch.equal(part[part < len(alone)], alone.pool(0.3, 5))
    taken = int((part >= len(alone)).sum()) / (len(beside) - len(alone))
    assert 0.3 <= taken < 0.4
