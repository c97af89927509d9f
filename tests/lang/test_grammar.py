"""The grammar against back-off by hand."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

pytest.importorskip("kaldifst")
pytest.importorskip("kaldilm")

from kdasr.lang.grammar import grammar
from kdasr.lang.lexicon import Lexicon
from kdasr.lang.transducer import Transducer
from kdasr.refusal import Refusal
from tests import toy

# two of the four histories of two words are continued by no trigram, <s> TO by a word that backs off twice
NGRAMS = {
    "<s>": (-99, -0.3), "A": (-0.9, -0.2), "AB": (-1.1, -0.1), "B": (-0.8, -0.4), "TO": (-1.2, 0.0),
    "</s>": (-0.7, 0.0),
    "<s> A": (-0.4, -0.05), "A TO": (-0.3, -0.15), "<s> TO": (-0.6, -0.25), "TO A": (-0.9, -0.35),
    "B </s>": (-0.3, 0.0),
    "<s> A TO": (-0.2, 0.0), "A TO A": (-0.1, 0.0), "A TO </s>": (-0.5, 0.0),
}  # fmt: skip
ARPA = (
    "\\data\\\nngram 1=6\nngram 2=5\nngram 3=3\n"
    + "".join(
        f"\n\\{order}-grams:\n"
        + "".join(
            f"{p}\t{words}" + (f"\t{b}\n" if order < 3 else "\n")
            for words, (p, b) in NGRAMS.items()
            if len(words.split()) == order
        )
        for order in (1, 2, 3)
    )
    + "\n\\end\\\n"
)
WORDS = ("A", "AB", "B", "TO")


def by_hand(history: tuple[str, ...], words: tuple[str, ...]) -> float:
    """The cost of the cheapest way to go on with `words`: by n-grams of the history, or of what backing off leaves."""
    if not words:
        return 0.0
    best, weights = math.inf, 0.0
    for begin in range(len(history) + 1):
        left = history[begin:]
        ngram = (*left, words[0])
        if " ".join(ngram) in NGRAMS:
            following = next(ngram[b:] for b in range(len(ngram) > 2, 4) if b == 3 or " ".join(ngram[b:]) in NGRAMS)
            score = NGRAMS[" ".join(ngram)][0] + weights
            best = min(best, by_hand(following, words[1:]) - score * math.log(10))
        weights += NGRAMS[" ".join(left)][1] if left else 0.0
    return best


def best_cost(found: Transducer, words: list[int], back_off: int) -> float:
    """The cost of the cheapest path of a sentence."""

    def relax(cost: np.ndarray, label: int) -> np.ndarray:
        arcs = found.arcs["label"] == label
        to = np.full_like(cost, np.inf)
        np.minimum.at(to, found.arcs["target"][arcs], cost[found.source[arcs]] + found.arcs["cost"][arcs])
        return to

    def backed_off(cost: np.ndarray) -> np.ndarray:
        for _ in range(3):
            cost = np.minimum(cost, relax(cost, back_off))
        return cost

    cost = np.full(len(found.final), np.inf)
    cost[found.start] = 0.0
    for word in words:
        cost = relax(backed_off(cost), word)
    return float((backed_off(cost) + found.final).min())


def test_a_sentence_costs_what_its_n_grams_and_back_off_weights_say(tmp_path):
    lexicon = toy.lexicon()
    found = Transducer.of(grammar(lexicon, toy.write_arpa(tmp_path / "lm.arpa", ARPA)))
    for size in range(5):
        for words in itertools.product(WORDS, repeat=size):
            numbers = [lexicon.word_ids[word] for word in words]
            assert best_cost(found, numbers, len(lexicon.words) + 1) == pytest.approx(
                by_hand(("<s>",), (*words, "</s>")), abs=1e-4
            )


def test_no_state_does_nothing_but_back_off(tmp_path):
    lexicon = toy.lexicon()
    found = Transducer.of(grammar(lexicon, toy.write_arpa(tmp_path / "lm.arpa", ARPA)))
    backs_off = found.arcs["label"] == len(lexicon.words) + 1
    others = np.union1d(found.source[~backs_off], np.flatnonzero(np.isfinite(found.final)))
    assert set(found.source[backs_off]) <= set(others)
    # no history, <s>, A, B and TO, and A TO and <s> A of the four histories of two words
    assert len(found.final) == 7
    assert (np.diff(found.source * 100 + found.arcs["label"]) >= 0).all()  # sorted, for the composition


def test_n_grams_of_words_that_the_lexicon_lacks_are_left_out_and_counted(tmp_path, capsys):
    lexicon = Lexicon({word: [("x",)] for word in ("A", "TO")})
    found = Transducer.of(grammar(lexicon, toy.write_arpa(tmp_path / "lm.arpa", ARPA)))
    assert set(found.arcs["label"].tolist()) == {1, 2, 3}
    assert "lm.arpa: 2 of its 4 words are not in the lexicon: AB B\n" in capsys.readouterr().err
    for words in itertools.product(("A", "TO"), repeat=3):
        numbers = [lexicon.word_ids[word] for word in words]
        assert best_cost(found, numbers, 3) == pytest.approx(by_hand(("<s>",), (*words, "</s>")), abs=1e-4)


def test_only_the_first_words_that_the_lexicon_lacks_are_named(tmp_path, capsys):
    rows = "".join(f"-2\tW{number:02d}\n" for number in range(30))
    text = f"\\data\\\nngram 1=33\n\n\\1-grams:\n-99\t<s>\n-1\t</s>\n-1\tA\n{rows}\\end\\\n"
    grammar(toy.lexicon(), toy.write_arpa(tmp_path / "lm.arpa", text))
    named = " ".join(f"W{number:02d}" for number in range(10))
    assert f"30 of its 31 words are not in the lexicon: {named} ...\n" in capsys.readouterr().err


def test_an_n_gram_all_of_whose_words_the_lexicon_lacks_is_refused(tmp_path):
    path = toy.write_arpa(tmp_path / "lm.arpa", ARPA)
    with pytest.raises(Refusal, match="lm.arpa: lexicon and n-gram have no word in common; use the same spelling"):
        grammar(Lexicon({"a": [("x",)]}), path)
