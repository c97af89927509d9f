"""Sums of frames, by triphone window and state or by pdf, and the likelihood of the Gaussians that fit them.

The sums of some frames are a row of 1 + 2 D numbers, float64: how many, sum of x, sum of x^2. Rows of frames that are
taken together add up.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

LOG_2PI = math.log(2 * math.pi)


@dataclass(frozen=True)
class ContextStatistics:
    """Sums of the frames of each window and state seen, in order of both; they add up over parts of a set.

    Attributes:
        windows: phone numbers (R, width) int; of a silence phone the neighbours are not told apart, but 0.
        states: HMM states from 0, (R,) int.
        sums: of their frames, (R, 1 + 2 D) float64.
    """

    windows: np.ndarray
    states: np.ndarray
    sums: np.ndarray

    def __add__(self, other: ContextStatistics) -> ContextStatistics:
        keys = np.concatenate([np.column_stack([part.windows, part.states]) for part in (self, other)])
        seen, group = np.unique(keys, axis=0, return_inverse=True)
        sums = pooled(np.concatenate([self.sums, other.sums]), group.reshape(-1), len(seen))
        return ContextStatistics(seen[:, :-1], seen[:, -1], sums)


@dataclass(frozen=True)
class PdfStatistics:
    """Sums of the frames of each pdf; zeros for a pdf that no frame belongs to.

    Attributes:
        occupancy: frames (S,) float64.
        first: sum of x, (S, D) float64.
        second: sum of x^2, (S, D) float64.
    """

    occupancy: np.ndarray
    first: np.ndarray
    second: np.ndarray

    @classmethod
    def of_sums(cls, sums: np.ndarray) -> PdfStatistics:
        """The statistics of rows of sums (S, 1 + 2 D)."""
        return cls(sums[:, 0], *np.split(sums[:, 1:], 2, axis=1))


def pooled(sums: np.ndarray, groups: np.ndarray, num_groups: int) -> np.ndarray:
    """Sums (R, 1 + 2 D) added up by group (R,) int: (num_groups, 1 + 2 D)."""
    total = np.zeros((num_groups, sums.shape[1]))
    np.add.at(total, groups, sums)
    return total


def log_likelihoods(sums: np.ndarray, variance_floor: float) -> np.ndarray:
    """Log-likelihood of frames under the diagonal Gaussian that fits them: mean and variance theirs, `v` not below `f`.

    `-n / 2 * sum_d (log 2 pi + log max(v_d, f) + v_d / max(v_d, f))`, as Kaldi's GaussClusterable.

    Args:
        sums: (..., 1 + 2 D) float64.
        variance_floor: f.

    Returns:
        (...) float64; 0 of no frames.
    """
    frames = sums[..., 0]
    first, second = np.split(sums[..., 1:] / np.maximum(frames, 1)[..., None], 2, axis=-1)
    variance = second - first**2
    floored = np.maximum(variance, variance_floor)
    likelihoods: np.ndarray = -0.5 * frames * (LOG_2PI + np.log(floored) + variance / floored).sum(-1)
    return likelihoods
