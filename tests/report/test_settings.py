"""The reference of the settings: all are told, with what the source says of them; docs/options.md is up to date."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

import pytest
from click.testing import CliRunner

pytest.importorskip("lhotse")
pytest.importorskip("kaldi_native_fbank")

from kdasr.cli import cli, options
from kdasr.refusal import Refusal
from kdasr.report import settings

PAGE = Path(__file__).parents[2] / "docs" / "options.md"


@dataclass(frozen=True)
class Base:
    """What is shared.

    Attributes:
        size: units, of a layer
            and of all.
    """

    size: int = 3
    rates: tuple[float, ...] = (0.5,)  # shares, 0 to 1


@dataclass(frozen=True)
class Options(Base):
    """What is own; `size` has another default."""

    size: int = 4
    kind: str = "a|b"  # a or b


def test_meanings_come_from_docstring_and_comments_of_all_classes():
    assert settings.settings(Options) == [
        settings.Setting("size", "integer", "4", "units, of a layer and of all"),
        settings.Setting("rates", "list of numbers", "[0.5]", "shares, 0 to 1"),
        settings.Setting("kind", "text", '"a|b"', "a or b"),
    ]
    assert settings.about(Base) == "What is shared."


def test_a_setting_without_a_meaning_is_refused():
    @dataclass(frozen=True)
    class Silent:
        """Says nothing of its field."""

        size: int = 1

    with pytest.raises(Refusal, match="Silent: a setting without a meaning .found size"):
        settings.settings(Silent)


def test_a_page_tells_inherited_names_once():
    page = settings.page({"base": Base, "own": Options})
    assert page.count("| `rates` |") == 1 and page.count("| `size` |") == 2  # by another default
    assert "The names of [`base`](#base), with values of its own." in page
    assert "| `kind` | text |" in page.partition("## own")[2]


@pytest.mark.parametrize("section", options.SECTIONS)
def test_every_setting_of_every_section_has_a_meaning(section):
    rows = settings.settings(options.typed(section))
    assert [row.name for row in rows] == [field.name for field in fields(options.typed(section))]


def test_the_page_of_docs_is_what_the_program_prints():
    printed = CliRunner().invoke(cli, ["settings", "--markdown"]).output
    assert PAGE.read_text() == printed, "refresh it: kdasr settings --markdown > docs/options.md"


def test_a_terminal_shows_sections_in_its_width(monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    shown = CliRunner().invoke(cli, ["settings", "store", "dnn"]).output
    assert "store.keep=16  (integer)\n" in shown and "dnn.layers=4  (integer)\n      hidden layers\n" in shown
    assert max(map(len, shown.splitlines())) <= 60


def test_an_unknown_section_is_refused_with_the_nearest_name():
    refused = CliRunner().invoke(cli, ["settings", "stroe"])
    assert isinstance(refused.exception, Refusal)
    assert str(refused.exception) == "unknown section 'stroe'; did you mean 'store'?"
