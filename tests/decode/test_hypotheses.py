"""Hypotheses on disk, and utterances without a path."""

import json
from dataclasses import replace
from typing import cast

import numpy as np
import pytest
import torch

from kdasr import io
from kdasr.data.table import FrameTable
from kdasr.decode.hypotheses import Wanted, decode_part, join_parts, read_hypotheses
from kdasr.decode.search import Decoded, DecodeOptions, Searcher
from kdasr.refusal import Refusal
from tests import toy
from tests.tables import write_features

LEXICON = toy.lexicon()


class Found:
    """A searcher that has found already."""

    def __init__(self, words: dict, max_bad: float = 0.5) -> None:
        self.words, self.options = words, DecodeOptions(max_bad=max_bad)

        self.sequences: list[list[int]] = [[]]

    def decode(self, lengths, log_likelihoods, keep) -> Decoded:
        assert [len(log_likelihoods(number)) for number in range(len(lengths))] == lengths == [100, 50]
        return Decoded(self.words, 0.3)


@pytest.fixture
def table(tmp_path):
    frames = {"a1": np.zeros((100, 2), np.float32), "a2": np.zeros((50, 2), np.float32)}
    return FrameTable(write_features(tmp_path / "feats", frames))


def decode(tmp_path, table, words, **options):
    out = tmp_path / "decode"
    io.begin(out, io.Made("decode", {}))
    searcher = cast(Searcher, Found(words, **options))
    lengths = [utterance.num_frames for utterance in table.utterances]
    decode_part(out, 0, searcher, LEXICON, table, lambda number: torch.zeros(lengths[number], 3), Wanted())
    facts = join_parts(out, 1, LEXICON.words, table, searcher.options.max_bad)
    return out, io.finish(out, **facts)


def test_hypotheses_read_back_at_every_weight(tmp_path, table, capsys):
    ids = LEXICON.word_ids
    words = {(7.0, 0.0): [[ids["A"], ids["TO"]], []], (8.0, 0.5): [[ids["AB"]], [ids["B"]]]}
    out, info = decode(tmp_path, table, words)
    assert read_hypotheses(out) == {(7.0, 0.0): {"a1": "A TO", "a2": ""}, (8.0, 0.5): {"a1": "AB", "a2": "B"}}
    assert info["num_utterances"] == 2 and info["audio_seconds"] == 1.5 and info["search_rtf"] == pytest.approx(0.2)
    assert "2 utterances decoded, search at 0.2000 x real time" in capsys.readouterr().err


def test_utterances_are_sorted(tmp_path, table):
    table.utterances.reverse()
    table.utterances[:] = [replace(table.utterances[0], num_frames=100), replace(table.utterances[1], num_frames=50)]
    out, _ = decode(tmp_path, table, {(7.0, 0.0): [[1], [2]]})
    assert list(read_hypotheses(out)[7.0, 0.0]) == ["a1", "a2"]


def test_an_utterance_without_a_path_is_named_and_its_hypothesis_empty(tmp_path, table, capsys):
    out, _ = decode(tmp_path, table, {(7.0, 0.0): [None, [1]]})
    assert read_hypotheses(out)[7.0, 0.0] == {"a1": "", "a2": "<UNK>"}
    assert "feats: 1 of 2 utterances without a path: a1 (no path found)" in capsys.readouterr().err


def test_too_many_without_a_path_are_refused(tmp_path, table):
    told = (
        "feats: 1 of 2 utterances are left without a path .expected at most 20%, found a2 .no path found..; widen "
        "the beams .--set decode.search_beam=20. or allow more: --set decode.max_bad=SHARE --overwrite"
    )
    with pytest.raises(Refusal, match=told):
        decode(tmp_path, table, {(7.0, 0.0): [[1], None]}, max_bad=0.2)


def test_a_set_without_utterances_is_refused(tmp_path, table):
    with pytest.raises(Refusal, match="feats: no utterances to decode"):
        join_parts(tmp_path, 0, LEXICON.words, table.only([]), 0.5)


@pytest.mark.parametrize("damage", ['{"lm_weight": 7', json.dumps({"text": {}}), "[]"])
def test_damaged_hypotheses_are_refused(tmp_path, table, damage):
    out, _ = decode(tmp_path, table, {(7.0, 0.0): [[1], []]})
    (out / "hypotheses.jsonl").write_text(damage)
    with pytest.raises(
        Refusal, match="hypotheses.jsonl: damaged hypotheses .found .*delete the folder and make it again"
    ):
        read_hypotheses(out)
    (out / "hypotheses.jsonl").unlink()
    with pytest.raises(Refusal, match="no hypotheses; name a folder made by kdasr decode"):
        read_hypotheses(out)
