"""Questions: phones that sound alike, silences, files and what is wrong with them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from kdasr.lang.questions import phone_clusters, questions, read_questions, silence_sets
from kdasr.refusal import Refusal
from tests.lang import seen

TOPOLOGY = seen.topology("abcdx", states=3)  # a to d are 3 to 6, x is 7
SILENCES = [frozenset([0]), frozenset([1]), frozenset([2]), frozenset([0, 1, 2])]


def heard() -> seen.Seen:
    """In state 1 a is like c, b like d; in the others a like b; x is never seen."""
    rng = np.random.default_rng(0)
    middle = {1: (90, 90), 3: (0, 0), 5: (0, 1), 4: (10, 0), 6: (10, 1)}
    edge = {1: (90, 90), 3: (0, 0), 4: (0, 1), 5: (50, 0), 6: (50, 1)}
    frames: dict[seen.Row, np.ndarray] = {}
    for phone in middle:
        for left in (1, 3, 6):
            window = (left, phone, 4) if phone > 1 else (0, 1, 0)
            for state in range(3 if phone > 1 else 2):
                centre = middle[phone] if state == 1 else edge[phone]
                frames[window, state] = rng.normal(centre, 0.3, (6, 2))
    return seen.Seen(TOPOLOGY, frames)


def test_phones_that_sound_alike_in_the_middle_are_asked_together():
    found = phone_clusters(heard().statistics(), TOPOLOGY, 0.01)
    expected = [{1, 3, 4, 5, 6}, {3, 4, 5, 6}, {3, 5}, {4, 6}, {1}, {3}, {4}, {5}, {6}]
    assert len(found) == 9 and set(found) == set(map(frozenset, expected))
    assert list(map(len, found)) == [5, 4, 2, 2, 1, 1, 1, 1, 1]


def test_clusters_are_of_phones_whatever_the_width():
    wide = heard().statistics()
    narrow = replace(wide, windows=wide.windows[:, :2])
    assert phone_clusters(narrow, TOPOLOGY, 0.01) == phone_clusters(wide, TOPOLOGY, 0.01)


def test_silences_and_nothing_are_asked_for():
    assert silence_sets(TOPOLOGY) == SILENCES


def test_each_neighbour_is_asked_for_all_sets_and_the_state_for_the_first():
    sets = [frozenset([3, 4]), frozenset([1])]
    beside = [*sets, *(one for one in SILENCES if one not in sets)]
    states = [("state", frozenset([0])), ("state", frozenset([0, 1]))]
    assert questions(TOPOLOGY, 2, sets) == [*(("left", one) for one in beside), *states]
    both = [(place, one) for place in ("left", "right") for one in beside]
    assert questions(TOPOLOGY, 3, sets) == [*both, *states]


def test_a_file_has_a_question_a_line(tmp_path):
    path = tmp_path / "questions.txt"
    path.write_text("a b\n\n  SIL -  \nx\n")
    assert read_questions(path, TOPOLOGY) == [frozenset([3, 4]), frozenset([1, 0]), frozenset([7])]


@pytest.mark.parametrize(
    "text, told",
    [
        ("a b\nc AH\n", "questions.txt:2: unknown phone 'AH'; known: -, SIL, SPN, a, b, c, d, x"),
        ("SILL a\n", "questions.txt:1: unknown phone 'SILL'; did you mean 'SIL'"),
        ("\n \n", "questions.txt: no questions .expected `PHONE PHONE ...` lines"),
        (b"\xff\xfe", "questions.txt: the file of questions is not a text file"),
        (None, "questions.txt: no such file of questions; name a file of"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused(tmp_path, text, told):
    path = tmp_path / "questions.txt"
    if text is not None:
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(Refusal, match=told):
        read_questions(path, TOPOLOGY)
