"""The best split, against all of them tried on the frames themselves."""

from __future__ import annotations

import numpy as np
import pytest

from kdasr.lang.questions import Question
from kdasr.lang.splitting import Splitter
from tests.lang import seen

FLOOR = 0.05
QUESTIONS: list[Question] = [
    *(("left", frozenset(phones)) for phones in ([0], [1], [3, 4], [3, 5, 6])),
    *(("right", frozenset(phones)) for phones in ([0], [1], [3, 4], [3, 5, 6], [3, 4, 5])),
    ("state", frozenset([0])),
]


def yes(row: seen.Row, question: Question) -> bool:
    (left, _, right), state = row
    return {"left": left, "right": right, "state": state}[question[0]] in question[1]


def tried(spoken: seen.Seen, rows: list[seen.Row], minimum: int) -> dict[Question, float]:
    """Question -> gain, of those that leave frames enough on both sides."""
    gains = {}
    for question in QUESTIONS:
        parts = [[spoken.frames[row] for row in rows if yes(row, question) is answer] for answer in (True, False)]
        if min(sum(map(len, part)) for part in parts) >= minimum:
            after = sum(seen.log_likelihood(np.concatenate(part), FLOOR) for part in parts)
            gains[question] = after - seen.log_likelihood(np.concatenate(parts[0] + parts[1]), FLOOR)
    return gains


@pytest.mark.parametrize("phone", [3, 4, 5, 6])
@pytest.mark.parametrize("minimum", [1, 40])
def test_the_best_split_is_the_best_of_all(phone, minimum):
    spoken = seen.speak(150, seed=phone)
    statistics, rows = spoken.statistics(), sorted(spoken.frames)
    mine = [number for number, row in enumerate(rows) if row in spoken.of_phone(phone)]
    best = Splitter(statistics, QUESTIONS, minimum, FLOOR).best(np.array(mine))
    gains = tried(spoken, [rows[number] for number in mine], minimum)
    assert best is not None and best.question == max(gains, key=lambda question: gains[question])
    assert best.gain == pytest.approx(gains[best.question], rel=1e-9)
    assert best.yes.tolist() == [number for number in mine if yes(rows[number], best.question)]
    assert best.no.tolist() == [number for number in mine if not yes(rows[number], best.question)]


def test_the_minimum_occupancy_is_met_exactly_or_there_is_no_split():
    spoken = seen.speak(60)
    rows = np.array([number for number, row in enumerate(sorted(spoken.frames)) if row in spoken.of_phone(3)])
    gains = tried(spoken, spoken.of_phone(3), 1)
    smaller = {
        question: min(
            sum(len(spoken.frames[row]) for row in spoken.of_phone(3) if yes(row, question) is answer)
            for answer in (True, False)
        )
        for question in gains
    }
    most = max(smaller.values())
    found = [Splitter(spoken.statistics(), QUESTIONS, minimum, FLOOR).best(rows) for minimum in (most, most + 1)]
    assert found[0] is not None and smaller[found[0].question] == most and found[1] is None


def test_of_questions_that_split_alike_the_first_is_asked():
    frames: dict[seen.Row, np.ndarray] = {((left, 3, 4), 0): np.full((5, 2), float(left)) for left in (3, 4)}
    statistics = seen.Seen(seen.topology(), frames).statistics()
    asked = [frozenset([5]), frozenset([4, 6]), frozenset([4]), frozenset([3])]
    for order in (asked, asked[::-1]):
        best = Splitter(statistics, [("left", phones) for phones in order], 1, FLOOR).best(np.array([0, 1]))
        assert best is not None and best.question[1] == next(phones for phones in order if phones != {5})


def test_what_does_not_differ_is_not_split_and_nothing_neither():
    frames: dict[seen.Row, np.ndarray] = {((left, 3, 4), 0): np.ones((5, 2)) for left in (3, 4)}
    splitter = Splitter(seen.Seen(seen.topology(), frames).statistics(), QUESTIONS, 1, FLOOR)
    assert splitter.best(np.array([0, 1])) is None and splitter.best(np.empty(0, int)) is None
