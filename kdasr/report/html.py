"""The report as one HTML file that needs no other: tables, and pictures inside of it."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from html import escape
from pathlib import Path

HEAD = "<!DOCTYPE html>"
STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2em auto; max-width: 90em; padding: 0 1.5em; color: #222; }
table { border-collapse: collapse; display: block; overflow-x: auto; margin: 1em 0; }
th, td { border: 1px solid #ccc; padding: .25em .6em; text-align: left; font-variant-numeric: tabular-nums; }
th { background: #f2f2f2; } tr:nth-child(even) td { background: #fafafa; }
img { max-width: 100%; } code { background: #f2f2f2; padding: 0 .2em; }
"""


def as_html(text: str, pictures: Mapping[Path, str]) -> str:
    """A page of a report.

    Args:
        text: the report in Markdown, without its pictures.
        pictures: PNG file -> what it shows.
    """
    import markdown

    title = next((line.removeprefix("# ") for line in text.splitlines() if line.startswith("# ")), "Results")
    reader = markdown.Markdown(extensions=["tables"])
    reader.preprocessors.deregister("html_block")  # a name that looks like markup stays a name
    reader.inlinePatterns.deregister("html")
    body = reader.convert(re.sub(r"^<!--.*?-->$", "", text, flags=re.M))
    shown = "".join(_figure(path, what) for path, what in pictures.items())
    head = f'<meta charset="utf-8"><title>{escape(title)}</title><style>{STYLE}</style>'
    return f'{HEAD}\n<html lang="en">\n<head>{head}</head>\n<body>\n{body}\n{shown}</body>\n</html>\n'


def _figure(path: Path, what: str) -> str:
    data, title = base64.b64encode(path.read_bytes()).decode(), escape(what)
    image = f'<img alt="{title}" src="data:image/png;base64,{data}">'
    return f"<figure>{image}<figcaption>{title}</figcaption></figure>\n"
