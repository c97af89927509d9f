"""Normalised features have mean 0 and deviation 1 over each speaker."""

from __future__ import annotations

import numpy as np
import pytest

from kdasr import io
from kdasr.data.table import FrameTable, FrameTableWriter
from kdasr.features import cmvn


def table(folder, utterances):
    io.begin(folder, io.Made("test", {}))
    writer = FrameTableWriter(folder, shard_bytes=2000)
    for id, speaker, frames in utterances:
        writer.add(id, speaker, frames)
    writer.close()
    io.finish(folder)
    return FrameTable(folder)


@pytest.fixture
def utterances():
    generator = np.random.default_rng(0)
    return [
        (f"u{number}", speaker, generator.normal(offset, scale, (40, 5)).astype(np.float16))
        for number, (speaker, offset, scale) in enumerate([("a", 5, 1), ("b", -3, 4), ("a", 6, 2), ("b", 0, 3)])
    ]


def test_per_speaker(tmp_path, utterances):
    stats = cmvn.speaker_stats(table(tmp_path / "t", utterances))
    assert set(stats) == {"a", "b"}
    for speaker in stats:
        mine = np.concatenate([frames for _, name, frames in utterances if name == speaker]).astype(np.float64)
        assert stats[speaker].count == 80
        np.testing.assert_allclose(stats[speaker].mean, mine.mean(0), rtol=1e-12)
        np.testing.assert_allclose(stats[speaker].deviation, mine.std(0), rtol=1e-9)
        normal = stats[speaker].apply(mine)
        assert normal.dtype == np.float32
        np.testing.assert_allclose(normal.mean(0), 0, atol=1e-5)
        np.testing.assert_allclose(normal.std(0), 1, atol=1e-5)


def test_wanted_speakers_have_the_statistics_of_all_that_they_said(tmp_path, utterances):
    features = table(tmp_path / "t", utterances)
    every, some = cmvn.speaker_stats(features), cmvn.speaker_stats(features, {"b"})
    assert set(some) == {"b"}
    np.testing.assert_array_equal(some["b"].sum, every["b"].sum)


def test_the_mean_alone(utterances):
    frames = utterances[0][2]
    centred = cmvn.Stats.of(frames).apply(frames, variance=False)
    np.testing.assert_allclose(centred.mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(centred.std(0), frames.astype(np.float64).std(0), rtol=1e-4)


def test_a_constant_coefficient_stays_finite():
    frames = np.full((10, 2), 7.0, np.float32)
    np.testing.assert_array_equal(cmvn.Stats.of(frames).apply(frames), 0)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_frames_that_are_no_numbers_spoil_no_other_utterance(tmp_path, utterances, value):
    sound = cmvn.speaker_stats(table(tmp_path / "sound", [utterances[0], utterances[1]]))
    utterances[2][2][3, 1] = value  # of a
    lonely = ("u4", "c", np.full((2, 5), value))
    stats = cmvn.speaker_stats(table(tmp_path / "t", [*utterances[:3], lonely]))
    np.testing.assert_array_equal(stats["a"].sum, sound["a"].sum)
    assert stats["a"].count == 40 and not np.isfinite(stats["c"].mean).any()
