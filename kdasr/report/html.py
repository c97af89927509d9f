"""The report as one HTML file that needs no other: tables that scroll, and pictures inside of it."""

from __future__ import annotations

import base64
import itertools
import re
from collections.abc import Mapping
from html import escape
from pathlib import Path

HEAD = "<!DOCTYPE html>"
ICON = '<link rel="icon" href="data:,">'  # else a browser asks the server for one
LONG = 60  # characters from which on a cell is wrapped
# A name that looks like markup stays a name, and nothing is fetched.
NO_MARKUP = (
    *("html", "link", "image_link", "reference", "image_reference", "short_reference", "short_image_ref"),
    *("autolink", "automail", "em_strong", "em_strong2"),
)
PICTURE = re.compile(r"^!\[(?P<what>.*)\]\((?P<name>.*)\)$", re.M)
NUMBER = re.compile(r"[-+−]?[\d.,]+(?: %)?|–|n/a")
BREAK = re.compile(r" (?=[(\[][-+−]?\d)|(?<=\d\],) ")  # before a range or an interval
STYLE = """
:root { color-scheme: light dark; --text: #222; --page: #fff; --head: #f0f1f3; --even: #f8f8f9; --line: #ccc; }
@media (prefers-color-scheme: dark) {
  :root { --text: #ddd; --page: #17191c; --head: #2a2d32; --even: #1e2125; --line: #444; }
}
body { font: 15px/1.5 system-ui, sans-serif; margin: 2em auto; max-width: 110em; padding: 0 1.5em;
  color: var(--text); background: var(--page); }
nav ul { list-style: none; padding: 0; display: flex; flex-wrap: wrap; gap: .2em 1.4em; }
a { color: inherit; } h2 { margin-top: 2em; scroll-margin-top: .5em; } p, li { max-width: 75em; }
table { display: block; width: fit-content; max-width: 100%; max-height: 85vh; overflow: auto; margin: 1em 0;
  border: 1px solid var(--line); border-spacing: 0; font-size: 14px; line-height: 1.35; }
th, td { border-right: 1px solid var(--line); border-bottom: 1px solid var(--line); padding: .3em .6em;
  text-align: left; vertical-align: top; background: var(--page); font-variant-numeric: tabular-nums; }
td { white-space: nowrap; } td.long { white-space: normal; min-width: 30em; }
td.number:not(:first-child) { text-align: right; }
th { background: var(--head); position: sticky; top: 0; z-index: 1; vertical-align: bottom; }
tr:nth-child(even) td { background: var(--even); }
td:first-child { position: sticky; left: 0; } th:first-child { left: 0; z-index: 2; }
figure { margin: 1em 0; } img { max-width: 100%; background: #fff; } figcaption { font-size: 14px; }
code { background: var(--head); padding: 0 .2em; }
@media print { table { max-height: none; overflow: visible; } nav { display: none; } }
"""


def as_html(text: str, pictures: Mapping[str, Path]) -> str:
    """A page of a report.

    Args:
        text: the report in Markdown.
        pictures: name of each picture of the text -> PNG file.
    """
    import markdown

    title = next((line.removeprefix("# ") for line in text.splitlines() if line.startswith("# ")), "Results")
    reader = markdown.Markdown(extensions=["tables"])
    reader.preprocessors.deregister("html_block")
    for pattern in NO_MARKUP:
        reader.inlinePatterns.deregister(pattern, strict=False)  # names differ by version

    shown = [_figure(pictures[found["name"]], found["what"]) for found in PICTURE.finditer(text)]
    numbers = itertools.count()
    text = PICTURE.sub(lambda _: f"picture-{next(numbers)}-here", re.sub(r"^<!--.*?-->$", "", text, flags=re.M))
    body = re.sub("<td>(.*?)</td>", lambda match: _cell(match[1]), reader.convert(text))
    body = re.sub(r"<p>picture-(\d+)-here</p>", lambda match: shown[int(match[1])], _with_contents(body))
    head = (
        f'<meta charset="utf-8"><meta name="viewport" content="width=device-width">{ICON}<title>{escape(title)}</title>'
    )
    return f'{HEAD}\n<html lang="en">\n<head>{head}<style>{STYLE}</style></head>\n<body>\n{body}\n</body>\n</html>\n'


def _cell(content: str) -> str:
    """A cell of a table: numbers to the right, texts wrapped, a range or an interval below its value."""
    if NUMBER.fullmatch(content):
        return f'<td class="number">{content}</td>'
    if len(content) > LONG:
        return f'<td class="long">{content}</td>'
    return f"<td>{BREAK.sub('<br>', content)}</td>"


def _with_contents(body: str) -> str:
    """The page with its sections listed below the title."""
    places: list[str] = []

    def marked(match: re.Match[str]) -> str:
        places.append(f'<li><a href="#section-{len(places)}">{match[1]}</a></li>')
        return f'<h2 id="section-{len(places) - 1}">{match[1]}</h2>'

    body = re.sub("<h2>(.*?)</h2>", marked, body)
    return body.replace("</h1>", f"</h1>\n<nav><ul>{''.join(places)}</ul></nav>", 1)


def _figure(path: Path, what: str) -> str:
    data, title = base64.b64encode(path.read_bytes()).decode(), escape(what)
    image = f'<img alt="{title}" src="data:image/png;base64,{data}">'
    return f"<figure>{image}<figcaption>{title}</figcaption></figure>"
