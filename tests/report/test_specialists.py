"""Specialists in a report: what they add, by coverage, and what one net keeps."""

import shutil

import pytest

from kdasr.report.files import keep
from kdasr.report.run import read_run
from kdasr.report.specialists import specialists_tables
from tests.report import runs


@pytest.fixture
def text(exp):
    runs.add_specialists(exp)
    return specialists_tables([read_run(exp)])


def row(text: str, begin: str) -> list[str]:
    line = next(line for line in text.splitlines() if line.startswith(f"| {begin} |"))
    return [cell.strip() for cell in line.split("|")[1:-1]]


def test_a_set_that_no_gain_is_of_has_no_columns(text):
    """The gain is of test alone, its systems' word errors too."""
    assert row(text, "system") == ["system", "accuracy %, test", "relative %", "WER %, test"]
    head = "specialists that know the right class"
    assert row(text, head) == [head, "examples, test", "generalist %", "joint %", "relative %", "paper: relative %"]


def test_a_run_without_specialists_has_no_table(exp):
    assert specialists_tables([read_run(exp)]) == ""


def test_systems_are_told_relative_to_the_generalist(text):
    assert row(text, "generalist")[1:3] == ["60.00", "–"]
    assert row(text, "generalist, trained for as many updates more")[1:3] == ["60.50", "0.83"]
    joint = row(text, "generalist and 2 specialists")
    assert joint[1:3] == ["64.00", "6.67"] and joint[3].startswith("8.00 [16 / 200]")
    assert row(text, "one net distilled from these")[1:3] == ["63.20", "5.33"]
    assert "keeps 80 % on test of what specialists add" in text


def test_the_generalists_words_are_those_of_the_member_that_it_is(text):
    assert row(text, "generalist")[3].startswith("12.00 [24 / 200]")


def test_examples_are_told_by_how_many_specialists_know_their_class(text):
    assert row(text, "0")[1:] == ["400", "75.00", "75.00", "+0.00", "+0.0"]
    assert row(text, "1")[1:] == ["600", "50.00", "56.67", "+13.33", "+3.4"]
    assert "| 2 |" not in text
    assert "test 40.00 % to 45.00 % (+12.50 % relative; specialists alone 42.00 %)" in text


def test_an_ordinary_ensemble_and_the_cost_of_a_prediction_stand_beside(text):
    assert row(text, "for comparison: ensemble of 2")[1:3] == ["63.00", "5.00"]
    assert "1.25 specialists are asked an example, so a joint prediction costs 2.25 passes of nets." in text


def test_time_is_of_steps_and_relative_to_the_generalist(text):
    """The generalist takes 300 steps of 256 at 25600 a second, 3 s; specialists 0.5 s and 1 s."""
    assert "in 25.0 % of its generalist's time on average, 33.3 % at most" in text


def test_a_kept_run_tells_the_same(exp, text):
    keep(read_run(exp).files, exp.parent / "kept.json")
    assert specialists_tables([read_run(exp.parent / "kept.json")]) == text
    assert "subset" not in read_run(exp.parent / "kept.json").infos["specialists/nets/specialist-0"]


def test_generalists_of_one_run_have_folders_of_their_own(exp, text):
    shutil.copytree(exp / "specialists", exp / "specialists" / "member-0")
    for name in ("nets", "gain", "accuracy", "score"):
        shutil.rmtree(exp / "specialists" / name)
    assert specialists_tables([read_run(exp)]) == text
    shutil.copytree(exp / "specialists" / "member-0", exp / "specialists" / "member-1")
    both = specialists_tables([read_run(exp)])
    assert row(both, "1")[1] == "1,200" and row(both, "generalist and 2 specialists")[1] == "64.00"
    assert row(both, "for comparison: ensemble of 2")[3].count("[") == 1


def test_a_gain_of_another_set_is_none_of_the_report_s(exp):
    runs.add_specialists(exp)
    (exp / "specialists" / "gain" / "test").rename(exp / "specialists" / "gain" / "more")
    assert specialists_tables([read_run(exp)]) == ""
