"""Mean and variance normalisation per speaker, for the GMM; the DNN's is global (`FrameExamples.statistics`)."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

import numpy as np

from kdasr.data.table import FrameTable

VARIANCE_FLOOR = 1e-6  # of a coefficient that never changes


@dataclass(frozen=True)
class Stats:
    """Sums over frames.

    Attributes:
        count: frames.
        sum: `(D,)` float64.
        squares: `(D,)` float64, sum of squares.
    """

    count: int
    sum: np.ndarray
    squares: np.ndarray

    @classmethod
    def of(cls, frames: np.ndarray) -> Stats:
        """The sums over `(T, D)` frames of any float type."""
        exact = np.asarray(frames, np.float64)
        return cls(len(exact), exact.sum(0), np.einsum("td,td->d", exact, exact))

    def __add__(self, other: Stats) -> Stats:
        return Stats(self.count + other.count, self.sum + other.sum, self.squares + other.squares)

    @property
    def finite(self) -> bool:
        """Whether no frame held NaN or infinity."""
        return bool(np.isfinite(self.squares).all())

    @property
    def mean(self) -> np.ndarray:
        """`(D,)` float64."""
        return np.asarray(self.sum / self.count)

    @property
    def deviation(self) -> np.ndarray:
        """Standard deviation, `(D,)` float64, floored above 0."""
        return np.asarray(np.sqrt(np.maximum(self.squares / self.count - self.mean**2, VARIANCE_FLOOR)))

    def apply(self, frames: np.ndarray, variance: bool = True) -> np.ndarray:
        """`(T, D)` float32 frames with the mean taken to 0 and, with `variance`, the deviation to 1."""
        centred = np.asarray(frames, np.float32) - self.mean.astype(np.float32)
        return centred / self.deviation.astype(np.float32) if variance else centred


def speaker_stats(table: FrameTable, wanted: Collection[str] | None = None) -> dict[str, Stats]:
    """Statistics of each speaker of a table, or of the wanted ones, over all that they said."""
    return total(
        (utterance.speaker, table.frames(utterance))
        for utterance in table.utterances
        if wanted is None or utterance.speaker in wanted
    )


def total(said: Iterable[tuple[str, np.ndarray]]) -> dict[str, Stats]:
    """Statistics of each speaker over `(speaker, (T, D) frames)` of utterances, each of a frame or more.

    An utterance with NaN or infinity counts only where its speaker has no other, whom it would spoil.
    """
    found: dict[str, Stats] = {}
    for speaker, frames in said:
        own, others = Stats.of(frames), found.get(speaker)
        if others is None or not others.finite:
            found[speaker] = own
        elif own.finite:
            found[speaker] = others + own
    return found
