"""Sums of frames and the likelihood of their Gaussian, against the frames themselves."""

from __future__ import annotations

import numpy as np
import pytest

from kdasr.lang.statistics import ContextStatistics, PdfStatistics, log_likelihoods, pooled
from tests.lang import seen


def sums_of(x: np.ndarray) -> np.ndarray:
    return np.concatenate([[len(x)], x.sum(0), (x**2).sum(0)])


@pytest.mark.parametrize("num_frames", [1, 2, 30])
@pytest.mark.parametrize("floor", [0.01, 2.5])
def test_the_likelihood_is_that_of_each_frame_under_the_gaussian_of_all(num_frames, floor):
    x = np.random.default_rng(num_frames).normal(3, [0.05, 1, 4], (num_frames, 3))
    assert log_likelihoods(sums_of(x), floor) == pytest.approx(seen.log_likelihood(x, floor), abs=1e-9)


def test_no_frames_have_no_likelihood_and_rows_are_taken_one_by_one():
    x = np.random.default_rng(0).normal(size=(8, 2))
    rows = np.stack([np.zeros(5), sums_of(x), sums_of(x[:3])])
    expected = [0, *(seen.log_likelihood(part, 0.01) for part in (x, x[:3]))]
    assert log_likelihoods(rows, 0.01) == pytest.approx(expected)
    assert log_likelihoods(rows[:, None], 0.01).shape == (3, 1)


def test_rows_are_added_up_by_group():
    x = np.random.default_rng(1).normal(size=(9, 2))
    rows = np.stack([sums_of(part) for part in (x[:2], x[2:5], x[5:])])
    assert np.allclose(
        pooled(rows, np.array([2, 0, 2]), 3), [sums_of(x[2:5]), np.zeros(5), sums_of(x[[0, 1, 5, 6, 7, 8]])]
    )
    pdfs = PdfStatistics.of_sums(rows)
    assert pdfs.occupancy.tolist() == [2, 3, 4]
    assert np.allclose(pdfs.first[1], x[2:5].sum(0)) and np.allclose(pdfs.second[2], (x[5:] ** 2).sum(0))


def test_parts_add_up_to_the_whole_window_by_window():
    one, two = seen.speak(60, seed=1).frames, seen.speak(60, seed=2).frames
    both = {row: np.concatenate([part[row] for part in (one, two) if row in part]) for row in {*one, *two}}
    parts = [seen.Seen(seen.topology(), frames).statistics() for frames in (one, two)]
    added, whole = parts[0] + parts[1], seen.Seen(seen.topology(), both).statistics()
    assert len(whole.states) < len(one) + len(two)  # some windows are in both
    assert added.windows.tolist() == whole.windows.tolist() and added.states.tolist() == whole.states.tolist()
    assert np.allclose(added.sums, whole.sums)


def test_nothing_adds_nothing():
    some = seen.speak(20).statistics()
    nothing = ContextStatistics(np.empty((0, 3), int), np.empty(0, int), np.empty((0, 5)))
    assert (some + nothing).windows.tolist() == some.windows.tolist()
