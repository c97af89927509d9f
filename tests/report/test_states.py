"""Which states are confused, in a report: worked out by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from kdasr import io
from kdasr.report.files import keep
from kdasr.report.run import read_run
from kdasr.report.states import confused, draw_states, occurring, states_tables
from kdasr.train.confused import Confused
from tests.report.test_specialists import row

STUDENT = Confused(
    ("SIL", "AH", "T", "ZH"),
    ((4, 1, 0, 0), (0, 30, 10, 0), (0, 0, 5, 0), (0, 0, 0, 0)),
    (("AH.0.7", "T.0.9", 8, 16), ("AH.1.8", "T.0.9", 2, 20)),
    20,
)
MEMBER = replace(STUDENT, pairs=(("AH.0.7", "T.0.9", 9, 16),))
ENSEMBLE = replace(STUDENT, pairs=(("AH.0.7", "T.0.9", 7, 16), ("AH.1.8", "T.0.9", 1, 20)))


def told(exp: Path, name: str = "test") -> Path:
    """Adds to the scores of a set what is confused on it."""
    for system, together, first in (("members", ENSEMBLE, MEMBER), ("student", STUDENT, STUDENT)):
        record = {"together": together.as_json(), "first": first.as_json()}
        io.write_json(exp / "accuracy" / name / system / "confused.json", record)
    return exp


def test_a_run_scored_by_an_older_version_has_no_table_and_no_picture(exp, tmp_path):
    runs = [read_run(exp)]
    assert states_tables(runs) == "" and not draw_states(tmp_path / "x.png", runs)


def test_pairs_stand_with_the_systems_side_by_side(exp):
    text = states_tables([read_run(told(exp))])
    assert text.startswith(
        "exp, test:\n\n| right state | found state | frames, member-0 | frames, ensemble of 2 | frames, student |"
    )
    assert row(text, "AH.0.7") == ["AH.0.7", "T.0.9", "9", "7", "8", "50.0", "40.00"]
    assert row(text, "AH.1.8") == ["AH.1.8", "T.0.9", "–", "1", "2", "10.0", "10.00"]


def test_dev_is_shown_where_test_does_not_tell(exp):
    assert confused(read_run(told(exp, "dev")))[0] == "dev"
    assert confused(read_run(told(exp)))[0] == "test"


def test_the_picture_has_the_phones_that_occur_and_shares_of_rows(exp, tmp_path):
    phones, shares = occurring(STUDENT)
    assert phones == ["SIL", "AH", "T"] and shares.sum(1) == pytest.approx(1)
    assert shares[1].tolist() == [0, 0.75, 0.25]
    assert draw_states(tmp_path / "x.png", [read_run(told(exp))])
    assert (tmp_path / "x.png").read_bytes().startswith(b"\x89PNG")


def test_too_many_groups_have_a_table_alone(exp, tmp_path):
    none = replace(STUDENT, groups=(), matrix=()).as_json()
    io.write_json(exp / "accuracy" / "test" / "student" / "confused.json", {"together": none, "first": none})
    runs = [read_run(exp)]
    assert "| AH.0.7 |" in states_tables(runs) and not draw_states(tmp_path / "x.png", runs)


def test_a_kept_run_tells_the_same(exp):
    text = states_tables([read_run(told(exp))])
    keep(read_run(exp).files, exp.parent / f"{exp.name}.json")
    assert states_tables([read_run(exp.parent / f"{exp.name}.json")]) == text
