"""Numbers of the tables, worked out by hand."""

import json
import shutil

import pytest

from kdasr import models
from kdasr.report import tables
from kdasr.report.run import STUDENT, read_run
from tests.report import runs


def cells(text: str, row: str) -> list[str]:
    line = next(line for line in text.splitlines() if line.startswith(f"| {row}"))
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_columns_that_say_nothing_are_left_out():
    told = tables.told_table(("system", "dev", "test"), [("one", tables.NONE, "3"), ("two", tables.NONE, tables.NONE)])
    assert told == f"| system | test |\n| --- | --- |\n| one | 3 |\n| two | {tables.NONE} |\n"


def test_spread_is_the_sample_deviation_and_the_range():
    assert tables.spread([1.0, 2.0, 6.0], 2) == "3.00 ± 2.65 (1.00–6.00)"  # sqrt((4 + 1 + 9) / 2)
    assert tables.spread([5.0], 1) == "5.0"
    assert tables.spread([5.0, 5.0], 1) == "5.0"
    assert tables.spread([], 2) == "–"


def test_the_systems(exp):
    text = tables.systems_table([read_run(exp)])
    assert cells(text, "members, mean of 2")[1:9] == [
        "63.00 ± 1.41 (62.00–64.00)",  # 2 points apart: sqrt(1 + 1)
        "61.00 ± 1.41 (60.00–62.00)",
        "53.00 ± 1.41 (52.00–54.00)",
        "51.00 ± 1.41 (50.00–52.00)",
        "0.7400 ± 0.0283 (0.7200–0.7600)",
        "0.7800 ± 0.0283 (0.7600–0.8000)",
        "11.00 ± 1.41 (10.00–12.00) [11 / 100]",
        "11.00 ± 1.41 (10.00–12.00) [22 / 200]",
    ]
    assert cells(text, "ensemble of 2")[7:] == [
        "8.00 [8 / 100], 6.00 to 10.00",
        "8.00 [16 / 200], 7.00 to 9.00",
        *("11; 0", "2 × 114", "61.1", "10.7"),
    ]
    assert cells(text, "monophone GMM")[1:7] == ["–"] * 6
    assert cells(text, "monophone GMM")[9:] == ["8; 0", "3 states, 7 Gaussians", "", ""]
    assert cells(text, "baseline (member-0)")[2] == "60.00"
    assert cells(text, "members")[9] == "9 to 10; 0"


def test_parameters_are_those_of_the_built_model():
    options = models.find("dnn").OPTIONS(1, 10)
    built = models.build("dnn", options, (2, 3), 4)
    assert sum(parameter.numel() for parameter in built.parameters()) == 114 == (6 + 1) * 10 + (10 + 1) * 4


def test_the_share_of_the_gain(exp):
    text = tables.shares_table([read_run(exp)])
    assert cells(text, "test accuracy")[1:] == ["61.00", "+2.00", "+1.50", "75 %", "86 %"]
    assert cells(text, "test WER")[1:] == ["11.00", "-3.00", "-2.00", "67 %", "100 %"]
    assert cells(text, "dev accuracy")[1:] == ["63.00", "+2.00", "+1.50", "75 %", ""]


def test_the_papers_own_share():
    assert tables.share(61.1 - 58.9, 60.8 - 58.9) == tables.PAPER_SHARES["test accuracy"]


@pytest.mark.parametrize("gain", [0.0, -0.5])
def test_no_share_of_no_gain(gain):
    assert tables.share(gain, 1.0) == "n/a"


@pytest.mark.parametrize(("member", "share"), [(20, "200 %"), (19, "n/a")])
def test_no_share_of_less_than_one_word(exp, member, share):
    """Members make 24 and 20 (or 19) errors, the ensemble 21, which is one word (or half a word) better."""
    for system, errors in (("members/member-1", member), ("members/ensemble", 21), ("student", 20)):
        file = exp / "score" / system / "wer.json"
        rates = json.loads(file.read_text())
        file.write_text(json.dumps({**rates, "test": runs.rate(errors, runs.TEST_WORDS)}))
    assert cells(tables.shares_table([read_run(exp)]), "test WER")[4] == share


def test_a_student_may_lose_or_exceed():
    assert tables.share(2.0, -1.0) == "-50 %" and tables.share(2.0, 3.0) == "150 %"


def test_no_share_without_a_student(exp):
    for place in ("student", "accuracy/dev/student", "accuracy/test/student", "score/student"):
        shutil.rmtree(exp / place)
    run = read_run(exp)
    assert run.systems[STUDENT] == [] and tables.shares_table([run]) == ""
    assert "student" not in tables.systems_table([run])


def test_several_runs_pool_the_members_and_average_the_gains(exp):
    other = runs.write_run(exp.parent / "other", (2, 3), 0.02)
    both = [read_run(exp), read_run(other)]
    text = tables.systems_table(both)
    assert cells(text, "baseline (member-0, member-2)")[2] == "61.00 ± 1.41 (60.00–62.00)"
    assert cells(text, "members, mean of 4")[2] == "62.00 ± 1.63 (60.00–64.00)"  # 60 62 62 64: sqrt(8 / 3)
    assert cells(text, "monophone GMM")[8] == "20.00 [40 / 200]"
    assert cells(tables.shares_table(both), "test accuracy")[1:5] == [
        *("62.00", "+2.00", "+1.50"),
        "75 % (by run: 75 %, 75 %)",
    ]


def test_the_comparison_with_kaldi(exp):
    runs.add_kaldi(exp)
    text = tables.kaldi_table([read_run(exp)])
    assert cells(text, "triphone GMM")[1:5] == [
        *("1,200 states, 9,000 Gaussians", "bigram"),
        *("15.00 [30 / 200], 14.00 to 16.00", "9; 0"),
    ]
    assert cells(text, "triphone GMM")[5] == "15.50 [31 / 200], 14.50 to 16.50"
    assert cells(text, "monophone GMM")[1:4] == ["–", "ug", "25.00 [50 / 200], 24.00 to 26.00"]
    assert text.index("monophone") < text.index("triphone")


def test_what_one_word_weighs(exp):
    note = tables.words_note([read_run(exp)])
    assert "one of the 100 dev words is 1.00 %" in note and "one of the 200 test words is 0.50 %" in note
