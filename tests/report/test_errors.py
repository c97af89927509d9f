"""Word errors by speaker and by word in a report."""

from __future__ import annotations

from pathlib import Path

from kdasr import io
from kdasr.report.errors import errors_tables
from kdasr.report.files import keep
from kdasr.report.run import read_run
from tests.report.test_specialists import row


def tell(exp: Path, system: str, speakers: dict[str, tuple[int, int]], mistakes: list[tuple[str, str, int]]) -> None:
    """Adds to the scores of a system what is told by speaker and word."""
    path = exp / "score" / system / "wer.json"
    record = io.read_json(path)
    each = {name: {"errors": errors, "words": words} for name, (errors, words) in speakers.items()}
    record["test"] |= {"speakers": each, "mistakes": mistakes}
    io.write_json(path, record)


def told(exp: Path) -> str:
    tell(exp, "student", {"ann": (2, 100), "bob": (30, 100)}, [("GO", "NO", 5), ("*", "A", 3)])
    tell(exp, "members/ensemble", {"ann": (4, 100), "bob": (20, 100)}, [("GO", "NO", 7)])
    return errors_tables([read_run(exp)])


def test_a_run_that_does_not_tell_has_no_table(exp):
    assert errors_tables([read_run(exp)]) == ""


def test_speakers_stand_with_the_worst_first_and_systems_side_by_side(exp):
    text = told(exp)
    assert row(text, "bob") == ["bob", "100", "20.00", "30.00"] and row(text, "ann") == ["ann", "100", "4.00", "2.00"]
    assert text.index("| bob |") < text.index("| ann |") and "WER %, ensemble of 2 | WER %, student" in text


def test_mistakes_are_the_last_system_s_and_counted_for_others(exp):
    text = told(exp)
    assert row(text, "GO") == ["GO", "NO", "5", "7"] and row(text, "(nothing)") == ["(nothing)", "A", "3", "–"]


def test_of_many_speakers_the_worst_are_shown(exp):
    tell(exp, "student", {f"s{number}": (number, 100) for number in range(30)}, [])
    text = errors_tables([read_run(exp)])
    assert "| s29 |" in text and "| s10 |" in text and "| s9 |" not in text and "The worst 20 of 30 speakers." in text


def test_a_kept_run_tells_the_same(exp):
    text = told(exp)
    keep(read_run(exp).files, exp.parent / f"{exp.name}.json")
    assert errors_tables([read_run(exp.parent / f"{exp.name}.json")]) == text
