"""`kdasr report`: one line an event, files where they were named, nothing written by a refusal."""

import shutil

import pytest

from kdasr import cli
from tests.report import runs


@pytest.fixture
def exp(tmp_path):
    return runs.write_run(tmp_path / "exp")


def kdasr(*arguments: object) -> int:
    try:
        cli.main([str(argument) for argument in arguments])
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def test_report_picture_and_readme(exp, tmp_path):
    out, readme = tmp_path / "out" / "results.md", tmp_path / "README.md"
    readme.write_text("# Mine\n<!-- kdasr report: systems, pictures -->\n<!-- end -->\n")
    assert kdasr("report", out, "--exp", exp, "--pictures", tmp_path / "kept", "--readme", readme) == 0
    shown = "![learning curves: dev accuracy and cross-entropy by epoch]"
    assert f"\n## Learning curves\n\n{shown}(../kept/curves.png)\n" in out.read_text()
    assert (tmp_path / "kept" / "curves.png").stat().st_size > 1000
    assert "| distilled student |" in readme.read_text() and f"\n{shown}(kept/curves.png)\n" in readme.read_text()


def test_several_runs(exp, tmp_path):
    other = runs.write_run(tmp_path / "other", (2, 3), 0.01)
    assert kdasr("report", tmp_path / "results.md", "--exp", exp, "--exp", other) == 0
    assert "Means over 2 runs that differ by seeds: exp, other." in (tmp_path / "results.md").read_text()


def test_a_refusal_is_one_line_and_writes_nothing(exp, tmp_path, capsys):
    readme = tmp_path / "README.md"
    readme.write_text("# No mark\n")
    assert kdasr("report", tmp_path / "results.md", "--exp", exp, "--readme", readme) == 1
    error = capsys.readouterr().err
    assert error.startswith("kdasr: ") and error.count("\n") == 1 and "no place for the report" in error
    assert not (tmp_path / "results.md").exists()


def test_a_kept_run_is_reported_without_its_folders(exp, tmp_path):
    first, second, kept = tmp_path / "first.md", tmp_path / "second.md", tmp_path / "results" / "exp.json"
    assert kdasr("report", first, "--exp", exp, "--keep", kept) == 0
    shutil.rmtree(exp)
    assert kdasr("report", second, "--exp", kept) == 0
    assert second.read_text() == first.read_text()


def test_one_run_is_kept_in_a_file(exp, tmp_path, capsys):
    other = runs.write_run(tmp_path / "other", (2, 3), 0.01)
    assert kdasr("report", tmp_path / "r.md", "--exp", exp, "--exp", other, "--keep", tmp_path / "both.json") == 1
    assert "both.json: one run is kept in a file (expected one --exp, found 2)" in capsys.readouterr().err
    assert not (tmp_path / "both.json").exists() and not (tmp_path / "r.md").exists()


@pytest.mark.parametrize("some", [["--images", "x"], ["--soft-targets", "x"], ["--images", "x", "--soft-targets", "y"]])
def test_half_of_a_picture_is_refused(exp, tmp_path, capsys, some):
    pictures = ["--pictures", tmp_path] if len(some) == 2 else []
    assert kdasr("report", tmp_path / "r.md", "--exp", exp, *some, *pictures) == 1
    assert "half of a picture (expected --pictures, --images and --soft-targets)" in capsys.readouterr().err
