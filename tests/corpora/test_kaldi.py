"""Kaldi data folders as cuts: whole recordings and segments; what lacks a part is set aside, commands are refused."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("lhotse")
soundfile = pytest.importorskip("soundfile")

from kdasr import io  # noqa: E402
from kdasr.cli import cli, main  # noqa: E402
from kdasr.corpora.kaldi import read_table  # noqa: E402
from kdasr.corpora.manifests import load_cuts  # noqa: E402
from kdasr.refusal import Refusal  # noqa: E402
from tests.corpora.test_own import record  # noqa: E402


def write(folder: Path, **tables: str) -> Path:
    """A data folder with two recordings of a second, and lines as given."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("r1", "r2"):
        record(folder / f"{name}.wav", 1.00003)  # 16000.48 samples: no whole number of milliseconds
    given = {"wav_scp": f"r1 {folder}/r1.wav\nr2 {folder}/r2.wav\n", "text": "r1 one\nr2 Two\n"}
    for name, lines in ({**given, "utt2spk": "r1 ann\nr2 bob\n"} | tables).items():
        (folder / name.replace("_", ".")).write_text(lines)
    return folder


def take(out: Path, data: Path, *settings: str) -> None:
    named = [word for setting in settings for word in ("--set", setting)]
    cli.main(["corpus", "kaldi", str(out), "--corpus", str(data), *named], standalone_mode=False)


def refused(capsys: pytest.CaptureFixture, out: Path, data: Path) -> str:
    capsys.readouterr()
    with pytest.raises(SystemExit) as caught:
        main(["corpus", "kaldi", str(out), "--corpus", str(data)])
    error = capsys.readouterr().err.splitlines()
    assert caught.value.code == 1
    return error[-1]


def test_whole_recordings_keep_every_sample(tmp_path):
    data = write(tmp_path / "data" / "train")
    take(tmp_path / "out", data)
    cuts = load_cuts(tmp_path / "out" / "train")
    assert [(cut.id, cut.supervisions[0].speaker, cut.supervisions[0].text) for cut in cuts] == [
        ("r1", "ann", "ONE"),
        ("r2", "bob", "TWO"),
    ]
    samples, _ = soundfile.read(data / "r1.wav", dtype="float32")
    np.testing.assert_array_equal(cuts[0].load_audio()[0], samples)


def test_a_folder_of_data_folders_gives_a_set_each(tmp_path):
    for name in ("train", "test"):
        write(tmp_path / "data" / name)
    (tmp_path / "data" / "lang").mkdir()
    take(tmp_path / "out", tmp_path / "data")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["test", "train"]


def test_segments_are_parts_of_recordings(tmp_path):
    segments = "a r1 0.1 0.5\nb r1 0.5 -1\nc r2 0.25 1.2 1\n"
    text, speakers = "a one\nb two three\nc four\n", "a ann\nb ann\nc bob\n"
    data = write(tmp_path / "train", segments=segments, text=text, utt2spk=speakers)
    take(tmp_path / "out", data)
    cuts = {cut.id: cut for cut in load_cuts(tmp_path / "out" / "train")}
    samples, _ = soundfile.read(data / "r1.wav", dtype="float32")
    assert list(cuts) == ["a", "b", "c"] and cuts["b"].supervisions[0].text == "TWO THREE"
    np.testing.assert_array_equal(cuts["a"].load_audio()[0], samples[1600:8000])
    np.testing.assert_array_equal(cuts["b"].load_audio()[0], samples[8000:])
    assert cuts["c"].num_samples == 12000  # it ends 0.2 s after its recording, and is cut there
    assert cuts["a"].supervisions[0].duration == cuts["a"].duration == 0.4


@pytest.mark.parametrize(
    ("changed", "fault"),
    [
        ({"text": "r1 one\n"}, "r2\tno transcript"),
        ({"text": "r1 one\nr2\n"}, "r2\tno transcript"),
        ({"text": "r1 one\nr2 two\nr3 three\n"}, "r3\ta transcript of no recording"),
        ({"utt2spk": "r1 ann\n"}, "r2\tno speaker in utt2spk"),
        ({"segments": "r1 r1 0 1\nr2 r3 0 1\n"}, "r2\trecording r3: not in wav.scp"),
        ({"segments": "r1 r1 0 1\nr2 r2 0 1.6\n"}, "r2\tno such part of its recording: 0 to 1.6 s of 1.000"),
        ({"segments": "r1 r1 0 1\nr2 r2 0.5 0.5\n"}, "r2\tno such part of its recording: 0.5 to 0.5 s of 1.000"),
    ],
)
def test_utterances_that_lack_a_part_are_set_aside_by_name(tmp_path, capsys, changed, fault):
    data = write(tmp_path / "train", **changed)
    take(tmp_path / "out", data, "kaldi.max_bad=1")
    assert (tmp_path / "out" / "train" / "bad.txt").read_text() == f"{fault}\n"
    info = io.read_info(tmp_path / "out" / "train")
    assert info["num_bad"] == 1 and info["num_utterances"] >= 1
    error = refused(capsys, tmp_path / "other", data)
    assert "utterances are bad (expected at most 0" in error and error.endswith("or raise --set kaldi.max_bad=N")


