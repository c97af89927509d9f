"""The lexicon: variants, silence and unknown words; every bad line is told with its number."""

import pytest

from kdasr.lang.lexicon import LangOptions, read_lexicon
from kdasr.refusal import Refusal


@pytest.fixture
def read(tmp_path):
    def read(text: str | bytes, **options):
        path = tmp_path / "lexicon.txt"
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return read_lexicon(path, LangOptions(**options))

    return read


def test_variants_are_further_lines_or_numbered_words(read):
    lexicon = read("THE DH AH\nA EY\nTHE(2) DH IY\nA AH\nTHE DH AH\nTHE(10) DH\n")
    assert lexicon.pronunciations["THE"] == [("DH", "AH"), ("DH", "IY"), ("DH",)]
    assert lexicon.pronunciations["A"] == [("EY",), ("AH",)]


def test_brackets_that_number_nothing_belong_to_the_word(read):
    assert set(read("(2) T UW\nA(B) AH\nB() B\n").words) == {"(2)", "A(B)", "B()", "<UNK>"}


def test_comments_and_empty_lines_are_passed_over(read):
    assert read("# a comment\n;;; the CMU dictionary's\n\n  \nA AH\n").words == ["<UNK>", "A"]


def test_numbers_begin_at_1_silences_first_the_rest_sorted(read):
    lexicon = read("B B IY\nA AH\n")
    assert lexicon.phones == ["SIL", "SPN", "AH", "B", "IY"] and lexicon.phone_ids["SIL"] == 1
    assert lexicon.words == ["<UNK>", "A", "B"] and lexicon.word_ids == {"<UNK>": 1, "A": 2, "B": 3}


def test_noise_words_get_phones_of_their_own_among_the_silences(read):
    lexicon = read("A AH\nLAUGH L AE F\n", noise_words=("LAUGH=LAU", "[COUGH]=SPN"))
    assert lexicon.pronunciations["LAUGH"] == [("LAU",)] and lexicon.pronunciations["[COUGH]"] == [("SPN",)]
    assert lexicon.silence_phones == ("SIL", "SPN", "LAU") and lexicon.phones == ["SIL", "SPN", "LAU", "AH"]


def test_unknown_words_are_replaced_counted_and_named(read):
    lexicon = read("A AH\nB B\n")
    assert lexicon.known("A ZEBRA B") == ["A", "<UNK>", "B"]
    assert lexicon.known("") == []
    assert lexicon.unknown_words(["A ZEBRA", "ZEBRA YAK B", ""]).most_common() == [("ZEBRA", 2), ("YAK", 1)]


def test_the_unknown_word_may_be_in_the_file(read):
    assert read("A AH\n<UNK> GARBAGE\n").pronunciations["<UNK>"] == [("GARBAGE",)]
    lexicon = read("A AH\n", unknown_word="OOV", unknown_phone="NSN")
    assert lexicon.pronunciations["OOV"] == [("NSN",)] and lexicon.silence_phones == ("SIL", "NSN")


def test_what_is_written_reads_the_same(read, tmp_path):
    lexicon = read("THE DH AH\nTHE(2) DH IY\nA EY\n", noise_words=("HM=HMM",))
    lexicon.write(tmp_path / "again.txt")
    again = read_lexicon(tmp_path / "again.txt", lexicon.options)
    assert again == lexicon and again.phones == lexicon.phones


def test_a_line_without_phones_is_refused_by_its_number(read):
    told = "lexicon.txt:3: the word 'B' has no phones .expected WORD PHONE PHONE ..., found B.; give it phones or take"
    with pytest.raises(Refusal, match=told):
        read("A AH\n\nB\nC K\n")


@pytest.mark.parametrize("word", ["<s>", "</s>", "<eps>", " #0"])
def test_symbols_of_graphs_are_no_words(read, word):
    with pytest.raises(Refusal, match=f"lexicon.txt:2: '{word.strip()}' is not a word; take it out of the lexicon"):
        read(f"A AH\n{word} AH\n")


@pytest.mark.parametrize("text", ["", "# nothing\n\n"])
def test_an_empty_lexicon_is_refused(read, text):
    with pytest.raises(Refusal, match="lexicon.txt: the lexicon is empty .expected `WORD PHONE PHONE ...` lines"):
        read(text)


def test_absent_and_binary_files_are_refused(read, tmp_path):
    for path in (tmp_path / "none", tmp_path):
        with pytest.raises(Refusal, match="no such lexicon; name a file of `WORD PHONE PHONE ...` lines"):
            read_lexicon(path)
    with pytest.raises(Refusal, match="lexicon is not a text file .expected UTF-8, found .*; unpack it or convert it"):
        read(b"CAF\xc9 K AE F EY\n")


@pytest.mark.parametrize(
    "options, told",
    [
        ({"silence_probability": 1.0}, "silence_probability must lie between 0 and 1, found 1.0"),
        ({"silence_states": 1}, "silence_states must be at least 2, states at least 1"),
        ({"states": 0}, "silence_states must be at least 2, states at least 1"),
        ({"noise_words": ("LAUGH",)}, "noise_words are WORD=PHONE, found 'LAUGH'"),
    ],
)
def test_options_out_of_range(options, told):
    with pytest.raises(ValueError, match=told):
        LangOptions(**options)
