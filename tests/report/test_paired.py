"""Paired differences, against tables of Student's t, enumeration, and what a bootstrap tends to."""

from __future__ import annotations

import itertools
import math
import statistics

import numpy as np
import pytest

from kdasr.report.paired import EXACT, over_seeds, over_utterances, sign_flips, t_distribution, t_quantile


@pytest.mark.parametrize(
    ("freedom", "quantile"),  # 97.5 %: tables of Student's t
    [(1, 12.706), (2, 4.303), (3, 3.182), (4, 2.776), (5, 2.571), (9, 2.262), (10, 2.228), (30, 2.042), (120, 1.980)],
)
def test_quantiles_are_those_of_the_tables(freedom, quantile):
    assert t_quantile(0.975, freedom) == pytest.approx(quantile, abs=5e-4)
    assert t_distribution(t_quantile(0.975, freedom), freedom) == pytest.approx(0.975, abs=1e-12)


@pytest.mark.parametrize("freedom", [1, 2, 3, 4, 7, 8])
def test_the_distribution_is_the_integral_of_its_density(freedom):
    scale = math.gamma((freedom + 1) / 2) / (math.sqrt(freedom * math.pi) * math.gamma(freedom / 2))
    x = np.linspace(0, 1.7, 20001)
    density = scale * (1 + x**2 / freedom) ** (-(freedom + 1) / 2)
    integral = float(((density[1:] + density[:-1]) / 2).sum() * (x[1] - x[0]))
    assert t_distribution(1.7, freedom) == pytest.approx(0.5 + integral, abs=1e-7)
    assert t_distribution(-1.7, freedom) == pytest.approx(0.5 - integral, abs=1e-7)


def test_an_interval_over_seeds_is_the_mean_plus_t_standard_errors():
    found = over_seeds([1.0, 2.0, 3.0])
    assert found.mean == 2.0 and found.high == pytest.approx(2 + 4.3027 / math.sqrt(3), abs=1e-4)
    assert found.low == pytest.approx(2 - 4.3027 / math.sqrt(3), abs=1e-4) and found.p == 0.25
    alone = over_seeds([0.5])
    assert (alone.mean, alone.p) == (0.5, 1.0) and alone.low == -math.inf and alone.high == math.inf


def test_flipped_signs_are_all_ways_to_choose_them():
    differences = np.random.default_rng(3).normal(0.4, 1, 7).tolist()
    seen = abs(sum(differences))
    signs = list(itertools.product((1, -1), repeat=7))
    as_far = [abs(sum(s * d for s, d in zip(each, differences, strict=True))) >= seen - 1e-12 for each in signs]
    assert sign_flips(differences) == statistics.fmean(as_far)
    assert sign_flips([0.1] * 5) == 2 / 2**5 and sign_flips([0.0, 0.0]) == 1.0 and sign_flips([1, -1]) == 1.0


def test_many_differences_are_flipped_by_lot():
    exact = np.random.default_rng(1).normal(0.3, 1, EXACT)
    more = np.append(exact, 0.0)  # a difference of nothing changes no sum
    assert sign_flips(more.tolist()) == pytest.approx(sign_flips(exact.tolist()), abs=0.01)
    assert 0 < sign_flips([1.0] * 40) < 1e-4


def test_a_bootstrap_of_two_utterances_is_their_four_draws():
    """Draws of two utterances: both the first (1/4), one of each (1/2), both the second (1/4)."""
    errors, references, words = [[3, 1]], [[1, 1]], [4, 6]
    found = over_utterances(errors, references, words, 4000, 0)
    assert found.mean == 20.0  # 2 errors more of 10 words
    assert (found.low, found.high) == (0.0, 50.0)  # twice the second; twice the first: 4 of 8 words
    assert found.p == pytest.approx(2 * 0.25, abs=0.03)  # no draw below 0, a quarter at it


def test_the_bootstrap_s_interval_tends_to_the_normal_one_and_swaps_its_sign():
    rng = np.random.default_rng(5)
    count, words = 2000, np.full(2000, 5)
    first, second = rng.integers(0, 3, (3, count)), rng.integers(0, 3, (2, count))
    more = first.mean(0) - second.mean(0)
    error = 100 * more.std() / 5 / math.sqrt(count)
    found = over_utterances(first.tolist(), second.tolist(), words.tolist(), 20000, 1)
    assert found.mean == pytest.approx(100 * more.mean() / 5)
    assert found.high - found.low == pytest.approx(2 * 1.96 * error, rel=0.03)
    swapped = over_utterances(second.tolist(), first.tolist(), words.tolist(), 20000, 1)
    assert (swapped.mean, swapped.low) == pytest.approx((-found.mean, -found.high)) and swapped.p == found.p


def test_shared_errors_leave_no_difference():
    found = over_utterances([[5, 0, 2]], [[5, 0, 2]], [6, 3, 4], 100, 0)
    assert (found.mean, found.low, found.high, found.p) == (0, 0, 0, 1)
