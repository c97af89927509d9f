"""docs/troubleshooting.md: what it quotes is what the program says."""

from __future__ import annotations

import ast
import re

from tests.docs import blocks

PAGE = blocks.ROOT / "docs" / "troubleshooting.md"
ENTRY = re.compile(r'^### "([^\n]+)"\n\n```text\n(.*?)^```$', re.MULTILINE | re.DOTALL)


def said() -> str:
    """All text that the program may print: its strings, and its shell scripts."""
    strings = [
        node.value
        for path in sorted((blocks.ROOT / "kdasr").rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    ]
    return "\n".join(strings + [path.read_text() for path in (blocks.ROOT / "local").glob("*.sh")])


def test_every_heading_is_said_by_the_program_and_stands_in_its_example():
    program, entries = said(), ENTRY.findall(PAGE.read_text())
    assert len(entries) == PAGE.read_text().count("\n### ") > 15
    assert [heading for heading, _ in entries if heading not in program] == []
    assert [heading for heading, example in entries if heading not in example] == []


def test_the_way_out_of_an_example_is_said_by_the_program():
    """Of each line, the first two words behind the last semicolon."""
    program = said()
    for _, example in ENTRY.findall(PAGE.read_text()):
        for words in re.findall(r"; ([a-z][^;]*)$", example, re.MULTILINE):
            assert " ".join(words.split()[:2]) in program, words
