"""The table of a study, on rows whose means and differences are known."""

from __future__ import annotations

from typing import Any

import pytest

from kdasr.distill.study import Row
from kdasr.refusal import Refusal
from kdasr.report import cells
from tests.report import runs


def row(kind: str, seed: int | None, accuracy: float, values: dict[str, Any] | None = None, **more: Any) -> Row:
    """Without silence: all frames count."""
    score = {**runs.score(accuracy), "accuracy_without_silence": accuracy, "cross_entropy": 1 - accuracy}
    return runs.row(kind, seed, score, values, **more)


def lines(text: str) -> list[list[str]]:
    return [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("|")]


T1 = [row("student", seed, 0.60 + seed / 100, {"distill.temperature": 1.0}) for seed in (0, 1, 2)]
T5 = [row("student", seed, 0.62 + seed / 50, {"distill.temperature": 5.0}) for seed in (2, 1, 0)]
BASE = [row("baseline", seed, 0.58) for seed in (0, 1)]


def test_what_a_part_of_the_data_costs_and_how_much_of_it_soft_targets_win_back():
    part, hot = {"train.fraction": 0.1}, {"train.fraction": 0.1, "train.epochs": 9}
    base = [row("baseline", s, 0.6 + s / 100, {}) for s in (0, 1)]  # 60.5
    hard = [row("baseline", s, 0.4 + s / 100, part) for s in (0, 1)]  # 40.5, the better one on dev
    worse = [row("baseline", s, 0.3, hot) for s in (0, 1)]
    soft = [row("student", s, 0.505 + s / 10, {"student.fraction": 0.1}) for s in (0, 1)]
    other = [row("student", 0, 0.5, {"student.fraction": 0.3}), row("student", 0, 0.7, {})]
    header, _, *found = lines(cells.study_table([*base, *hard, *worse, *soft, *other], "baseline"))
    assert header[-1] == "gap won back %, dev"
    assert [each[-1] for each in found] == ["–", "–", "–", "75 ± 35 (50–100)", "–", "–"]
    assert "Gap won back: (student − hard labels of the same part" in cells.study_table(
        [*base, *hard, *soft], "baseline"
    )
    assert "ap won back" not in cells.study_table([*base, *soft], "baseline")


def test_baselines_that_were_not_tested_leave_students_that_were_without_shares():
    ensemble = row("ensemble", None, 0.7, {"members": 5}, members=5)
    base = [row("baseline", 0, 0.6), row("baseline", 0, 0.4, {"train.fraction": 0.1})]
    soft = [row("student", 0, 0.5, {"student.fraction": 0.1}), row("student", 0, 0.65, {}, members=5)]
    tested = [{**each, "test": each["dev"]} for each in soft]
    header, _, *found = lines(cells.study_table([*base, ensemble, *tested], "baseline"))
    at = {title: number for number, title in enumerate(header)}
    assert [line[at["gap won back %, dev"]] for line in found[3:]] == ["50", "–"]
    assert [line[at["share of gain %, dev"]] for line in found[3:]] == ["–", "50"]
    assert {line[at[title]] for line in found for title in ("gap won back %, test", "share of gain %, test")} == {"–"}


def test_rows_are_grouped_over_seeds_with_mean_deviation_and_range():
    header, _, *found = lines(cells.study_table([*BASE, *T1, *T5], "baseline"))
    assert header[:3] == ["system", "distill.temperature", "seeds"] and header[3] == "frame accuracy %, dev"
    assert [line[0] for line in found] == ["baseline", "student", "**student**"]  # the best on dev
    assert [line[1:3] for line in found] == [["–", "2"], ["1", "3"], ["5", "3"]]
    assert found[1][3] == "61.00 ± 1.00 (60.00–62.00)" and found[2][3] == "64.00 ± 2.00 (62.00–66.00)"
    assert found[0][3] == "58.00" and found[1][4] == "0.3900 ± 0.0100 (0.3800–0.4000)"


def test_differences_are_of_the_seeds_that_both_have():
    header, _, *found = lines(cells.study_table([*BASE, *T1, *T5], "baseline"))
    assert header[-1] == "accuracy − reference, dev" and found[0][-1] == "reference"
    assert found[1][-1] == "+2.50 (-3.85 to +8.85), p 0.500, n 2"  # 2 and 3; 12.706 x 0.5
    found = lines(cells.study_table([*BASE, *T1, *T5]))[2:]
    assert found[2][-1] == "reference"  # none named: the best on dev
    assert found[1][-1] == "-3.00 (-5.48 to -0.52), p 0.250, n 3"  # -2, -3, -4; 4.3027 / sqrt(3)


