"""The best split of some statistics by a question: the one whose two Gaussians gain the most likelihood over one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kdasr.lang.questions import Question
from kdasr.lang.statistics import ContextStatistics, log_likelihoods
from kdasr.lang.tree import PLACES, STATE

SAME = 1 - 1e-9  # splits into the same two parts gain the same but for rounding: the first question is taken


@dataclass(frozen=True)
class BestSplit:
    """A question and what it does.

    Attributes:
        gain: of log-likelihood.
        question: see kdasr.lang.questions.
        yes: rows of statistics with this answer.
        no: all other rows.
    """

    gain: float
    question: Question
    yes: np.ndarray
    no: np.ndarray


class Splitter:
    """Finds best splits among the rows of statistics; the answers of all rows are worked out once.

    Args:
        statistics: their rows.
        questions: all that may be asked; among equals the first is.
        minimum_occupancy: frames on either side of a split.
        variance_floor: of the Gaussians.
    """

    def __init__(
        self,
        statistics: ContextStatistics,
        questions: Sequence[Question],
        minimum_occupancy: float,
        variance_floor: float,
    ) -> None:
        self.sums, self.questions = statistics.sums, questions
        self.minimum_occupancy, self.variance_floor = minimum_occupancy, variance_floor
        places = PLACES[statistics.windows.shape[1]]
        values = dict(zip(places, statistics.windows.T, strict=True)) | {STATE: statistics.states}
        self.answers = np.stack([np.isin(values[ask], list(members)) for ask, members in questions])

    def best(self, rows: np.ndarray) -> BestSplit | None:
        """The best split of some rows; None if no split gains and leaves frames enough on either side."""
        sums, answers = self.sums[rows], self.answers[:, rows]
        whole, yes = sums.sum(0), answers.astype(np.float64) @ sums
        sides = np.stack([yes, whole - yes])
        gains = log_likelihoods(sides, self.variance_floor).sum(0) - log_likelihoods(whole, self.variance_floor)
        gains[sides[..., 0].min(0) < self.minimum_occupancy] = 0
        if gains.max() <= 0:
            return None
        first = int(np.argmax(gains >= gains.max() * SAME))
        return BestSplit(float(gains[first]), self.questions[first], rows[answers[first]], rows[~answers[first]])
