"""Noisy copies of features: how much noise, whose, as a transfer set, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from kdasr import cli, io
from kdasr.data.frames import FrameExamples
from kdasr.data.table import FrameTable, FrameTableWriter
from kdasr.features.noise import NoiseOptions, add_noise
from kdasr.refusal import Refusal
from tests import tables

SCALE = np.array([1.0, 10.0, 0.1], np.float32)


def run(*arguments: object) -> None:
    cli.cli.main([str(part) for part in arguments], standalone_mode=False)


@pytest.fixture
def features(tmp_path: Path) -> Path:
    """Twenty utterances of 500 frames, coefficients of three sizes."""
    rng = np.random.default_rng(0)
    utterances = {f"u{number}": (rng.normal(size=(500, 3)) * SCALE).astype(np.float32) for number in range(20)}
    return tables.write_features(tmp_path / "features", utterances, extractor={"type": "kdasr-fbank", "num_bins": 3})


def test_each_copy_has_a_name_a_level_and_noise_of_its_own_and_the_speaker_of_its_utterance(features, tmp_path):
    run("noise", tmp_path / "noisy", "--features", features, "--set", "noise.copies=2", "--set", "noise.level=0.8")
    clean, noisy = FrameTable(features), FrameTable(tmp_path / "noisy", "features")
    assert [u.id for u in noisy.utterances[::20]] == ["u0_noise0", "u0_noise1"] and len(noisy.utterances) == 40
    assert noisy.by_id["u3_noise1"].speaker == clean.by_id["u3"].speaker
    assert noisy.info["extractor"] == clean.info["extractor"] and noisy.info["num_frames"] == len(noisy) == 20_000
    noise = {u.id: (noisy.frames(u) - clean.frames(u.id.split("_")[0])) / SCALE for u in noisy.utterances}
    levels = np.array([each.std(0) for each in noise.values()])  # (40, 3)
    assert np.allclose(levels, levels.mean(1, keepdims=True), rtol=0.2), "of every coefficient in its own units"
    spread = levels.mean(1)
    assert spread.max() < 0.84 and spread.min() < 0.1 and abs(spread.mean() - 0.4) < 0.1
    first, second = (noise[id].ravel() for id in ("u0_noise0", "u0_noise1"))
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.1


def test_a_seed_tells_the_noise_and_what_is_made_is_kept(features, tmp_path):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        add_noise(tmp_path / name, features, NoiseOptions(seed=seed))
    a, b, c = (FrameTable(tmp_path / name).frames("u0_noise0") for name in "abc")
    assert np.array_equal(a, b) and not np.array_equal(a, c)
    before = (tmp_path / "a" / "frames-000.npy").stat().st_mtime_ns
    add_noise(tmp_path / "a", features, NoiseOptions())
    assert (tmp_path / "a" / "frames-000.npy").stat().st_mtime_ns == before
    with pytest.raises(Refusal, match=r"noise.seed.*overwrite"):
        add_noise(tmp_path / "a", features, NoiseOptions(seed=2))


def test_copies_are_a_transfer_set_beside_their_own_clean_features(tmp_path):
    features, ali = tables.write_set(tmp_path / "set", 4, 0)
    add_noise(tmp_path / "noisy", features, NoiseOptions(copies=3))
    examples = FrameExamples(FrameTable(features), FrameTable(ali), None, [FrameTable(tmp_path / "noisy")])
    clean = len(FrameTable(features))
    assert len(examples) == 4 * clean and (examples.labels()[clean:] == -1).all()


def test_half_floats_stay_in_their_range(tmp_path):
    loud = np.array([[-6e4], [6e4]] * 50, np.float16)
    folder = tables.write_features(tmp_path / "features", {"u": loud})
    add_noise(tmp_path / "noisy", folder, NoiseOptions(level=4.0))
    frames = FrameTable(tmp_path / "noisy").frames("u_noise0")
    assert frames.dtype == np.float16 and np.isfinite(frames).all()


def test_features_that_are_no_numbers_or_none_are_refused(tmp_path):
    folder = tables.write_features(tmp_path / "features", {"u": np.full((3, 2), np.nan, np.float32)})
    with pytest.raises(Refusal, match=r"features that are not finite .*expected numbers, found NaN or inf"):
        add_noise(tmp_path / "noisy", folder, NoiseOptions())
    io.begin(tmp_path / "none", io.Made("features", {}))
    FrameTableWriter(tmp_path / "none").close()
    io.finish(tmp_path / "none", dim=2)
    with pytest.raises(Refusal, match="no utterances to copy"):
        add_noise(tmp_path / "noisy", tmp_path / "none", NoiseOptions())
    io.begin(tmp_path / "ali", io.Made("align", {}))
    io.finish(tmp_path / "ali")
    with pytest.raises(Refusal, match="a folder of another kind"):
        add_noise(tmp_path / "noisy", tmp_path / "ali", NoiseOptions())


@pytest.mark.parametrize(
    "setting", ["noise.level=0", "noise.level=nan", "noise.level=inf", "noise.copies=0", "noise.seed=-1"]
)
def test_no_noise_is_refused(features, tmp_path, setting):
    with pytest.raises(Refusal, match="level is above 0, copies at least 1, seed at least 0"):
        run("noise", tmp_path / "noisy", "--features", features, "--set", setting)
    assert not (tmp_path / "noisy").exists()
