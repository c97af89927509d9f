"""Cuts at other speeds: names, speakers, lengths, and features of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("lhotse")
pytest.importorskip("soundfile")

import soundfile
from lhotse import CutSet

from kdasr import cli, io
from kdasr.corpora import manifests
from kdasr.corpora.perturbed import perturb
from kdasr.corpora.validate import Found, Sound
from kdasr.data.table import FrameTable
from kdasr.refusal import Refusal

RATE = 16000


@pytest.fixture
def cuts(tmp_path: Path) -> Path:
    """Two cuts of a second each, of one speaker."""
    folder = tmp_path / "cuts"
    io.begin(folder, io.Made("corpus", {}))
    found = []
    for number in range(2):
        path = tmp_path / f"u{number}.wav"
        soundfile.write(path, 0.3 * np.sin(2 * np.pi * 400 * (1 + number) * np.arange(RATE) / RATE), RATE)
        sound = Sound(path, RATE, RATE, str(number))
        found.append(manifests.make_cut(Found(f"u{number}", "ann", "YES", path), sound))
    manifests.finish_set(folder, found, {})
    return folder


def run(*arguments: object) -> None:
    cli.cli.main([str(part) for part in arguments], standalone_mode=False)


def test_a_copy_at_each_speed_has_its_own_name_speaker_and_length(cuts: Path, tmp_path: Path):
    run("perturb", tmp_path / "more", "--cuts", cuts, "--speed", "0.9,1,1.25")
    more = {cut.id: cut for cut in manifests.load_cuts(tmp_path / "more")}
    assert list(more) == ["u0_sp0.9", "u1_sp0.9", "u0", "u1", "u0_sp1.25", "u1_sp1.25"]
    assert [more[id].supervisions[0].speaker for id in ("u0", "u1_sp0.9")] == ["ann", "sp0.9-ann"]
    assert [more[id].num_samples for id in ("u0", "u0_sp0.9", "u0_sp1.25")] == [RATE, round(RATE / 0.9), RATE / 1.25]
    assert more["u0_sp0.9"].supervisions[0].text == "YES" and io.read_info(tmp_path / "more")["num_speakers"] == 3


def test_cuts_of_a_file_need_no_supervision(cuts: Path, tmp_path: Path):
    """Unlabelled speech, as lhotse wrote it."""
    bare = manifests.load_cuts(cuts)
    for cut in bare:
        cut.supervisions = []
    CutSet.from_cuts(bare).to_file(tmp_path / "bare.jsonl.gz")
    run("perturb", tmp_path / "more", "--cuts", tmp_path / "bare.jsonl.gz", "--speed", "1.1")
    run("features", tmp_path / "fbank", "--cuts", tmp_path / "more")
    assert set(FrameTable(tmp_path / "fbank").by_id) == {"u0_sp1.1", "u1_sp1.1"}


def test_faster_speech_is_higher_and_has_fewer_frames(cuts: Path, tmp_path: Path):
    perturb(tmp_path / "more", cuts, [0.8, 1.0, 1.25])
    run("features", tmp_path / "fbank", "--cuts", tmp_path / "more", "--set", "fbank.num_bins=80")
    table = FrameTable(tmp_path / "fbank")
    lengths = [table.by_id[id].num_frames for id in ("u0_sp0.8", "u0", "u0_sp1.25")]
    assert lengths == [125, 100, 80]
    peaks = [int(np.asarray(table.frames(id))[20:60].mean(0).argmax()) for id in ("u0_sp0.8", "u0", "u0_sp1.25")]
    assert peaks[0] < peaks[1] < peaks[2]


@pytest.mark.parametrize(
    ("speed", "told"),
    [
        ("0.4", r"--speed: no such speeds \(expected 0.5 to 2, each once, found 0.4\)"),
        ("0.9,0.9", "found 0.9, 0.9"),
        ("nan", "found nan"),
        ("0.9,fast", r"--speed 0.9,fast: not a list of speeds \(expected numbers, as 0.9,1.1\)"),
        ("", "not a list of speeds"),
    ],
)
def test_other_speeds_are_refused(cuts: Path, tmp_path: Path, speed: str, told: str):
    with pytest.raises(Refusal, match=told):
        run("perturb", tmp_path / "more", "--cuts", cuts, "--speed", speed)
    assert not (tmp_path / "more").exists()
