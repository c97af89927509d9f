"""Clusters of sums, from the bottom up: each time the two merge whose common Gaussian loses the least likelihood."""

from __future__ import annotations

import numpy as np

from kdasr.lang.statistics import log_likelihoods


def clusters(sums: np.ndarray, variance_floor: float, threshold: float = np.inf) -> list[frozenset[int]]:
    """All clusters that ever stand: first each row by itself, then what each merge makes.

    Args:
        sums: of N things to be clustered, (N, 1 + 2 D) float64, as in kdasr.lang.statistics.
        variance_floor: of the Gaussians.
        threshold: no merge is made that loses as much log-likelihood.

    Returns:
        Sets of row numbers.
    """
    sums, own = sums.copy(), log_likelihoods(sums, variance_floor)
    loss = np.full((len(sums), len(sums)), np.inf)  # of rows that stand for a cluster; the others' stays infinite
    for row in range(len(sums)):
        loss[row, :row] = own[row] + own[:row] - log_likelihoods(sums[row] + sums[:row], variance_floor)
    loss = np.minimum(loss, loss.T)
    standing = [frozenset([row]) for row in range(len(sums))]
    made = list(standing)
    while len(sums) and loss.min() < threshold:
        one, other = np.unravel_index(loss.argmin(), loss.shape)
        sums[one] += sums[other]
        own[one] = log_likelihoods(sums[one], variance_floor)
        loss[other], loss[:, other] = np.inf, np.inf
        rest = np.flatnonzero(np.isfinite(loss[one]))
        loss[one, rest] = own[one] + own[rest] - log_likelihoods(sums[one] + sums[rest], variance_floor)
        loss[rest, one] = loss[one, rest]
        standing[one] |= standing[other]
        made.append(standing[one])
    return made


def partition(sums: np.ndarray, variance_floor: float, threshold: float) -> list[int]:
    """The cluster of each row after all merges that lose less than `threshold`: numbers from 0 in order of the rows."""
    last = {row: cluster for cluster in clusters(sums, variance_floor, threshold) for row in cluster}
    numbers: dict[frozenset[int], int] = {}
    return [numbers.setdefault(last[row], len(numbers)) for row in range(len(sums))]
