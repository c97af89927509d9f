"""N-grams: probabilities that sum to 1 in every history, and ARPA files that are not what they should be."""

import itertools
import math

import numpy as np
import pytest

from kdasr.lang.lm import LmOptions, read_arpa, train_ngram, unigrams
from kdasr.refusal import Refusal
from tests import toy

WORDS = ("ONE", "TWO", "THREE", "FOUR", "FIVE")


def sentences(num: int = 120, seed: int = 0) -> list[str]:
    rng = np.random.default_rng(seed)
    words = rng.choice(WORDS, size=num * 6, p=[0.4, 0.25, 0.2, 0.1, 0.05])
    return [" ".join(words[6 * number : 6 * number + 1 + number % 6]) for number in range(num)]


def parse(text: str) -> dict[tuple[str, ...], tuple[float, float]]:
    """N-gram -> log10 probability and log10 back-off weight."""
    ngrams: dict[tuple[str, ...], tuple[float, float]] = {}
    order = 0
    for line in text.splitlines():
        if line.endswith("-grams:"):
            order = int(line[1])
        elif order and line and not line.startswith("\\"):
            fields = line.split()
            back_off = float(fields[order + 1]) if len(fields) > order + 1 else 0.0
            ngrams[tuple(fields[1 : order + 1])] = (float(fields[0]), back_off)
    return ngrams


def probability(ngrams: dict[tuple[str, ...], tuple[float, float]], history: tuple[str, ...], word: str) -> float:
    whole = (*history, word)
    if whole in ngrams:
        return float(10 ** ngrams[whole][0])
    if not history:
        return 0.0
    return float(10 ** ngrams.get(history, (0, 0.0))[1]) * probability(ngrams, history[1:], word)


@pytest.mark.parametrize("order", [1, 2, 3])
def test_every_history_s_probabilities_sum_to_1(tmp_path, order):
    if order > 1:
        pytest.importorskip("kaldingram")
    train_ngram(sentences(), tmp_path / "lm.arpa", order)
    ngrams = parse(read_arpa(tmp_path / "lm.arpa"))
    contexts: list[tuple[str, ...]] = [()] if order == 1 else [(word,) for word in ("<s>", *WORDS)]
    if order == 3:
        contexts += [history for history in itertools.product(("<s>", *WORDS), WORDS) if history in ngrams]
        assert len(contexts) > 20
    for history in contexts:
        total = sum(probability(ngrams, history, word) for word in (*WORDS, "</s>"))
        assert total == pytest.approx(1, abs=2e-5), history


def test_a_unigram_is_the_relative_frequency(tmp_path):
    train_ngram(["A B", "B", ""], tmp_path / "lm.arpa", 1)
    ngrams = parse(read_arpa(tmp_path / "lm.arpa"))
    assert {word: round(10**value, 6) for (word,), (value, _) in ngrams.items() if value > -99} == {
        "A": 0.2,
        "B": 0.4,
        "</s>": 0.4,
    }


def test_sentences_without_words_teach_nothing(tmp_path):
    pytest.importorskip("kaldingram")
    train_ngram(sentences(20), tmp_path / "a.arpa", 2)
    train_ngram(["", *sentences(20), "  "], tmp_path / "b.arpa", 2)
    assert (tmp_path / "a.arpa").read_bytes() == (tmp_path / "b.arpa").read_bytes()


def test_no_words_at_all_are_refused(tmp_path):
    with pytest.raises(Refusal, match="lm.arpa: no words to train an n-gram on; name cuts with transcripts"):
        train_ngram(["", " "], tmp_path / "lm.arpa", 2)


def test_a_failure_of_kaldingram_is_told_in_its_words(tmp_path, monkeypatch):
    monkeypatch.setattr("kdasr.lang.lm.sys.executable", "/bin/false")
    with pytest.raises(Refusal, match="kaldingram failed .found no message.; see that local/setup.sh installed it"):
        train_ngram(["A"], tmp_path / "lm.arpa", 2)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("order", [0, 6])
def test_an_order_out_of_range(order):
    with pytest.raises(ValueError, match=f"order must lie between 1 and 5, found {order}"):
        LmOptions(order=order)


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
    ngrams = parse(toy.ARPA)
    assert len(ngrams) == 14 and math.isclose(probability(ngrams, ("A",), "B"), 10**-1.0)
