"""The language folder: what later stages read of it is what was written."""

import pytest

from kdasr import io
from kdasr.lang.language import read_language, write_language
from kdasr.refusal import Refusal
from tests import toy


@pytest.fixture
def folder(tmp_path):
    lexicon = toy.lexicon(3, 5, noise_words=("HM=HMM",))
    lexicon.pronunciations["HM"] = [("HMM",)]
    out = tmp_path / "lang"
    io.begin(out, io.Made("lang", lexicon.options))
    io.finish(out, **write_language(out, lexicon, ["A ZEBRA", "ZEBRA YAK A", ""]))
    return out


def test_the_folder_reads_back(folder):
    language = read_language(folder)
    lexicon = toy.lexicon(3, 5, noise_words=("HM=HMM",))
    assert language.lexicon.pronunciations == lexicon.pronunciations | {"HM": [("HMM",)]}
    assert language.topology.fingerprint == io.read_info(folder)["topology"]
    assert language.lexicon.options.noise_words == ("HM=HMM",)


def test_symbol_tables_begin_with_epsilon_and_number_from_1(folder):
    phones = (folder / "phones.txt").read_text().splitlines()
    words = (folder / "words.txt").read_text().splitlines()
    assert phones[:4] == ["<eps> 0", "SIL 1", "SPN 2", "HMM 3"] and len(phones) == 9
    assert words[:3] == ["<eps> 0", "<UNK> 1", "A 2"] and len(words) == 8


def test_unknown_words_are_listed_counted_and_said(tmp_path, capsys):
    out = tmp_path / "lang"
    facts = write_language(out, toy.lexicon(), ["A ZEBRA", "ZEBRA YAK A", ""])
    assert (out / "oov.txt").read_text() == "ZEBRA 2\nYAK 1\n" and facts["num_unknown"] == 3
    assert "3 running words (2 words) are not in the lexicon: ZEBRA YAK" in capsys.readouterr().err
    assert (facts["num_words"], facts["num_phones"], facts["num_pdfs"]) == (6, 7, 9)
    write_language(out, toy.lexicon(), ["A"])
    assert (out / "oov.txt").read_text() == "" and capsys.readouterr().err == ""


def test_an_unfinished_folder_is_refused(tmp_path):
    with pytest.raises(Refusal, match="lang: the folder is absent"):
        read_language(tmp_path / "lang")
