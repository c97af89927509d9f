"""Trained n-grams: probabilities that sum to 1 in every history, vocabularies, pruning, the unknown word."""

from __future__ import annotations

import gzip
import itertools
import math
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from kdasr.lang.lm import LmOptions, read_arpa, unigrams
from kdasr.lang.ngram import most_frequent, read_sentences, train_ngram
from kdasr.refusal import Refusal
from tests.ngrams import Ngrams, parse, probability

WORDS = ("ONE", "TWO", "THREE", "FOUR", "FIVE")
MANY = tuple(f"W{number:02}" for number in range(40))


def sentences(num: int = 120, seed: int = 0) -> list[str]:
    rng = np.random.default_rng(seed)
    words = rng.choice(WORDS, size=num * 6, p=[0.4, 0.25, 0.2, 0.1, 0.05])
    return [" ".join(words[6 * number : 6 * number + 1 + number % 6]) for number in range(num)]


def rich_sentences(num: int = 400) -> list[str]:
    """Sentences of forty words, frequent and rare ones, each leaning on the word before it."""
    rng = np.random.default_rng(7)
    share = 1 / np.arange(1, len(MANY) + 1)
    lines = []
    for _ in range(num):
        places = [int(rng.choice(len(MANY), p=share / share.sum()))]
        while rng.random() < 0.85:
            follows = (places[-1] * 3 + 1) % len(MANY)
            places.append(follows if rng.random() < 0.4 else int(rng.choice(len(MANY), p=share / share.sum())))
        lines.append(" ".join(MANY[place] for place in places))
    return lines


def trained(tmp_path: Path, texts: list[str], known: set[str] | None = None, **options: float) -> Ngrams:
    train_ngram(texts, tmp_path / "lm.arpa", LmOptions(**options), known)  # type: ignore[arg-type]
    return parse(read_arpa(tmp_path / "lm.arpa"))


def expect_sums_of_1(ngrams: Ngrams, words: tuple[str, ...]) -> int:
    """Every history that the n-gram knows, and those of one word that it may not know; how many there were."""
    order = max(map(len, ngrams))
    contexts: list[tuple[str, ...]] = [(), *((word,) for word in ("<s>", *words))] if order > 1 else [()]
    if order > 2:
        contexts += [history for history in itertools.product(("<s>", *words), words) if history in ngrams]
    for history in contexts:
        total = sum(probability(ngrams, history, word) for word in (*words, "</s>"))
        assert total == pytest.approx(1, abs=2e-5), history
    return len(contexts)


@pytest.mark.parametrize("order", [1, 2, 3])
def test_every_history_s_probabilities_sum_to_1(tmp_path, order):
    if order > 1:
        pytest.importorskip("kaldingram")
    assert expect_sums_of_1(trained(tmp_path, sentences(), order=order), WORDS) > {1: 0, 2: 6, 3: 20}[order]


@pytest.mark.parametrize("order", [2, 3])
def test_they_do_in_a_pruned_n_gram_of_a_limited_vocabulary(tmp_path, order):
    pytest.importorskip("kaldingram")
    whole = trained(tmp_path, rich_sentences(), order=order, vocabulary=30)
    pruned = trained(tmp_path, rich_sentences(), order=order, vocabulary=30, prune=1e-4)
    counts = Counter(word for line in rich_sentences() for word in line.split())
    words = tuple(sorted(counts, key=lambda word: -counts[word])[:30])
    assert {word for (word,) in (ngram for ngram in pruned if len(ngram) == 1)} == {*words, "<s>", "</s>"}
    assert len(pruned) < 0.8 * len(whole)
    assert expect_sums_of_1(whole, words) > 30 and expect_sums_of_1(pruned, words) > 30


@pytest.mark.parametrize("order", [1, 2, 3])
def test_words_outside_the_vocabulary_are_left_out_by_conditioning(tmp_path, order):
    """Oracle: the n-gram in which they are one more word, and Bayes: p(w | h, not that word)."""
    pytest.importorskip("kaldingram")
    known = set(MANY[:25])
    joined = [" ".join(word if word in known else "REST" for word in line.split()) for line in rich_sentences()]
    whole, ours = trained(tmp_path, joined, order=order), trained(tmp_path, rich_sentences(), known, order=order)
    words = (*sorted(known), "</s>")
    histories = [(), *((word,) for word in ("<s>", *sorted(known)))]
    histories += [("<s>", word) for word in sorted(known)] + list(itertools.product(sorted(known)[:8], repeat=2))
    for history in histories[: 1 if order == 1 else None]:
        rest = probability(whole, history, "REST")
        assert rest > 0
        for word in words:
            expected = probability(whole, history, word) / (1 - rest)
            assert probability(ours, history, word) == pytest.approx(expected, rel=1e-5), (history, word)
    assert not any("<unk>" in ngram for ngram in ours)


