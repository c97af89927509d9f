"""Pictures of a study: which systems are a line, and what is drawn of them."""

from __future__ import annotations

from typing import Any

from kdasr.distill.study import Row
from kdasr.report.lines import curves, draw_study, lines, measures, telling
from tests.report import runs


def row(kind: str, seed: int | None, accuracy: float, values: dict[str, Any], **more: Any) -> Row:
    return runs.row(kind, seed, runs.score(accuracy), values, **more)


def study() -> list[Row]:
    """Students of 5 members at three temperatures, two seeds; one of 2 members at T = 2; ensembles of 2 and 5."""
    at = {1: 0.60, 2: 0.64, 10: 0.62}
    rows = [row("student", s, a + s / 50, {"distill.temperature": t}, members=5) for t, a in at.items() for s in (0, 1)]
    rows += [row("student", s, 0.61, {"members": 2}, members=2) for s in (0, 1)]
    return rows + [row("ensemble", None, 0.6 + n / 100, {"members": n}, members=n) for n in (2, 5)]


def test_systems_that_differ_along_one_axis_alone_are_a_line():
    found = {line.name: line.points for line in lines(study(), "distill.temperature", "frame accuracy %, dev")}
    assert found.keys() == {"student, members 5"}
    assert [at for at, _ in found["student, members 5"]] == [1, 2, 10]
    assert [round(score, 6) for _, scores in found["student, members 5"] for score in scores] == [
        60,
        62,
        64,
        66,
        62,
        64,
    ]


def test_a_cell_of_another_table_is_a_point_where_its_settings_fit():
    found = {line.name: line.points for line in lines(study(), "members", "frame accuracy %, dev")}
    assert found.keys() == {"student, temperature 2", "ensemble"}
    assert [at for at, _ in found["student, temperature 2"]] == [2, 5] == [at for at, _ in found["ensemble"]]


def test_curves_are_named_by_what_tells_systems_apart_and_are_means_over_seeds():
    few = {"train.fraction": 0.03, "train.epochs": 3}
    found = [row("baseline", s, 0.6, {}, training={"accuracy": 0.7, "dev": [0.5, 0.6]}) for s in (0, 1)]
    found += [row("baseline", s, 0.3, few, training={"accuracy": 0.9, "dev": [0.2, s / 10, 0.3]}) for s in (0, 4)]
    found += [row("student", 0, 0.5, {"student.epochs": 8}, training={"accuracy": 0.7, "dev": [0.4]})]
    found += [row("ensemble", None, 0.6, {"members": 2}, members=2)]
    assert telling(found) == ["train.fraction"]
    assert {name: [round(x, 6) for x in values] for name, values in curves(found).items()} == {
        "baseline, fraction 1": [50, 60],
        "baseline, fraction 0.03": [20, 20, 30],
        "student": [40],
    }
    assert curves(study()) == {}


def test_a_study_whose_systems_differ_along_several_axes_at_once_is_drawn_by_its_curves(tmp_path):
    found = [row("baseline", 0, 0.6, {}, training={"accuracy": 0.7, "dev": [0.5, 0.6]})]
    assert draw_study(tmp_path / "curves.png", found)


def test_word_errors_are_drawn_where_all_was_decoded_and_test_where_all_was_tested():
    words = {"lm_weight": 9, "penalty": 0, "dev": {"errors": [1, 1], "words": [5, 3]}}
    rows = [{**each, "words": words} for each in study()]
    assert measures(rows) == ["frame accuracy %, dev", "WER %, dev"]
    assert lines(rows, "members", "WER %, dev")[1].points == ((2, (25.0,)), (5, (25.0,)))
    assert measures([*rows[1:], study()[0]]) == ["frame accuracy %, dev"]
    assert measures([{**each, "test": each["dev"]} for each in study()]) == ["frame accuracy %, test"]


def test_a_picture_is_the_same_to_the_byte_and_none_where_there_is_no_line(tmp_path):
    assert draw_study(tmp_path / "a.png", study()) and draw_study(tmp_path / "b.png", study())
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    assert not draw_study(tmp_path / "none.png", study()[:2]) and not (tmp_path / "none.png").exists()
