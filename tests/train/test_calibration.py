"""Reliability against its definition."""

from __future__ import annotations

import pytest
import torch

from kdasr.train.calibration import BINS, Reliability


def test_the_error_is_the_mean_distance_of_accuracy_and_confidence():
    reliability = Reliability()
    reliability.add(torch.tensor([0.90, 0.92, 0.91]), torch.tensor([True, True, False]))  # one bin
    reliability.add(torch.tensor([0.55]), torch.tensor([False]))
    assert reliability.error == pytest.approx((abs(2 - 2.73) + 0.55) / 4)
    assert reliability.line(2)[1] == pytest.approx([2 / 3]) and reliability.line(4) == ([], [])
    confidence, accuracy = reliability.line()
    assert confidence == pytest.approx([0.55, 0.91]) and accuracy == pytest.approx([0, 2 / 3])


def test_who_is_right_as_often_as_sure_has_no_error():
    sure = torch.rand(200_000, generator=torch.manual_seed(1))
    reliability = Reliability()
    reliability.add(sure, torch.rand(200_000) < sure)
    assert reliability.error < 0.005 and len(reliability.line()[0]) == BINS


def test_both_ends_have_a_bin_and_sums_merge():
    one, other = Reliability(), Reliability()
    one.add(torch.tensor([0.0, 1.0, 1.0000001]), torch.tensor([False, True, True]))
    assert one.frames.tolist() == [1, *[0] * (BINS - 2), 2] and one.error == pytest.approx(0, abs=1e-6)
    other.add(torch.tensor([0.0]), torch.tensor([True]))
    one.merge(other.as_json())
    assert one.frames.tolist()[0] == 2 and one.right.tolist()[0] == 1 and one.error == pytest.approx(0.25, abs=1e-6)


def test_nothing_counted_is_no_error():
    assert Reliability().error == 0 and Reliability().line() == ([], [])
