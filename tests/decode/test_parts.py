"""Parts of a set: which utterances are together, and what a part on disk says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from kdasr.data.table import FrameTable
from kdasr.decode import parts
from kdasr.decode.parts import Part, divide, is_written, read_part, remove_parts
from tests.tables import write_features

LENGTHS = {"a1": 10, "b1": 40, "a2": 30, "c1": 20, "b2": 5}


@pytest.fixture
def table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FrameTable:
    monkeypatch.setattr(parts, "PART_FRAMES", 45)
    frames = {id: np.zeros((length, 2), np.float32) for id, length in LENGTHS.items()}
    return FrameTable(write_features(tmp_path / "feats", frames))


def ids(divided: list) -> list[list[str]]:
    return [[utterance.id for utterance in part] for part in divided]


def test_the_longest_come_first_and_each_utterance_once(table):
    assert ids(divide(table, by_speaker=False)) == [["b1", "a2"], ["c1", "a1", "b2"]]


def test_a_speaker_stays_whole(table):
    assert ids(divide(table, by_speaker=True)) == [["a1", "a2", "b1", "b2"], ["c1"]]


def test_no_utterances_are_no_parts(table):
    assert divide(table.only([]), by_speaker=False) == []


def test_a_part_reads_back_and_is_its_utterances_alone(table, tmp_path):
    (some, _) = divide(table, by_speaker=False)
    part = Part(["b1", "a2"], {(7.0, 0.5): [[1, 2], None]}, ["{}"], {"search": 1.5})
    assert not is_written(tmp_path, 3, some)
    part.write(tmp_path, 3)
    assert read_part(tmp_path, 3) == part and is_written(tmp_path, 3, some)
    assert not is_written(tmp_path, 3, some[:1]) and not is_written(tmp_path, 2, some)
    remove_parts(tmp_path)
    assert not (tmp_path / parts.FOLDER).exists()


def test_some_utterances_of_a_table_keep_their_rows(table):
    some = table.only(table.utterances[2:4])
    assert [utterance.id for utterance in some.utterances] == ["a2", "c1"] == list(some.by_id)
    assert len(some.frames("a2")) == 30 and len(table.by_id) == 5 and len(some) == len(table)
