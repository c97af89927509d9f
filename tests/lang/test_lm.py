"""ARPA files that are not what they should be, and what is read of those that are."""

import gzip
import math

import pytest

from kdasr.lang.lm import LmOptions, read_arpa, unigrams
from kdasr.refusal import Refusal
from tests import ngrams, toy


@pytest.mark.parametrize("order", [0, 6])
def test_an_order_out_of_range(order):
    with pytest.raises(ValueError, match=f"order must lie between 1 and 5, found {order}"):
        LmOptions(order=order)


@pytest.mark.parametrize("options", [{"vocabulary": -1}, {"prune": -1e-7}, {"prune": 1.0}])
def test_sizes_out_of_range(options):
    with pytest.raises(ValueError, match="vocabulary must not be negative, prune must lie between 0 and 1"):
        LmOptions(**options)


def arpa(tmp_path, text: str | bytes):
    path = tmp_path / "x.arpa"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def test_a_given_arpa_is_taken_over_without_the_prose_around_it(tmp_path):
    text = f"prose, and a mark: \\data\\\nngram 1=nr\n\n{toy.ARPA}more prose\n"
    assert read_arpa(arpa(tmp_path, text)) == toy.ARPA


@pytest.mark.parametrize(
    "damage, told",
    [
        (lambda text: "a text\n", r"not an ARPA file .expected a line \\data\\, found none.; name an n-gram in ARPA"),
        (lambda text: text[: len(text) // 2], r"the ARPA file is cut off .expected a last line \\end\\, found none"),
        (
            lambda text: text.replace("-0.3\tA TO\n", ""),
            "n-grams are missing .*expected 8 1-grams, 6 2-grams, found 8 1-grams, 5 2-grams.; fetch or make it again",
        ),
        (
            lambda text: text.split("\\2-grams")[0] + "\\end\\\n",
            "n-grams are missing .*expected 8 1-grams, 6 2-grams, found 8 1-grams.",
        ),
        (
            lambda text: text.replace("-0.3\tA TO", "-0.3\tA"),
            "x.arpa:17: not a line of an ARPA file .expected log10 probability, 2 words, found -0.3",
        ),
        (
            lambda text: text.replace("-1.1\tAB\t-0.1", "-1.1\tAB\t-0.1\t-0.1"),
            "x.arpa:8: not a line of an ARPA file .expected log10 probability, 1 words, back-off weight, found",
        ),
        (lambda text: text.replace("-0.3\tA TO", "-0.3\tA TO\t-0.5"), "x.arpa:17: not a line of an ARPA file"),
        (lambda text: text.replace("-0.3\tA TO", "x\tA TO"), "x.arpa:17: not a line of an ARPA file .*found x\tA TO"),
        (lambda text: text.replace("-0.9\tA\t-0.2", "-0.9\tA\tnan"), "x.arpa:7: not a line of an ARPA file"),
        (lambda text: text.replace("-0.9\tA\t-0.2", "-inf\tA\t-0.2"), "x.arpa:7: not a line of an ARPA file"),
        (lambda text: text.replace("-0.9\tA\t-0.2", "-0.9\tA\t-1e39"), "x.arpa:7: not a line of an ARPA file"),
        (
            lambda text: text.replace("ngram 2", "bigrams"),
            "x.arpa:3: not a line of an ARPA file .expected ngram N=COUNT, found bigrams=6",
        ),
        (
            lambda text: text.replace("-0.7\t</s>\n", "").replace("1=8", "1=7"),
            "the n-gram never ends a sentence .expected a 1-gram </s>, found none",
        ),
        (
            lambda text: text.replace("-99\t<s>\t-0.3\n", "").replace("1=8", "1=7"),
            "the n-gram never begins a sentence .expected a 1-gram <s>, found none",
        ),
    ],
)
def test_a_damaged_arpa_is_refused(tmp_path, damage, told):
    with pytest.raises(Refusal, match=told):
        read_arpa(arpa(tmp_path, damage(toy.ARPA)))


def test_every_arpa_that_is_read_is_one_that_kaldilm_reads(tmp_path):
    """kaldilm ends the process at a line that it does not take; what is read here is at the limits of what it takes."""
    kaldilm = pytest.importorskip("kaldilm")
    text = toy.ARPA.replace("-0.7\t</s>", "-3.3e38\t</s>").replace("-0.9\tA\t-0.2", "  0.5   A 3.3e38 ")
    (tmp_path / "read").write_text(read_arpa(arpa(tmp_path, f"made by hand\n{text}\nmore\n")))
    assert len(kaldilm.arpa2fst(str(tmp_path / "read"), "").splitlines()) > 14


def test_the_words_of_an_arpa_are_its_1_grams(tmp_path):
    words = ["A", "AB", "B", "TO", "TWO", "ELSEWHERE"]
    assert unigrams(read_arpa(arpa(tmp_path, toy.ARPA))) == words
    spaced = toy.ARPA.replace("-1.1\tAB", "\n -1.1 \\AB").replace("\\2-grams", " \\2-grams")
    assert unigrams(read_arpa(arpa(tmp_path, spaced))) == ["A", "\\AB", *words[2:]]


def test_absent_and_binary_arpas_are_refused(tmp_path):
    with pytest.raises(Refusal, match="none: no such ARPA file; name an n-gram in ARPA format"):
        read_arpa(tmp_path / "none")
    with pytest.raises(
        Refusal, match="the ARPA file is not a text file .expected UTF-8, found .*; unpack it or convert it"
    ):
        read_arpa(arpa(tmp_path, b"\x1f\x8b\x08\x00\xff"))


def test_the_toy_bigram_is_what_the_graphs_tests_think_it_is():
    bigram = ngrams.parse(toy.ARPA)
    assert len(bigram) == 14 and math.isclose(ngrams.probability(bigram, ("A",), "B"), 10**-1.0)


def test_a_packed_arpa_is_read(tmp_path):
    path = tmp_path / "x.arpa.gz"
    path.write_bytes(gzip.compress(f"prose\n{toy.ARPA}".encode()))
    assert read_arpa(path) == toy.ARPA


def test_a_damaged_gzip_file_is_refused(tmp_path):
    path = tmp_path / "x.arpa.gz"
    path.write_bytes(gzip.compress(toy.ARPA.encode())[:-30])
    with pytest.raises(Refusal, match="x.arpa.gz: damaged gzip file .found .*; fetch or make it again"):
        read_arpa(path)


def test_the_words_of_an_n_gram_are_its_unigrams_without_the_ends_of_a_sentence():
    words = {words[0] for words in ngrams.parse(toy.ARPA) if len(words) == 1}
    assert sorted(unigrams(toy.ARPA)) == sorted(words - {"<s>", "</s>"})