def test_seeds_that_never_meet_are_not_compared():
    found = lines(cells.study_table([*BASE, row("student", 7, 0.6)], "baseline"))[2:]
    assert found[1][-1] == "–"


def test_an_ensemble_is_compared_with_each_seed():
    ensembles = [row("ensemble", None, 0.6 + n / 100, {"members": n}, members=n) for n in (1, 2)]
    found = lines(cells.study_table([*T1, *ensembles], T1[0]["system"]))[2:]
    assert [line[:4] for line in found[1:]] == [["ensemble", "–", "1", "–"], ["**ensemble**", "–", "2", "–"]]
    assert found[2][-1] == "+1.00 (-1.48 to +3.48), p 0.500, n 3"  # 62 from 60, 61, 62


def test_axes_are_those_on_which_rows_differ_and_unnamed_values_are_filled_in():
    other = [row("student", seed, 0.6, {"members": 3}, members=3) for seed in (0, 1)]
    rows = [*({**each, "members": 5} for each in T5), *other]
    assert cells.axes(rows) == ["distill.temperature", "members"]
    found = lines(cells.study_table(rows))[2:]
    assert [line[1:3] for line in found] == [["5", "5"], ["2", "3"]]  # T = 2 is the default
    assert cells.axes(T5) == []


def test_where_widths_differ_a_column_says_how_many_weights_a_system_has():
    small = row("student", 0, 0.6, {"dnn.width": 128}, parameters=120_000)
    older = row("student", 0, 0.6, {"dnn.width": 512})  # of a file without the numbers
    found = lines(cells.study_table([small, older]))
    assert found[0][1:4] == ["dnn.width", "parameters", "seeds"]
    assert [line[2] for line in found[2:]] == ["120,000", "–"]
    assert "parameters" not in lines(cells.study_table([*T1, *T5]))[0]


def test_word_errors_are_of_all_seeds_with_a_paired_difference():
    def words(*errors: int) -> dict[str, Any]:
        return {"lm_weight": 9, "penalty": 0, "dev": {"errors": list(errors), "words": [4, 6]}}

    rows = [row("baseline", 0, 0.5, words=words(1, 1)), row("student", 0, 0.6, words=words(3, 1))]
    header, _, *found = lines(cells.study_table(rows, "baseline"))
    assert header[-1] == "WER − reference, dev" and header[4] == "WER %, dev"
    assert [line[4] for line in found] == ["20.00", "40.00"]
    assert found[1][-1].startswith("+20.00 (+0.00 to +50.00), p 0.")
    undecoded = lines(cells.study_table([rows[0], row("student", 0, 0.6)], "baseline"))[2:]
    assert undecoded[1][4] == undecoded[1][-1] == "–"


def test_silence_has_a_column_where_there_is_any():
    spoken = row("baseline", 0, 0.5)
    spoken["dev"]["accuracy_without_silence"] = 0.4
    header, _, found = lines(cells.study_table([spoken]))
    assert header[3] == "without silence %, dev" and found[3] == "40.00"


def test_a_student_s_share_is_of_the_gain_of_an_ensemble_of_its_teachers():
    """Baseline 58; ensemble of 5 62, a gain of 4; students 60 and 61.2: 50 and 80 % of it. One of 2 gains nothing."""
    rows = [*BASE, row("ensemble", None, 0.62, {"members": 5}, members=5)]
    rows += [row("ensemble", None, 0.57, {"members": 2}, members=2)]
    rows += [row("student", seed, accuracy, members=5) for seed, accuracy in ((0, 0.60), (1, 0.612))]
    rows += [row("student", 0, 0.6, {"members": 2}, members=2)]
    rows += [row("student", 0, 0.6, {"distill.mean": "geometric"}, members=5)]
    header, _, *found = lines(cells.study_table(rows, "baseline"))
    assert header[-1] == "share of gain %, dev"
    assert [line[-1] for line in found] == ["–", "–", "–", "65 ± 21 (50–80)", "–", "–"]
    assert "Share of gain" in cells.study_table(rows, "baseline")
    without = cells.study_table(rows, "student")  # a share is of the baseline's gain
    assert "hare of gain" not in without


def test_a_reference_that_is_not_there_is_refused():
    with pytest.raises(Refusal, match="study.reference: unknown system 'basline'; did you mean 'baseline'?"):
        cells.study_table([*BASE, *T1], "basline")
