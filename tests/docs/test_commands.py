"""Every command of README.md and docs/ runs as it stands, or says before it why none can run it here."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest
import yaml

from kdasr.cli import VERBS, cli
from tests.docs import blocks
from tests.docs.conftest import TUTORIAL
from tests.recipes.test_recipes import assert_sound

OTHERS = [path for path in blocks.DOCUMENTS if path != TUTORIAL and any(block.runs for block in blocks.read(path))]
SIZES = [
    pytest.param(False, marks=pytest.mark.recipe, id="small"),
    pytest.param(True, marks=pytest.mark.full, id="full"),
]
INDENTED = re.compile(r"^\n {4}\S.*", re.MULTILINE)


def name(path: Path) -> str:
    return path.relative_to(blocks.ROOT).as_posix()


@pytest.mark.parametrize("checkout", SIZES, indirect=True)
def test_the_tutorial_runs_from_its_first_command_to_its_last(checkout):
    assert checkout.failed == []
    assert_sound("digits", checkout.folder / "egs" / "digits")


@pytest.mark.parametrize("document", OTHERS, ids=name)
@pytest.mark.parametrize("checkout", SIZES, indirect=True)
def test_the_commands_of_a_document_run_after_the_tutorial(checkout, document):
    assert checkout.failed == [], "the tutorial, whose models these commands take, has failed"
    assert blocks.run(document, checkout.folder, checkout.full) == []


@pytest.mark.parametrize("document", blocks.DOCUMENTS, ids=name)
def test_every_block_says_what_it_is(document):
    """No block is left out of the tests unseen: not by an unknown language, nor by being indented."""
    text, found = document.read_text(), blocks.read(document)
    assert {block.place: block.language for block in found if block.language not in blocks.LANGUAGES} == {}
    assert len(re.findall(r"^```", text, re.MULTILINE)) == 2 * len(found), "a fence is open, or indented"
    marks = len(re.findall(r"<!-- (?:not )?run: ", text))
    marked = [block for block in found if block.reason or block.full or block.folder is not None or block.status]
    assert marks == len(marked), "a mark stands before no block, or says nothing"
    assert INDENTED.findall(blocks.FENCED.sub("", text)) == []


def test_a_block_without_a_language_or_with_an_unknown_mark_is_seen(tmp_path):
    document = tmp_path / "x.md"
    document.write_text("a\n\n<!-- run: full, in egs/an4 -->\n```sh\nls\n```\n\n```\nls\n```\n\n    ls\n")
    first, second = blocks.read(document)
    assert first == blocks.Block("x.md:4", "sh", "ls\n", full=True, folder="egs/an4")
    assert (second.language, second.runs) == ("", False) and INDENTED.findall(document.read_text())
    document.write_text("<!-- run: sometimes -->\n```sh\nls\n```\n")
    with pytest.raises(ValueError, match="x.md:2: the mark 'sometimes' is not known"):
        blocks.read(document)


def test_blocks_run_one_after_the_other_and_what_they_leave_running_ends(tmp_path):
    document = tmp_path / "x.md"
    text = "```sh\nmkdir a && cd a && sleep 60 &\nmkdir -p b && cd b\n```\n\n```python\nopen('c', 'w').close()\n```\n"
    document.write_text(text + "\n<!-- run: exit 1 -->\n```sh\nfalse\necho no\n```\n\n```sh\nls nothing\n```\n")
    (failed,) = blocks.run(document, tmp_path, full=False)
    assert (tmp_path / "b" / "c").exists() and "x.md:16: exit status 2, not 0" in failed and "ls nothing" in failed


@pytest.mark.parametrize("document", blocks.DOCUMENTS, ids=name)
def test_settings_in_documents_resolve(document, tmp_path):
    pytest.importorskip("lhotse")
    from kdasr.cli.options import SECTIONS, Settings

    for number, block in enumerate(block for block in blocks.read(document) if block.language == "yaml"):
        conf = tmp_path / f"{number}.yaml"
        conf.write_text(block.text)
        for part in [None, *yaml.safe_load(block.text).get("parts", {})]:
            for section in SECTIONS:
                Settings(str(conf), (), part).section(section)


@pytest.mark.parametrize("document", blocks.DOCUMENTS, ids=name)
def test_commands_within_a_line_name_verbs_and_options_that_there_are(document):
    prose = blocks.FENCED.sub("", document.read_text())
    for command in re.findall(r"`kdasr ([^`]+)`", prose):
        words = re.sub(r"^(--for \S+ )+", "", command).split()
        if words[0].startswith("-") or words[0].isupper():
            continue
        assert words[0] in VERBS, command
        verb = cli.get_command(click.Context(cli), words[0])
        assert verb is not None
        known = {option for parameter in verb.params for option in parameter.opts}
        assert {word.partition("=")[0] for word in words if word.startswith("--")} <= known, command
