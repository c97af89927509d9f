"""Data files of installed packages: the right version, without an import."""

import sys
from pathlib import Path

import pytest

from kdasr.lang.installed import data_file
from kdasr.refusal import Refusal


@pytest.fixture
def package(tmp_path, monkeypatch) -> Path:
    """A package `words-of` 1.2 that cannot be imported, with a data file."""
    (tmp_path / "words_of-1.2.dist-info").mkdir()
    (tmp_path / "words_of-1.2.dist-info" / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: words-of\nVersion: 1.2\n"
    )
    (tmp_path / "words_of").mkdir()
    (tmp_path / "words_of" / "__init__.py").write_text("raise SystemExit('imported')")
    (tmp_path / "words_of" / "list").write_text("A\n")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    return tmp_path


def test_a_file_is_found_and_nothing_imported(package):
    assert data_file("words-of", "1.2", "words_of/list", "x").read_text() == "A\n"


def test_another_version_and_none_are_refused(package):
    with pytest.raises(Refusal, match=r"another version of the package words-of \(expected 1.3, found 1.2\); do this"):
        data_file("words-of", "1.3", "words_of/list", "do this")
    with pytest.raises(Refusal, match="the package words-of-none is not installed; do that"):
        data_file("words-of-none", "1.2", "words_of/list", "do that")
