"""README.md: its code runs as it stands, its links lead somewhere, its places for the report are sound."""

import re
from pathlib import Path

import pytest

from kdasr.report import page

ROOT = Path(__file__).parents[1]
READMES = [ROOT / "README.md", *sorted(ROOT.glob("egs/*/README.md")), ROOT / "benchmarks" / "README.md"]
DOCS = sorted(ROOT.glob("docs/*.md"))


def python_blocks() -> list[str]:
    """The README's code; what transcribes runs in tests/decode/test_recogniser.py."""
    return re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)


def test_the_loop_of_the_readme_runs():
    (block,) = (block for block in python_blocks() if "kdasr.distill" in block)
    names: dict[str, object] = {}
    exec(block, names)
    assert 0 < float(names["loss"]) < 100  # type: ignore[arg-type]


@pytest.mark.parametrize("readme", [*READMES, *DOCS], ids=lambda path: path.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(readme):
    links = re.findall(r"\]\(([^)#:]+)[^):]*\)", readme.read_text())
    assert [link for link in links if not (readme.parent / link).exists()] == []


def test_every_page_of_docs_is_in_its_index():
    index = (ROOT / "docs" / "README.md").read_text()
    assert [page.name for page in DOCS if page.name != "README.md" and f"]({page.name})" not in index] == []


@pytest.mark.parametrize(
    "readme",
    [path for path in READMES if path.parent.name not in ("benchmarks", "an4_ctc")],
    ids=lambda path: path.parent.name,
)
def test_marks_are_sound(readme):
    """Every mark is found and names known sections."""
    marks, known = [*page.MARKED.finditer(readme.read_text())], {*page.SECTIONS, page.PICTURES}
    names = [name for mark in marks for name in (mark["names"] or "").replace(",", " ").split()]
    assert marks and all(name in known for name in names)
    assert 2 * len(marks) == len(page.LOOSE.findall(readme.read_text()))


OF_KEPT_RUNS = [readme for readme in READMES if "<!-- kdasr report of " in readme.read_text()]


@pytest.mark.parametrize("readme", OF_KEPT_RUNS, ids=lambda path: path.parent.name)
def test_tables_are_those_of_the_kept_runs(readme):
    """What stands after `<!-- kdasr report of results/default.json: ... -->` is what the report writes of that file."""
    found, expected = (
        [mark.group(0) for mark in page.MARKED.finditer(text) if mark["run"]]
        for text in (readme.read_text(), page.filled(readme, []))
    )
    assert found == expected


def test_kept_runs_are_shown():
    """No file in `results/` is left that no README shows."""
    marks = [(readme.parent, mark["run"]) for readme in READMES for mark in page.MARKED.finditer(readme.read_text())]
    shown = {folder / run for folder, run in marks if run}
    pooled = {ROOT / "egs" / "mnist" / "results" / "default.json"}  # with runs that are not kept
    assert shown and {*ROOT.glob("egs/*/results/*.json")} == shown | pooled