def test_facts_of_the_n_gram(tmp_path):
    facts = train_ngram(["A B B", "C"], tmp_path / "lm.arpa", LmOptions(order=1), {"A", "B"})
    assert facts == {"num_words": 2, "outside": 0.25, "num_ngrams": [4]}
    assert sorted(unigrams(read_arpa(tmp_path / "lm.arpa"))) == ["A", "B"]


def test_a_unigram_is_the_relative_frequency(tmp_path):
    ngrams = trained(tmp_path, ["A B", "B", ""], order=1)
    assert {word: round(10**value, 6) for (word,), (value, _) in ngrams.items() if value > -99} == {
        "A": 0.2,
        "B": 0.4,
        "</s>": 0.4,
    }


def test_pruning_costs_little_perplexity_and_more_of_it_more(tmp_path):
    pytest.importorskip("kaldingram")

    def perplexity(ngrams: Ngrams) -> float:
        total = num = 0.0
        for line in rich_sentences():
            history: tuple[str, ...] = ("<s>",)
            for word in (*line.split(), "</s>"):
                total, num = total - math.log(probability(ngrams, history, word)), num + 1
                history = (*history, word)[-2:]
        return math.exp(total / num)

    thresholds = (0.0, 1e-5, 1e-3)
    found = [trained(tmp_path, rich_sentences(), order=3, prune=threshold) for threshold in thresholds]
    sizes, perplexities = [len(ngrams) for ngrams in found], [perplexity(ngrams) for ngrams in found]
    assert sizes == sorted(sizes, reverse=True) and len(set(sizes)) == 3
    assert perplexities == sorted(perplexities) and perplexities[1] < 1.05 * perplexities[0]


def test_an_order_that_is_pruned_whole_is_gone(tmp_path):
    """kaldingram left its old size in the file, which no reader took."""
    pytest.importorskip("kaldingram")
    assert {len(ngram) for ngram in trained(tmp_path, rich_sentences(), order=2, prune=0.9)} == {1}


def test_a_history_that_every_word_follows_cannot_be_pruned(tmp_path):
    pytest.importorskip("kaldingram")
    told = "kaldingram failed .found ValueError: math domain error.; .* or keep all: --set lm.prune=0"
    with pytest.raises(Refusal, match=told):
        train_ngram(sentences(), tmp_path / "lm.arpa", LmOptions(order=2, prune=1e-7))


def test_the_most_frequent_words_of_equally_frequent_ones_the_first_in_the_alphabet():
    counts = {"C": 2, "B": 2, "A": 1, "D": 5}
    assert most_frequent(counts, 2) == {"D", "B"} and most_frequent(counts, 0) == set(counts)
    assert most_frequent(counts, 2, {"A", "C", "Z"}) == {"A", "C"} and most_frequent(counts, 9) == set(counts)


def test_a_text_is_read_packed_or_not_in_upper_case(tmp_path):
    text = "it was a café\nor  none\n\n"
    (tmp_path / "text").write_text(text)
    (tmp_path / "text.gz").write_bytes(gzip.compress(text.encode()))
    for name in ("text", "text.gz"):
        assert read_sentences(tmp_path / name) == ["IT WAS A CAFÉ", "OR  NONE", ""]


@pytest.mark.parametrize("damage", [lambda data: data[:-5], lambda data: data[:40], lambda data: b"no gzip file"])
def test_a_damaged_packed_text_is_refused(tmp_path, damage):
    path = tmp_path / "text.gz"
    path.write_bytes(damage(gzip.compress("\n".join(sentences()).encode())))
    with pytest.raises(Refusal, match="text.gz: damaged gzip file .found .+; fetch or make it again"):
        read_sentences(path)


def test_sentences_without_words_teach_nothing(tmp_path):
    pytest.importorskip("kaldingram")
    train_ngram(sentences(20), tmp_path / "a.arpa", LmOptions())
    train_ngram(["", *sentences(20), "  "], tmp_path / "b.arpa", LmOptions())
    assert (tmp_path / "a.arpa").read_bytes() == (tmp_path / "b.arpa").read_bytes()


def test_no_words_at_all_are_refused(tmp_path):
    with pytest.raises(Refusal, match="lm.arpa: no words to train an n-gram on; name cuts with transcripts"):
        train_ngram(["", " "], tmp_path / "lm.arpa", LmOptions())


def test_a_text_without_a_known_word_is_refused(tmp_path):
    with pytest.raises(Refusal, match="lm.arpa: lexicon and text have no word in common; use the same spelling"):
        train_ngram(["A B"], tmp_path / "lm.arpa", LmOptions(), {"a", "b"})


def test_a_failure_of_kaldingram_is_told_in_its_words(tmp_path, monkeypatch):
    monkeypatch.setattr("kdasr.lang.ngram.sys.executable", "/bin/false")
    with pytest.raises(Refusal, match="kaldingram failed .found no message.; see that local/setup.sh installed it"):
        train_ngram(["A"], tmp_path / "lm.arpa", LmOptions())
    assert list(tmp_path.iterdir()) == []
