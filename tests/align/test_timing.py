"""Times of words, phones and states, against alignments made of known phones."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from kdasr.align.timing import PHONE, STATE, WORD, spelling, timing
from kdasr.lang.lexicon import LangOptions, Lexicon
from kdasr.lang.topology import equal_alignment, make_topology
from kdasr.lang.tree import Tree
from kdasr.refusal import Refusal
from tests import toy

LEXICON = toy.lexicon(2, 3)
PHONES = ["SIL", "b", "SIL", "p", "b", "t", "u"]
TREE = Tree.monophone(make_topology(LEXICON))


def aligned(phones: str, num_frames: int) -> np.ndarray:
    """Frames shared out equally over the states of the phones."""
    path = equal_alignment(
        [LEXICON.phone_ids[phone] for phone in phones.split()], TREE.table, TREE.topology, num_frames
    )
    assert path is not None
    return path


def test_every_kind_tells_its_own_times():
    found = timing(aligned("SIL b SIL p b t u", 30), "B B TWO", LEXICON, TREE, 0.3)  # 16 states, 2 frames each and more
    edges = np.round(np.cumsum([0, 3, 2, 3, 2, 2, 2, 2]) * 30 / 16).astype(int) / 100
    assert found[PHONE] == list(zip(PHONES, edges[:-1], edges[1:], strict=True))
    words = zip(["", "B", "", "B", "TWO"], edges[[0, 1, 2, 3, 5]], edges[[1, 2, 3, 5, 7]], strict=True)
    assert found[WORD] == list(words)
    names = [f"{phone}.{state}" for phone in PHONES for state in range(3 if phone == "SIL" else 2)]
    assert [symbol for symbol, _, _ in found[STATE]] == names
    assert [begin for _, begin, _ in found[STATE]] == pytest.approx(np.round(np.arange(16) * 30 / 16) / 100)


@pytest.mark.parametrize("duration", [0.3, 0.2953125, 0.3046875])
def test_intervals_tile_the_cut_to_its_end(duration):
    found = timing(aligned("SIL a b t u", 30), "AB TO", LEXICON, TREE, duration)
    for intervals in found.values():
        assert intervals[0].begin == 0 and intervals[-1].end == pytest.approx(duration, abs=1e-6)
        assert all(one.end == other.begin for one, other in itertools.pairwise(intervals))
        assert all(interval.begin < interval.end for interval in intervals)


def test_a_state_ends_where_it_is_left_not_where_its_number_changes():
    """The same phone twice, of one state: two intervals."""
    lexicon = toy.lexicon(1)
    tree = Tree.monophone(make_topology(lexicon))
    number = lexicon.phone_ids["a"]
    path = equal_alignment([number, number], tree.table, tree.topology, 8)
    assert path is not None
    assert timing(path, "A A", lexicon, tree, 0.08)[STATE] == [("a.0", 0.0, 0.04), ("a.0", 0.04, 0.08)]


@pytest.mark.parametrize("text", ["A", "B AB TO", "TWO TO B B", "AB A B AB"])
def test_every_way_to_say_a_transcript_spells_it(text):
    """All pronunciations, silence at every place or none, against what they were made of."""
    words = text.split()
    for variants in itertools.product(*(LEXICON.pronunciations[word] for word in words)):
        for silent in itertools.product([0, 1], repeat=len(words) + 1):
            phones, expected = ["SIL"] * silent[0], [("", 1)] * silent[0]
            for word, variant, after in zip(words, variants, silent[1:], strict=True):
                phones += variant
                expected.append((word, len(phones)))
                phones += ["SIL"] * after
                expected += [("", len(phones))] * after
            assert list(spelling(phones, text, LEXICON)) == expected


def test_of_two_ways_to_cut_the_phones_one_is_taken_whole():
    lexicon = Lexicon({"X": [("a",), ("a", "b")], "Y": [("b", "c"), ("c",)], "<UNK>": [("SPN",)]}, LangOptions())
    assert list(spelling(["a", "b", "c"], "X Y", lexicon)) in ([("X", 1), ("Y", 3)], [("X", 2), ("Y", 3)])
    assert list(spelling(["a", "b", "SIL", "c"], "X Y", lexicon)) == [("X", 2), ("", 3), ("Y", 4)]


def test_words_beyond_the_lexicon_keep_their_spelling():
    assert list(spelling(["SPN", "SIL", "a"], "Zebra! A", LEXICON)) == [("Zebra!", 1), ("", 2), ("A", 3)]


def test_a_word_that_is_spoken_by_silence_is_found():
    lexicon = Lexicon({"<PAUSE>": [("SIL",)], "A": [("a",)], "<UNK>": [("SPN",)]}, LangOptions())
    found = list(spelling(["SIL", "a", "SIL"], "<PAUSE> A", lexicon))
    assert found == [("<PAUSE>", 1), ("A", 2), ("", 3)]


@pytest.mark.parametrize("phones", ["a", "SIL a b b", "a b a", "b", ""])
def test_phones_of_other_words_are_refused(phones):
    with pytest.raises(Refusal, match="the aligned phones do not spell the transcript .expected AB TO, found"):
        list(spelling(phones.split(), "AB TO", LEXICON))
