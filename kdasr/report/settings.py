"""Reference of the settings: name, type, default and meaning of each, read from the dataclasses and their source."""

from __future__ import annotations

import ast
import inspect
import io
import json
import re
import textwrap
import tokenize
from collections.abc import Mapping
from dataclasses import MISSING, Field, dataclass, fields
from typing import Any

from kdasr.refusal import Refusal

KINDS = {"int": "integer", "float": "number", "str": "text", "bool": "true or false", "Any": "table"}
HEAD = """# Settings

Every section of a settings file with its names, made by `kdasr settings --markdown`. `kdasr settings train dnn` prints
some of them on a terminal. A value comes from, the later winning: the default here, `--conf FILE.yaml`, the table that
`--part NAME` takes out of that file's `parts`, `--set section.name=value`. A name that does not exist, a value of the
wrong type or one that is not finite is refused, with the nearest name that exists.

Sections: {sections}.
"""


@dataclass(frozen=True)
class Setting:
    """One setting as users read it; `default` as they would write it in YAML."""

    name: str
    kind: str
    default: str
    meaning: str


def about(options: type) -> str:
    """What a dataclass of options says of itself, without the list of its attributes, in one paragraph."""
    text = inspect.cleandoc(options.__doc__ or "").partition("\nAttributes:")[0]
    return " ".join(text.split())


def settings(options: type) -> list[Setting]:
    """The settings of a frozen dataclass, those that it inherits among them.

    Raises:
        Refusal: a field has neither a line below `Attributes` nor a comment behind it.
    """
    meanings: dict[str, str] = {}
    for cls in reversed(options.__mro__[:-1]):
        meanings |= _meanings(cls)
    rows = [
        Setting(field.name, _kind(str(field.type)), _default(field), meanings.get(field.name, "").removesuffix("."))
        for field in fields(options)
    ]
    if silent := [row.name for row in rows if not row.meaning]:
        do = "say what it is, in the docstring's Attributes or a comment behind the field"
        raise Refusal("a setting without a meaning", where=options.__name__, found=", ".join(silent), do=do)
    return rows


def _meanings(cls: type) -> dict[str, str]:
    """Field -> what the class's own docstring, or the comment behind the field, says of it."""
    listed = inspect.cleandoc(cls.__doc__ or "").partition("\nAttributes:")[2]
    entries = re.findall(r"^    (\w+): (.*(?:\n {5,}.*)*)", listed, re.MULTILINE)
    found = {name: " ".join(text.split()) for name, text in entries}
    source = textwrap.dedent(inspect.getsource(cls))
    comments = {
        token.start[0]: token.string.lstrip("# ")
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type == tokenize.COMMENT
    }
    (tree,) = ast.parse(source).body
    assert isinstance(tree, ast.ClassDef)
    for node in tree.body:
        if isinstance(node, ast.AnnAssign) and (comment := comments.get(node.end_lineno or 0)):
            found.setdefault(ast.unparse(node.target), comment)
    return found


def _kind(type_name: str) -> str:
    inner = re.fullmatch(r"tuple\[\s*(\w+),\s*\.\.\.,?\s*\]", type_name)
    return f"list of {KINDS[inner[1]]}s" if inner else KINDS[type_name]


def _default(field: Field[Any]) -> str:
    value = field.default if field.default is not MISSING else None
    return json.dumps(value, ensure_ascii=False)


def page(sections: Mapping[str, type]) -> str:
    """Sections as Markdown: what docs/options.md holds. What one has of another before it is not told again."""
    lines = [HEAD.format(sections=", ".join(f"[`{name}`](#{name})" for name in sections))]
    told: dict[type, str] = {}
    for section, options in sections.items():
        before = next((cls for cls in options.__mro__ if cls in told), None)
        lines += [f"## {section}", "", about(options), ""]
        if before:
            lines += [f"The names of [`{told[before]}`](#{told[before]}), with values of its own.", ""]
        known = settings(before) if before else []
        if rows := [row for row in settings(options) if row not in known]:
            lines += ["| name | type | default | meaning |", "|---|---|---|---|", *map(_row, rows), ""]
        told.setdefault(options, section)
    return "\n".join(lines)


def _row(setting: Setting) -> str:
    meaning = setting.meaning.replace("|", "\\|")
    return f"| `{setting.name}` | {setting.kind} | `{setting.default}` | {meaning} |"


def text(section: str, options: type, width: int = 100) -> str:
    """A section for a terminal: lines of at most `width` characters."""
    lines = textwrap.wrap(f"{section}: {about(options)}", width)
    for row in settings(options):
        lines += ["", f"  {section}.{row.name}={row.default}  ({row.kind})"]
        lines += textwrap.wrap(row.meaning, width, initial_indent="      ", subsequent_indent="      ")
    return "\n".join(lines) + "\n"
