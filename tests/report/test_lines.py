"""Pictures of a study: which systems are a line, and what is drawn of them."""

from __future__ import annotations

from typing import Any

from kdasr.distill.study import Row
from kdasr.report.lines import draw_study, lines, measures
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
