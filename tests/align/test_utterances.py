"""Utterances that cannot be aligned are named with the reason, and are too many or not."""

import numpy as np
import pytest

from kdasr.align.utterances import alignable, check_bad, fewest_frames
from kdasr.data.table import FrameTable
from kdasr.lang.topology import make_topology
from kdasr.refusal import Refusal
from tests import toy
from tests.tables import write_features

LEXICON = toy.lexicon(3, 5)
TOPOLOGY = make_topology(LEXICON)


@pytest.fixture
def table(tmp_path):
    lengths = {"a1": 30, "a2": 5, "a3": 30, "a4": 30}
    write_features(tmp_path / "mfcc", {id: np.zeros((length, 2), np.float32) for id, length in lengths.items()})
    return FrameTable(tmp_path / "mfcc")


def test_the_fewest_frames_are_those_of_the_shortest_variants():
    assert fewest_frames("B", LEXICON, TOPOLOGY) == 3  # not the variant of two phones
    assert fewest_frames("AB TO", LEXICON, TOPOLOGY) == 12
    assert fewest_frames("ZEBRA", LEXICON, TOPOLOGY) == 3  # the unknown word's phone may skip two of its five states
    assert fewest_frames("", LEXICON, TOPOLOGY) == 0


def test_empty_transcripts_and_short_utterances_are_set_apart(table, capsys):
    ids, bad = alignable(table, {"a1": "A", "a2": "AB", "a3": " "}, LEXICON, TOPOLOGY)
    assert ids == ["a1"] and bad == {"a2": "5 frames, its words need 6", "a3": "empty transcript"}
    assert "mfcc: 1 utterances have no transcript in the cuts and are left out" in capsys.readouterr().err


@pytest.mark.parametrize("value", [np.nan, -np.inf])
def test_frames_that_are_no_numbers_are_set_apart(tmp_path, value):
    frames = np.zeros((30, 2), np.float32)
    spoilt = frames.copy()
    spoilt[29, 1] = value
    table = FrameTable(write_features(tmp_path / "mfcc", {"a1": frames, "a2": spoilt}))
    ids, bad = alignable(table, {"a1": "A", "a2": "A"}, LEXICON, TOPOLOGY)
    assert ids == ["a1"] and bad == {"a2": "its frames hold NaN or infinity"}


def test_cuts_of_another_set_are_refused(table):
    with pytest.raises(Refusal, match="mfcc: no utterance has both features and transcript; name cuts of the same set"):
        alignable(table, {"b1": "A"}, LEXICON, TOPOLOGY)


def test_up_to_max_bad_the_bad_are_named(capsys):
    check_bad({"u2": "empty transcript", "u1": "no path found"}, 40, 0.05, "mfcc")
    told = "mfcc: 2 of 40 utterances did not align: u1 (no path found), u2 (empty transcript)"
    assert told in capsys.readouterr().err
    check_bad({}, 40, 0.0, "mfcc")
    assert capsys.readouterr().err == ""


def test_beyond_max_bad_they_are_refused():
    bad = {f"u{number}": "no path found" for number in range(7)}
    told = (
        r"mfcc: 7 of 40 utterances did not align .expected at most 5%, found u0 .*u4 .no path found..; "
        "check that audio and transcripts belong together, or allow more: --set align.max_bad=SHARE --overwrite"
    )
    with pytest.raises(Refusal, match=told):
        check_bad(bad, 40, 0.05, "mfcc")


def test_nothing_but_bad_utterances_is_always_refused():
    with pytest.raises(Refusal, match="1 of 1 utterances did not align"):
        check_bad({"u": "no path found"}, 1, 1.0, "mfcc")
