"""The table of a study failed on rows of two runs, of which one had decoded a set that the other had not."""

from __future__ import annotations

from typing import Any

from kdasr.report import cells
from kdasr.report.lines import draw_study
from tests.report.test_cells import row


def words(*sets: str) -> dict[str, Any]:
    return {"lm_weight": 9, "penalty": 0, **{of: {"errors": [1, 2], "words": [4, 6]} for of in sets}}


def test_they_have_word_errors_where_they_were_decoded(tmp_path):
    rows = [
        row("baseline", 0, 0.5, words=words("dev")),
        row("baseline", 1, 0.5, words=words("dev", "test")),
        row("student", 0, 0.6),
        row("student", 1, 0.6, words=words("dev", "test")),
        row("ensemble", None, 0.7, {"members": 2}, words=words("dev")),
        row("ensemble", None, 0.7, {"members": 3}),
    ]
    header, _, *lines = (line.strip("| ").split(" | ") for line in cells.study_table(rows).splitlines() if "|" in line)
    dev, test = header.index("WER %, dev"), header.index("WER %, test")
    assert [line[test].split(" ")[0] for line in lines] == ["30.00", "30.00", "–", "–"]
    assert [line[dev].split(" ")[0] for line in lines] == ["30.00", "30.00", "30.00", "–"]
    draw_study(tmp_path / "study.png", rows)
