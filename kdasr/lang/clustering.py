"""Clusters of sums: divided from the top down into halves, or merged from the bottom up, by likelihood of Gaussians."""

from __future__ import annotations

import numpy as np

from kdasr.lang.statistics import log_likelihoods, pooled

ROUNDING = 1e-9  # of a log-likelihood: a move must gain more


def divisions(sums: np.ndarray, variance_floor: float) -> list[list[int]]:
    """All clusters of a division into halves, halves of halves, and so on to single rows.

    Args:
        sums: of N things to be clustered, none without frames, (N, 1 + 2 D) float64, as in kdasr.lang.statistics.
        variance_floor: of the Gaussians.

    Returns:
        Row numbers of each cluster, the largest first; 2 N - 1 clusters.
    """
    found, waiting = [], [np.arange(len(sums))] if len(sums) else []
    while waiting:
        rows = waiting.pop()
        found.append(rows.tolist())
        if len(rows) > 1:
            half = halves(sums[rows], variance_floor)
            waiting += [rows[half == 0], rows[half == 1]]
    return sorted(found, key=len, reverse=True)


def halves(sums: np.ndarray, variance_floor: float) -> np.ndarray:
    """The likeliest division in two by Gaussians, as far as moves of single rows find it: 0 or 1 for each row, (N,).

    A start is a cut through the middle along a principal direction of the means; the best end of all starts is taken.
    """
    means = sums[:, 1 : 1 + sums.shape[1] // 2] / sums[:, :1]
    weighted = np.sqrt(sums[:, :1]) * (means - np.average(means, axis=0, weights=sums[:, 0]))
    _, _, directions = np.linalg.svd(weighted, full_matrices=False)
    ranks = np.argsort(np.argsort(weighted @ directions.T, axis=0, kind="stable"), axis=0, kind="stable")
    ends = [
        _moved(sums, (ranks >= len(sums) // 2)[:, start].astype(int), variance_floor)
        for start in range(len(directions))
    ]
    return max(ends, key=lambda end: end[1])[0]


def _moved(sums: np.ndarray, half: np.ndarray, variance_floor: float) -> tuple[np.ndarray, float]:
    """Moves the row that gains most to the other half until none gains; the halves and their log-likelihood."""
    rows = np.arange(len(sums))
    while True:
        both = pooled(sums, half, 2)
        now = float(log_likelihoods(both, variance_floor).sum())
        left, joined = log_likelihoods(np.stack([both[half] - sums, both[1 - half] + sums]), variance_floor)
        then = np.where(np.bincount(half)[half] > 1, left + joined, -np.inf)
        best = int(then.argmax())
        if then[best] <= now + ROUNDING * abs(now):
            return half, now
        half = np.where(rows == best, 1 - half, half)


def partition(sums: np.ndarray, variance_floor: float, threshold: float) -> np.ndarray:
    """Merges clusters, always the two whose common Gaussian loses the least log-likelihood, while that is too little.

    Args:
        sums: of N things to be clustered, (N, 1 + 2 D) float64, as in kdasr.lang.statistics.
        variance_floor: of the Gaussians.
        threshold: no merge is made that loses as much.

    Returns:
        The cluster of each row, (N,) int, numbered from 0 in the order of the rows.
    """
    sums, own, standing = sums.copy(), log_likelihoods(sums, variance_floor), np.arange(len(sums))
    loss = np.full((len(sums), len(sums)), np.inf)  # of rows that stand for a cluster; the others' stays infinite
    for row in range(len(sums)):
        loss[row, :row] = own[row] + own[:row] - log_likelihoods(sums[row] + sums[:row], variance_floor)
        loss[:row, row] = loss[row, :row]
    while loss.min() < threshold:
        one, other = np.unravel_index(loss.argmin(), loss.shape)
        sums[one] += sums[other]
        own[one] = log_likelihoods(sums[one], variance_floor)
        loss[other], loss[:, other] = np.inf, np.inf
        rest = np.flatnonzero(np.isfinite(loss[one]))
        loss[one, rest] = own[one] + own[rest] - log_likelihoods(sums[one] + sums[rest], variance_floor)
        loss[rest, one] = loss[one, rest]
        standing[standing == other] = one
    _, first, number = np.unique(standing, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[number.reshape(-1)]
