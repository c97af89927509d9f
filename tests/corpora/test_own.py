"""A user's own recordings: names in the transcripts, speakers, sets, rewritten audio; and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("lhotse")
soundfile = pytest.importorskip("soundfile")

from kdasr import io  # noqa: E402
from kdasr.cli import cli, main  # noqa: E402
from kdasr.corpora import own  # noqa: E402
from kdasr.corpora.manifests import load_cuts  # noqa: E402
from kdasr.corpora.own import divide, find  # noqa: E402
from kdasr.corpora.validate import Found  # noqa: E402
from kdasr.refusal import Refusal  # noqa: E402


def record(path: Path, seconds: float = 0.5, rate: int = 16000, channels: int = 1) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(len(path.name)).normal(scale=0.1, size=(round(seconds * rate), channels))
    soundfile.write(path, noise, rate)
    return path


def write(folder: Path, names: list[str], lines: list[str]) -> Path:
    for name in names:
        record(folder / name)
    (folder / own.TRANSCRIPTS).write_text("".join(f"{line}\n" for line in lines))
    return folder


def texts(found: list[Found]) -> dict[str, str | None]:
    return {utterance.id: utterance.text for utterance in found}


def test_a_line_names_a_recording_by_path_or_name_with_or_without_suffix(tmp_path):
    names = ["ann/1.wav", "ann/2.flac", "bob/1.wav", "bob/3.ogg"]
    write(tmp_path, names, ["ann/1.wav one", "2 two  words", "", "bob/1 three", "3.ogg four"])
    found = find(tmp_path)
    assert texts(found) == {"ann-1": "ONE", "2": "TWO WORDS", "bob-1": "THREE", "3": "FOUR"}
    assert [utterance.speaker for utterance in found] == ["ann", "ann", "bob", "bob"]


def test_speakers_are_folders_names_or_one(tmp_path):
    write(tmp_path, ["ann-1.wav", "ann_2.wav", "x/y/bob-1.wav"], [])
    speakers = {kind: [utterance.speaker for utterance in find(tmp_path, kind)] for kind in own.SPEAKERS}
    assert speakers == {"folder": ["one", "one", "x-y"], "name": ["ann", "ann", "bob"], "one": ["one"] * 3}


@pytest.mark.parametrize(
    ("lines", "fault"),
    [
        (["nobody says this"], "line 1: no recording of the name nobody"),
        (["a/1 one", "1 two"], "line 2: 2 recordings of the name 1"),
        (["a/1 one", "b/1 two", "a/1.wav three"], "line 3: a second transcript of a recording .found a/1.wav."),
    ],
)
def test_a_bad_line_is_told_by_its_number(tmp_path, lines, fault):
    with pytest.raises(Refusal, match=rf"transcripts\.txt, {fault}"):
        find(write(tmp_path, ["a/1.wav", "b/1.wav"], lines))


def test_a_path_from_the_folder_is_never_ambiguous(tmp_path):
    write(tmp_path, ["0.wav", "x/0.wav"], ["0.wav one", "x/0 two"])
    assert texts(find(tmp_path)) == {"0": "ONE", "x-0": "TWO"}


@pytest.mark.parametrize("names", [["b/b.wav", "c/b.wav", "b-b.wav"], ["a.wav", "a.flac"]])
def test_recordings_of_one_name_are_refused(tmp_path, names):
    with pytest.raises(Refusal, match="recordings of one name .found (b-b|a)."):
        find(write(tmp_path, names, []))


def test_a_name_that_is_no_text_is_refused(tmp_path):
    write(tmp_path, ["a.wav"], [])
    (tmp_path / "a.wav").rename(tmp_path / "a\nb.wav")
    with pytest.raises(Refusal, match="a name that cannot be written"):
        find(tmp_path)


def test_hidden_files_are_none(tmp_path):
    write(tmp_path, ["a.wav", "._a.wav", ".trash/b.wav"], ["a one"])
    assert texts(find(tmp_path)) == {"a": "ONE"}


def test_marks_about_words_and_of_windows_are_no_part_of_them(tmp_path):
    write(tmp_path, ["0.wav"], [])
    line = "\ufeff0 Hello, world! “It's” -- well-known…\r\n"
    (tmp_path / own.TRANSCRIPTS).write_bytes(line.encode())
    assert texts(find(tmp_path)) == {"0": "HELLO WORLD IT'S WELL-KNOWN"}


def test_too_few_recordings_for_three_sets_are_refused(tmp_path, capsys):
    home = write(tmp_path / "own", ["0.wav", "1.wav"], ["0 one", "1 two"])
    with pytest.raises(SystemExit):
        main(["corpus", "own", str(tmp_path / "out"), "--corpus", str(home)])
    assert "too few recordings (expected one for each set, found 2); add some" in capsys.readouterr().err


def test_a_clipped_channel_is_not_hidden_by_another(tmp_path, capsys):
    home = write(tmp_path / "own", [f"{number}.wav" for number in range(30)], [f"{number} a" for number in range(31)])
    samples = np.random.default_rng(0).normal(scale=0.1, size=(8000, 2))
    samples[:, 0] = np.sign(samples[:, 0])
    soundfile.write(home / "30.wav", samples, 16000)
    cli.main(["corpus", "own", str(tmp_path / "out"), "--corpus", str(home)], standalone_mode=False)
    assert "set aside 30: the audio is clipped" in capsys.readouterr().err


def test_a_folder_without_recordings_or_transcripts_is_refused(tmp_path):
    with pytest.raises(Refusal, match="no recordings"):
        find(tmp_path)
    record(tmp_path / "a.wav")
    with pytest.raises(Refusal, match=r"transcripts\.txt: no such transcripts; write transcripts\.txt"):
        find(tmp_path)


@pytest.mark.parametrize(
    ("arguments", "fault"), [([], "--corpus DIR"), (["--corpus", "nowhere"], "nowhere: no such folder")]
)
def test_recordings_must_be_named(tmp_path, capsys, arguments, fault):
    with pytest.raises(SystemExit):
        main(["corpus", "own", str(tmp_path / "out"), *arguments])
    assert fault in capsys.readouterr().err


@pytest.mark.parametrize("setting", ["own.speaker=face", "own.dev=0", "own.test=0.95", "own.sampling_rate=0"])
def test_settings_that_are_none_are_refused(tmp_path, capsys, setting):
    with pytest.raises(SystemExit):
        main(["corpus", "own", str(tmp_path), "--corpus", str(tmp_path), "--set", setting])
    assert setting.partition("=")[0].partition(".")[2] in capsys.readouterr().err


def utterances(speakers: int, each: int) -> list[Found]:
    return [Found(f"s{one}-{number}", f"s{one}", "A", None) for one in range(speakers) for number in range(each)]


def test_many_speakers_are_whole_in_one_set():
    sets = divide(utterances(20, 5), {"dev": 0.1, "test": 0.2})
    speakers = {name: {utterance.speaker for utterance in found} for name, found in sets.items()}
    assert {name: len(found) for name, found in sets.items()} == {"train": 70, "dev": 10, "test": 20}
    assert not speakers["train"] & speakers["dev"] and not speakers["dev"] & speakers["test"]
    assert not speakers["train"] & speakers["test"]


def test_few_speakers_are_shared_by_the_sets():
    sets = divide(utterances(2, 25), {"dev": 0.1, "test": 0.1})
    assert {name: len(found) for name, found in sets.items()} == {"train": 40, "dev": 5, "test": 5}
    assert {utterance.id for found in sets.values() for utterance in found} == {each.id for each in utterances(2, 25)}


def test_what_is_added_moves_few_of_the_others():
    before, after = (divide(utterances(2, each), {"dev": 0.1, "test": 0.1}) for each in (50, 52))
    ids = [{each.id for each in sets["train"]} for sets in (before, after)]
    assert len(ids[0] - ids[1]) <= 3


def test_recordings_of_other_rates_and_channels_are_rewritten_and_those_without_a_word_set_aside(tmp_path, capsys):
    home = write(
        tmp_path / "own", [f"{number}.wav" for number in range(20)], [f"{number} word" for number in range(22)]
    )
    record(home / "20.wav", rate=44100, channels=2)
    record(home / "21.flac", rate=8000)
    record(home / "22.wav")  # of which no line tells
    command = ["corpus", "own", str(tmp_path / "out"), "--corpus", str(home)]
    cli.main(command, standalone_mode=False)
    cuts = {cut.id: cut for name in own.SETS for cut in load_cuts(tmp_path / "out" / name)}
    assert sorted(map(int, cuts)) == list(range(22)) and {cut.sampling_rate for cut in cuts.values()} == {16000}
    assert {cut.num_channels for cut in cuts.values()} == {1} and abs(cuts["20"].duration - 0.5) < 1e-3
    assert Path(cuts["20"].recording.sources[0].source).parent == tmp_path / "out" / "audio"
    assert Path(cuts["0"].recording.sources[0].source) == home / "0.wav"
    assert "set aside 22: no transcript" in capsys.readouterr().err
    cli.main(command, standalone_mode=False)
    assert "up to date" in capsys.readouterr().err
    (home / own.TRANSCRIPTS).write_text("0 other\n")
    with pytest.raises(Refusal, match="inputs.transcripts"):
        cli.main(command, standalone_mode=False)
    assert io.read_info(tmp_path / "out" / "train")["num_utterances"] >= 17
