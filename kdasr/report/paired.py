"""Whether one system is better than another: paired differences over seeds, and over utterances."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

LEVEL = 0.95
EXACT = 20  # differences at most whose signs are flipped in all ways
SAMPLES, SEED = 1 << 20, 0  # of the flips of more


@dataclass(frozen=True)
class Difference:
    """A mean difference and what chance leaves of it.

    Attributes:
        mean: of the pairs.
        low: lower end of the 95 % interval; that of one pair is unknown, -inf.
        high: its upper end.
        p: two-sided, of a difference as large by chance.
    """

    mean: float
    low: float
    high: float
    p: float


def over_seeds(differences: Sequence[float]) -> Difference:
    """Mean difference over seeds, its 95 % interval by Student's t, and the exact p of flipped signs.

    The interval takes the differences for normal; p takes nothing but that their signs are as likely as not, and is at
    least 2^(1 - n) for n seeds: 0.25 for three, 0.06 for five.

    Args:
        differences: a seed each, at least one.
    """
    mean, count = statistics.fmean(differences), len(differences)
    reach = math.inf
    if count > 1:
        reach = t_quantile((1 + LEVEL) / 2, count - 1) * statistics.stdev(differences) / math.sqrt(count)
    return Difference(mean, mean - reach, mean + reach, sign_flips(differences))


def sign_flips(differences: Sequence[float]) -> float:
    """The share of all ways to choose the differences' signs whose sum is as far from 0 as the sum seen, or farther."""
    values = np.asarray(differences, dtype=np.float64)
    if len(values) > EXACT:
        signs = np.random.default_rng(SEED).integers(0, 2, (SAMPLES // len(values), len(values))) * 2 - 1
        sums = np.append(signs @ values, values.sum())
    else:
        sums = np.zeros(1)
        for value in values:
            sums = np.concatenate([sums + value, sums - value])
    rounding = 1e-9 * np.abs(values).sum()
    return float((np.abs(sums) >= abs(values.sum()) - rounding).mean())


def t_quantile(probability: float, freedom: int) -> float:
    """The value below which Student's t with `freedom` degrees lies with a probability of 0.5 to 1."""
    low, high = 0.0, 1.0
    while t_distribution(high, freedom) < probability:
        high *= 2
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if t_distribution(middle, freedom) < probability else (low, middle)
    return (low + high) / 2


def t_distribution(t: float, freedom: int) -> float:
    """Probability that Student's t lies below `t` (Abramowitz and Stegun 26.7.3 and 26.7.4, finite sums)."""
    angle = math.atan(t / math.sqrt(freedom))
    cosine = math.cos(angle)
    odd = freedom % 2
    term, total = (cosine if odd else 1.0), 0.0
    for number in range(2 + odd, freedom + 1, 2):
        total += term
        term *= cosine**2 * (number - 1) / number
    share = math.sin(angle) * total
    return (1 + (2 / math.pi * (angle + share) if odd else share)) / 2


def over_utterances(
    errors: Sequence[Sequence[float]],
    references: Sequence[Sequence[float]],
    words: Sequence[int],
    samples: int,
    seed: int,
) -> Difference:
    """Difference of two word error rates, per cent, with its 95 % bootstrap interval over the same utterances.

    A system's errors in an utterance are the mean over its seeds (Bisani and Ney 2004).

    Args:
        errors: a row a seed, errors in each utterance.
        references: of the system compared with, the same utterances.
        words: of each utterance's transcript.
        samples: how often the utterances are drawn, as many as there are, with replacement.
        seed: of the draws.

    Returns:
        The first system's rate minus the second's; p is twice the share of the draws on the other side of 0.
    """
    more = np.mean(errors, axis=0) - np.mean(references, axis=0)
    lengths = np.asarray(words, dtype=np.float64)
    draws = np.random.default_rng(seed).multinomial(len(more), np.full(len(more), 1 / len(more)), size=samples)
    rates = 100 * (draws @ more) / np.maximum(1, draws @ lengths)
    low, high = np.quantile(rates, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    other = min((rates <= 0).mean(), (rates >= 0).mean())
    return Difference(
        float(100 * more.sum() / max(1, lengths.sum())), float(low), float(high), min(1.0, 2 * float(other))
    )