def test_unreadable_recordings_are_set_aside(tmp_path):
    data = write(tmp_path / "train", wav_scp=f"r1 {tmp_path}/train/r1.wav\nr2 {tmp_path}/train/none.wav\n")
    take(tmp_path / "out", data, "kaldi.max_bad=1")
    assert "r2\trecording r2: no such audio file" in (tmp_path / "out" / "train" / "bad.txt").read_text()


@pytest.mark.parametrize("command", ["touch {folder}/pwned |", "| touch {folder}/pwned", "cat {folder}/r2.wav |  "])
def test_a_command_is_never_run(tmp_path, capsys, command):
    folder = tmp_path / "train"
    data = write(folder, wav_scp=f"r1 {folder}/r1.wav\nr2 {command.format(folder=folder)}\n")
    error = refused(capsys, tmp_path / "out", data)
    assert "wav.scp, r2: a command, which kdasr never runs (expected a file, found " in error
    assert error.endswith("write it as a file and name that: wav-copy 'COMMAND |' FILE.wav")
    assert not (folder / "pwned").exists() and not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"text": "r1 one\nr1 two\n"}, "text, line 2: a second line of an id (found r1); leave one"),
        ({"text": "r1 one\n\nr2 two\n"}, "text, line 2: an empty line"),
        (
            {"segments": "r1 r1 0\n"},
            "segments: no segment (expected ID RECORDING BEGIN END, in seconds, found r1 r1 0)",
        ),
        ({"segments": "r1 r1 a b\n"}, "segments: no segment"),
        ({"segments": "r1 r1 nan 0.5\n"}, "segments: no segment"),
        ({"segments": "r1 r1 0 inf\n"}, "segments: no segment"),
    ],
)
def test_tables_that_are_none_are_told(tmp_path, capsys, changed, told):
    assert told in refused(capsys, tmp_path / "out", write(tmp_path / "train", **changed))


def test_an_id_that_is_a_path_writes_into_the_set_alone(tmp_path):
    """What lhotse does not read is written again, by the recording's id."""
    data, mine = write(tmp_path / "train"), tmp_path / "mine.flac"
    samples, rate = soundfile.read(data / "r1.wav")
    soundfile.write(data / "r1.ogg", samples, rate)
    mine.write_text("mine")
    id = "../../../mine"
    write(data, wav_scp=f"{id} {data}/r1.ogg\n", text=f"{id} one\n", utt2spk=f"{id} ann\n")
    take(tmp_path / "out", data)
    assert mine.read_text() == "mine"
    (cut,) = load_cuts(tmp_path / "out" / "train")
    assert cut.id == id and cut.load_audio().shape == (1, len(samples))


def test_a_set_is_named_by_its_folder_however_it_is_named(tmp_path):
    data = write(tmp_path / "train")
    (data / "split").mkdir()
    take(tmp_path / "out", data / "split" / "..")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["train"]


def test_a_pipe_is_no_table(tmp_path):
    os.mkfifo(tmp_path / "utt2spk")
    with pytest.raises(Refusal, match="utt2spk: no such table of Kaldi's; name it"):
        read_table(tmp_path / "utt2spk", "name it")


def test_missing_folders_and_tables_are_told(tmp_path, capsys):
    error = refused(capsys, tmp_path / "out", tmp_path)
    assert "no Kaldi data folder (expected wav.scp, in it or in its folders); correct the path" in error
    data = write(tmp_path / "train")
    (data / "utt2spk").unlink()
    assert "utt2spk: no such table of Kaldi's; name a complete data" in refused(capsys, tmp_path / "out", data)
    with pytest.raises(SystemExit):
        main(["corpus", "kaldi", str(tmp_path / "out")])
    assert "no data folder is named (expected --corpus DIR, with wav.scp)" in capsys.readouterr().err
