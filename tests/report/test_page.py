"""The page as a whole, and the sections of a README."""

from pathlib import Path

import pytest

from kdasr.refusal import Refusal
from kdasr.report import page
from kdasr.report.files import keep
from kdasr.report.run import read_run
from tests.report import runs

GOLDEN = Path(__file__).parents[1] / "golden" / "report.md"
MARKS = "# Mine\n\n<!-- kdasr report -->\n<!-- end -->\n\nLast words.\n"


def test_the_golden_page(exp):
    """Made by `kdasr report tests/golden/report.md --exp exp` of `runs.write_run`, with Kaldi's part and a study.

    Each of its numbers is worked out in test_tables.py and test_origin.py.
    """
    runs.add_kaldi(exp)
    runs.add_study(exp)
    assert page.page([read_run(exp)]) == GOLDEN.read_text(encoding="utf-8")


def test_no_path_of_this_machine_gets_into_a_report(exp):
    assert str(exp.parent) not in page.page([read_run(exp)])


def test_each_picture_ends_its_section(exp):
    runs.add_study(exp)
    pictures = {"drawn/curves.png": "curves", "drawn/study-0.png": "along each axis"}
    text = page.page([read_run(exp)], pictures)
    assert "## Learning curves\n\n![curves](drawn/curves.png)\n\n## " in text
    studies = text[text.index("## Studies") : text.index("## Time and memory")]
    assert studies.startswith("## Studies: settings and seeds side by side\n\n`exp/study_dropout`:\n\n| system |")
    assert studies.endswith("\n\n![along each axis](drawn/study-0.png)\n\n")


def test_missing_parts_are_told(exp):
    (exp / "score" / "mono" / "info.json").unlink()
    assert "- `exp/score/mono` is missing: run the stage with `kdasr score`.\n" in page.page([read_run(exp)])


def test_a_report_replaces_a_report_and_nothing_else(tmp_path):
    out = tmp_path / "results.md"
    page.write_page(out, f"{page.HEAD}\none\n")
    page.write_page(out, f"{page.HEAD}\ntwo\n")
    assert out.read_text().endswith("two\n")
    out.write_text("my notes\n")
    with pytest.raises(Refusal, match="results.md: the file is not a report of kdasr; name another file; .* --readme"):
        page.write_page(out, "three")
    assert out.read_text() == "my notes\n"
    with pytest.raises(Refusal, match="a folder .expected a file to write"):
        page.write_page(tmp_path, "three")


def test_a_readme_keeps_all_but_the_marked_text(exp, tmp_path):
    readme = tmp_path / "README.md"
    readme.write_text(MARKS)
    run = [read_run(exp)]
    text = page.filled(readme, run)
    assert text.startswith("# Mine\n\n<!-- kdasr report -->\n\n### Systems\n\n| system |")
    assert text.endswith("\n\n<!-- end -->\n\nLast words.\n")
    readme.write_text(text)
    assert page.filled(readme, run) == text  # again: nothing new


def test_named_sections_go_each_to_its_place(exp, tmp_path):
    readme = tmp_path / "README.md"
    readme.write_text(
        "<!-- kdasr report: share -->\nold\n<!-- end -->\n<!-- kdasr report: time, kaldi -->\n<!-- end -->\n"
    )
    first, second = page.filled(readme, [read_run(exp)]).split("<!-- end -->\n")[:2]
    assert first.startswith("<!-- kdasr report: share -->\n\n| measure, %") and "old" not in first and "##" not in first
    assert "| `mono` |" in second and "nothing for the section `kaldi`" in second


def test_a_mark_names_another_run(exp, tmp_path):
    kept, readme = tmp_path / "results" / "other.json", tmp_path / "README.md"
    keep(read_run(exp).files, kept)
    readme.write_text("<!-- kdasr report of results/other.json: systems -->\n<!-- end -->\n")
    text = page.filled(readme, [])
    assert text.startswith("<!-- kdasr report of results/other.json: systems -->\n\n| system |")
    assert "| distilled student |" in text
    readme.write_text("<!-- kdasr report of results/other.json -->\n<!-- end -->\n")
    assert "\n### Systems\n" in page.filled(readme, [])


def test_refusals_of_another_run(exp, tmp_path):
    readme = tmp_path / "README.md"
    readme.write_text("<!-- kdasr report of results/none.json: systems -->\n<!-- end -->\n")
    with pytest.raises(Refusal, match="results/none.json: nothing to report .* found no such folder"):
        page.filled(readme, [])
    readme.write_text(f"<!-- kdasr report of {exp}: pictures -->\n<!-- end -->\n")
    with pytest.raises(Refusal, match="unknown section of the report 'pictures'"):
        page.filled(readme, [])


@pytest.mark.parametrize(
    "text",
    [
        "# No mark\n",
        "<!-- kdasr report -->\n",
        "<!-- end -->\n<!-- kdasr report -->\n",
        MARKS + "<!-- kdasr report -->\n",
        "<!-- kdasr report -->\n<!-- kdasr report -->\n<!-- end -->\n",
    ],
)
def test_a_readme_without_a_place_is_refused(exp, tmp_path, text):
    readme = tmp_path / "README.md"
    readme.write_text(text)
    with pytest.raises(Refusal, match="README.md: no place for the report .expected lines <!-- kdasr report -->"):
        page.filled(readme, [read_run(exp)])


def test_other_refusals_of_a_readme(exp, tmp_path):
    with pytest.raises(Refusal, match="README.md: no such file; name a README"):
        page.filled(tmp_path / "README.md", [])
    (tmp_path / "README.md").write_text("<!-- kdasr report: sistems -->\n<!-- end -->\n")
    with pytest.raises(Refusal, match="unknown section of the report 'sistems'; did you mean 'systems'"):
        page.filled(tmp_path / "README.md", [read_run(exp)])
