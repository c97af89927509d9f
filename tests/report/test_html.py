"""A report as one HTML file: all of the report, nothing from elsewhere."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path

import pytest

from kdasr.cli import cli
from kdasr.refusal import Refusal
from kdasr.report.html import as_html
from kdasr.report.page import HEAD


class Page(HTMLParser):
    """Tags that are open, those that were closed wrongly, headings, cells, and what is fetched."""

    VOID = ("meta", "img", "br", "hr", "link")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.fetched: list[str] = []
        self.cells: list[str] = []
        self.headings: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.fetched += [value for name, value in attrs if name in ("src", "href") and value and value[0] != "#"]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] in ("td", "th"):
            self.cells.append(data.strip())
        elif self.open and self.open[-1] in ("h1", "h2"):
            self.headings.append(data)


def made(out: Path, exp: Path, *more: str) -> Page:
    cli.main(["report", str(out), "--exp", str(exp), *more], standalone_mode=False)
    return Page(out.read_text(encoding="utf-8"))


def test_the_page_holds_the_report_and_its_pictures(exp, tmp_path):
    page = made(tmp_path / "results.html", exp)
    assert page.open == [] and page.headings[:2] == [f"Results of {exp.name}", "Systems"]
    assert "distilled student" in page.cells and "62.50" in page.cells
    assert page.fetched and all(place.startswith("data:") for place in page.fetched)
    assert [path.name for path in tmp_path.iterdir() if path.suffix == ".png"] == []


def test_pictures_stay_where_they_are_wanted(exp, tmp_path):
    page = made(tmp_path / "results.html", exp, "--pictures", str(tmp_path / "drawn"))
    drawn = list((tmp_path / "drawn").glob("*.png"))
    assert len([place for place in page.fetched if place.startswith("data:image/png")]) == len(drawn) > 0


def test_a_page_is_made_again_and_another_file_is_not_replaced(exp, tmp_path):
    out = tmp_path / "results.html"
    made(out, exp)
    assert out.read_text(encoding="utf-8").startswith(HEAD)
    made(out, exp)
    out.write_text("<html>mine</html>")
    with pytest.raises(Refusal, match="the file is not a report of kdasr"):
        made(out, exp)
    assert out.read_text() == "<html>mine</html>"


def test_sections_are_listed_below_the_title(exp, tmp_path):
    made(tmp_path / "results.html", exp)
    text = (tmp_path / "results.html").read_text(encoding="utf-8")
    assert text.index('<a href="#section-0">Systems</a>') < text.index('<h2 id="section-0">Systems</h2>')
    assert text.count("<h2 id=") == text.count('<li><a href="#section-') > 4


def test_cells_are_set_by_what_they_hold(tmp_path):
    rows = "| a | b |\n| --- | --- |\n| -1.25 | 7.1 [40 / 563], 4.4 to 9.7 |\n"
    text = as_html(f"# T\n\n{rows}| {'word ' * 20} | 65.4 ± 0.1 (65.3–65.5) |\n", {})
    assert '<td class="number">-1.25</td>' in text and '<td class="long">word word' in text
    assert "<td>7.1<br>[40 / 563],<br>4.4 to 9.7</td>" in text and "<td>65.4 ± 0.1<br>(65.3–65.5)</td>" in text


def test_nothing_in_a_name_is_fetched():
    text = as_html("# T\n\n| a |\n| --- |\n| ![x](http://x.org/y) [z](http://z.org) <http://v.org> |\n", {})
    assert [place for place in Page(text).fetched if not place.startswith("data:")] == []


@pytest.mark.parametrize("name", ["a*b*c", "__x__ _y_", "**z**", "<script>1</script>"])
def test_a_name_in_a_cell_is_shown_as_it_is(name):
    assert "".join(Page(as_html(f"# T\n\n| a |\n| --- |\n| {name} |\n", {})).cells) == f"a{name}"


def test_names_are_no_markup(exp, tmp_path):
    other = exp.rename(exp.parent / "a<b>&c")
    assert made(tmp_path / "results.html", other).headings[0] == "Results of a<b>&c"
