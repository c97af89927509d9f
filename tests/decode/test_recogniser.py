"""Recordings in, words out: a bundle made by the verbs, against what they decoded; and recordings that are none."""

from __future__ import annotations

import json
import shutil
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("soundfile")
pytest.importorskip("k2")
pytest.importorskip("lhotse")
pytest.importorskip("kaldifst")
pytest.importorskip("kaldilm")
pytest.importorskip("kaldingram")
pytest.importorskip("kaldialign")

import soundfile
from scipy.signal import resample_poly

from kdasr import io
from kdasr.cli import cli, main
from kdasr.decode import recogniser as module
from kdasr.decode.hypotheses import read_hypotheses
from kdasr.decode.recogniser import Recogniser, cut_at_silences
from kdasr.decode.transcript import FORMATS, Transcript
from kdasr.refusal import Refusal
from tests import tones
from tests.test_readme import python_blocks

SETTINGS = (
    "mono.iterations=8 mono.realign=[1,2,3,4,5,6] mono.gaussians=40 mono.grow_until=4 mono.minimum_occupancy=3 "
    "frames.left=3 frames.right=3 dnn.layers=1 dnn.width=32 train.epochs=12 train.threads=1 train.batch_size=64 "
    "decode.lm_weights=[7,10] decode.penalties=[0] fbank.cmvn=speaker"
)


def run(*arguments: object, settings: str = SETTINGS) -> None:
    words = [*map(str, arguments), *(word for setting in settings.split() for word in ("--set", setting))]
    cli.main(words, standalone_mode=False)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """From tones to a bundle; `decode` holds the hypotheses of the recipe's own verbs."""
    home = tmp_path_factory.mktemp("tones")
    tones.write_cuts(home / "train", 40, 0)
    tones.write_cuts(home / "test", 9, 1)
    tones.write_lexicon(home / "lexicon.txt")
    for name in ("train", "test"):
        for kind in ("mfcc", "fbank"):
            run("features", home / kind / name, "--type", kind, "--cuts", home / name)
    lang = ("--lang", home / "lang")
    run("lang", home / "lang", "--lexicon", home / "lexicon.txt", "--cuts", home / "train")
    run("lm", home / "lm", "--cuts", home / "train")
    spoken = ("--features", home / "mfcc" / "train", "--cuts", home / "train", *lang)
    run("mono", home / "mono", *spoken)
    run("align", home / "ali", "--model", home / "mono", *spoken)
    run("graph", home / "graph", *lang, "--lm", home / "lm", "--model", home / "mono")
    run("train", home / "members", "--features", home / "fbank" / "train", "--ali", home / "ali", "--seeds", "0-1")
    searched = ("--features", home / "fbank" / "test", "--graph", home / "graph", *lang)
    run("decode", home / "decode", "--model", home / "members", *searched)
    scored = [(f"--{name}", home / "decode", f"--{name}-cuts", home / "test") for name in ("dev", "test")]
    run("score", home / "score", *scored[0], *scored[1])
    run("bundle", home / "bundle", *needs(home))
    return home


def needs(home: Path, **changed: object) -> list[object]:
    """What `kdasr bundle` is given."""
    given = {"model": "members", "graph": "graph", "lang": "lang", "gmm": "mono", "score": "score", **changed}
    return [word for name, value in given.items() for word in (f"--{name}", home / str(value))]


@pytest.fixture(scope="module")
def recogniser(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Recogniser:
    """Of a copy: nothing outside of the folder is asked for."""
    copy = tmp_path_factory.mktemp("elsewhere") / "model"
    shutil.copytree(home / "bundle", copy)
    return Recogniser(copy)


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    with pytest.raises(SystemExit) as end:
        main([*map(str, arguments)])
    assert end.value.code == 1
    return capsys.readouterr().err


def files(home: Path) -> list[Path]:
    return sorted((home / "test" / "audio").glob("*.wav"))


def test_words_are_the_recipe_s(home, recogniser):
    wer = io.read_json(home / "score" / "wer.json")["dev"]
    recipe = read_hypotheses(home / "decode")[wer["lm_weight"], wer["penalty"]]
    found = {each.file.stem: each.text for each in recogniser.transcribe_all(files(home))}
    assert wer["wer"] < 5 and found.keys() == recipe.keys()
    assert [id for id in found if found[id] != recipe[id]] == []


def test_one_file_is_what_several_are(home, recogniser):
    together = list(recogniser.transcribe_all(files(home), times=True))
    assert together == [recogniser.transcribe(file, times=True) for file in files(home)]


def test_times_are_when_words_are_spoken(recogniser, tmp_path):
    words = ["ONE", "TWO", "THREE", "FOUR", "TWO"]
    samples, times = tones.spoken(words, np.random.default_rng(5))
    soundfile.write(tmp_path / "x.wav", samples, tones.RATE)
    found = recogniser.transcribe(tmp_path / "x.wav", times=True)
    assert [word.symbol for word in found.words] == words and found.seconds == round(len(samples) / tones.RATE, 4)
    assert np.abs(np.array([word[1:] for word in found.words]) - np.array(times)).max() < 0.06
    assert recogniser.transcribe(tmp_path / "x.wav").words == []


@pytest.mark.parametrize(("suffix", "rate", "channels"), [("flac", 44100, 2), ("ogg", 8000, 1), ("mp3", 48000, 2)])
def test_any_rate_and_number_of_channels(home, recogniser, tmp_path, suffix, rate, channels):
    file = files(home)[0]
    samples = resample_poly(soundfile.read(file)[0], rate, tones.RATE)
    path = tmp_path / f"x.{suffix}"
    soundfile.write(path, np.stack([samples] * channels, 1), rate)
    assert recogniser.transcribe(path).text == recogniser.transcribe(file).text


def test_the_code_of_the_readme_runs(home, recogniser, tmp_path, monkeypatch, capsys):
    (block,) = (block for block in python_blocks() if "Recogniser" in block)
    (tmp_path / "exp").mkdir()
    (tmp_path / "exp" / "bundle").symlink_to(home / "bundle")
    shutil.copy(files(home)[0], tmp_path / "speech.wav")
    monkeypatch.chdir(tmp_path)
    exec(block, {})
    assert capsys.readouterr().out == f"{recogniser.transcribe(files(home)[0]).text}\n"


def test_a_long_recording_is_cut_at_silences(recogniser, tmp_path, monkeypatch):
    words = np.random.default_rng(3).choice(list(tones.WORDS), 60).tolist()
    samples, times = tones.spoken(words, np.random.default_rng(4))
    soundfile.write(tmp_path / "long.wav", samples, tones.RATE)
    whole = recogniser.transcribe(tmp_path / "long.wav", times=True)
    monkeypatch.setattr(module, "BLOCK", 170)
    monkeypatch.setattr(module, "LONGEST", 400)
    monkeypatch.setattr(module, "TOGETHER", 900)
    cut = recogniser.transcribe(tmp_path / "long.wav", times=True)
    assert len(whole.passages) == 1 and len(cut.passages) > len(samples) / 160 / 400
    assert whole.text.split() == cut.text.split() == words
    assert np.abs(np.array([word[1:] for word in cut.words]) - np.array(times)).max() < 0.06
    edges = [passage.end for passage in cut.passages[:-1]]
    assert edges == [passage.begin for passage in cut.passages[1:]]
    assert not [edge for edge in edges for begin, end in times if begin + 0.03 < edge < end - 0.03]


def test_pieces_are_no_longer_than_allowed_and_cover_all():
    silence = np.zeros(1000)
    silence[[170, 171, 172, 340, 341, 520, 521]] = 1
    pieces = cut_at_silences(silence, 200)
    assert pieces[0][0] == 0 and pieces[-1][1] == 1000
    assert all(end == begin for (_, end), (begin, _) in pairwise(pieces))
    assert max(end - begin for begin, end in pieces) <= 200
    assert abs(pieces[0][1] - 171) <= 15
    assert cut_at_silences(silence, 1000) == [(0, 1000)]


def test_formats(home, recogniser):
    found = recogniser.transcribe(files(home)[0], times=True)
    assert FORMATS["txt"](found) == f"{found.text}\n"
    record = json.loads(FORMATS["json"](found))
    assert record["text"] == found.text == " ".join(word["word"] for word in record["words"])
    lines = FORMATS["ctm"](found).splitlines()
    assert [line.split()[4] for line in lines] == found.text.split() and lines[0].startswith(f"{found.file.stem} 1 ")
    number, clock, caption = FORMATS["srt"](found).splitlines()[:3]
    assert number == "1" and clock.startswith("00:00:00,") and found.text.startswith(caption)


def test_silence_is_no_words(recogniser, tmp_path):
    noise = np.random.default_rng(0).normal(scale=0.005, size=tones.RATE)
    soundfile.write(tmp_path / "quiet.wav", noise, tones.RATE)
    found = recogniser.transcribe(tmp_path / "quiet.wav", times=True)
    assert len(found.text.split()) <= 1  # its n-gram has no sentence without a word
    assert FORMATS["srt"](Transcript(found.file, 1.0, ())) == FORMATS["ctm"](Transcript(found.file, 1.0, ())) == ""


def test_a_file_that_is_none_is_named_and_the_others_are_done(home, tmp_path, capsys):
    good, text = files(home)[0], tmp_path / "text.wav"
    text.write_text("no audio")
    soundfile.write(tmp_path / "short.wav", np.zeros(3), tones.RATE)
    (tmp_path / "cut.wav").write_bytes(good.read_bytes()[:3000])
    soundfile.write(tmp_path / "nan.wav", np.full(16000, np.nan), tones.RATE, subtype="FLOAT")
    bad = [text, tmp_path / "short.wav", tmp_path / "absent.wav", tmp_path / "cut.wav", tmp_path / "nan.wav", tmp_path]
    with pytest.raises(SystemExit) as end:
        main(["transcribe", str(home / "bundle"), *map(str, bad), str(good)])
    told = capsys.readouterr()
    assert end.value.code == 1 and told.out.startswith(f"{good}\t") and told.out.count("\n") == 1
    lines = [line for line in told.err.splitlines() if line.startswith("kdasr: ")]
    assert [line.split(":")[1].strip() for line in lines] == [str(path) for path in bad]
    faults = ("cannot be read", "shorter than a frame", "no such", "truncated", "no numbers", "cannot be read")
    assert all(fault in line for fault, line in zip(faults, lines, strict=True))


@pytest.mark.parametrize("samples", [np.full(16000, 3e38), np.full(16000, np.inf)])
def test_a_recording_beyond_measure_is_refused_alone(home, recogniser, tmp_path, samples):
    soundfile.write(tmp_path / "huge.wav", samples, tones.RATE, subtype="FLOAT")
    found = list(recogniser.transcribe_all([tmp_path / "huge.wav", files(home)[0]], times=True))
    assert isinstance(found[0], Refusal) and "far beyond full scale" in str(found[0])
    assert isinstance(found[1], Transcript) and found[1].words


def test_a_rate_too_low_for_speech_is_refused(recogniser, tmp_path):
    soundfile.write(tmp_path / "low.wav", np.zeros(100), 1)
    with pytest.raises(Refusal, match="the rate is too low for speech"):
        recogniser.transcribe(tmp_path / "low.wav")


def test_a_recording_without_a_word_has_no_times(recogniser, tmp_path):
    soundfile.write(tmp_path / "short.wav", np.zeros(200), tones.RATE)  # one frame, shorter than any word
    found = recogniser.transcribe(tmp_path / "short.wav", times=True)
    assert found.words == [] and found.text == ""


def test_times_lie_within_the_recording(recogniser, tmp_path):
    samples, times = tones.spoken(["TWO"], np.random.default_rng(1))
    end = int(times[0][1] * tones.RATE) + 37
    soundfile.write(tmp_path / "cut.wav", samples[:end], tones.RATE)
    found = recogniser.transcribe(tmp_path / "cut.wav", times=True)
    assert found.words[-1].end <= found.seconds == round(end / tones.RATE, 4) >= found.passages[-1].end


def test_places_that_cannot_be_written_and_files_that_are_there_are_refused_first(home, tmp_path, capsys):
    file, place = files(home)[0], tmp_path / "place"
    place.write_text("")
    assert "no folder can be made" in refused(capsys, "transcribe", home / "bundle", file, "--out", place)
    (tmp_path / f"{file.stem}.txt").write_text("mine")
    told = refused(capsys, "transcribe", home / "bundle", file, "--out", tmp_path)
    assert "a file is there already" in told and (tmp_path / f"{file.stem}.txt").read_text() == "mine"


def test_names_in_ctm_have_no_blanks_and_differ(home, tmp_path, capsys):
    for name in ("a b", "a_b"):
        shutil.copy(files(home)[0], tmp_path / f"{name}.wav")
    both = [tmp_path / "a b.wav", tmp_path / "a_b.wav"]
    assert "recordings of one name (found a_b)" in refused(
        capsys, "transcribe", home / "bundle", *both, "--format", "ctm"
    )
    main(["transcribe", str(home / "bundle"), str(both[0]), "--format", "ctm"])
    assert capsys.readouterr().out.startswith("a_b 1 0.")


def test_files_are_written_where_they_are_wanted(home, tmp_path, capsys):
    some = files(home)[:2]
    main(["transcribe", str(home / "bundle"), *map(str, some), "--format", "srt", "--out", str(tmp_path / "captions")])
    assert capsys.readouterr().out == ""
    assert sorted(path.name for path in (tmp_path / "captions").iterdir()) == [f"{file.stem}.srt" for file in some]


def test_outputs_in_one_place_are_refused(home, capsys):
    some = files(home)[:2]
    assert "captions of several recordings" in refused(capsys, "transcribe", home / "bundle", *some, "--format", "srt")
    twice = ("transcribe", home / "bundle", some[0], some[0])
    assert "recordings of one name" in refused(capsys, *twice, "--format", "ctm")
    assert "did you mean 'srt'" in refused(capsys, *twice, "--format", "str")


def test_a_damaged_or_foreign_folder_is_refused(home, tmp_path, capsys):
    file = files(home)[0]
    assert "no such folder" in refused(capsys, "transcribe", tmp_path / "none", file)
    assert "a folder of another kind" in refused(capsys, "transcribe", home / "members" / "member-0", file)
    assert "the folder is not made by kdasr" in refused(capsys, "transcribe", tmp_path, file)
    copy = tmp_path / "copy"
    shutil.copytree(home / "bundle", copy)
    graph = copy / "graph" / "graph.safetensors"
    graph.write_bytes(graph.read_bytes()[:-4])
    assert "content of the model folder does not match" in refused(capsys, "transcribe", copy, file)
    (copy / "tree.json").unlink()
    assert "content of the model folder does not match" in refused(capsys, "transcribe", copy, file)


def test_options_of_another_version_are_refused(home, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(home / "bundle", copy)
    info = io.read_json(copy / "info.json")
    info["decode"]["newer"] = 1
    io.write_json(copy / "info.json", info)
    with pytest.raises(Refusal, match="options of another version"):
        Recogniser(copy)


def test_a_record_without_its_options_is_refused(home, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(home / "bundle", copy)
    info = io.read_json(copy / "info.json")
    del info["decode"]
    io.write_json(copy / "info.json", info)
    with pytest.raises(Refusal, match="options of another version .found KeyError"):
        Recogniser(copy)


def test_scores_without_weights_are_refused(home, tmp_path, capsys):
    copy = tmp_path / "score"
    shutil.copytree(home / "score", copy)
    io.write_json(copy / "wer.json", {})
    given = needs(home)
    given[given.index("--score") + 1] = copy
    assert "no weights" in refused(capsys, "bundle", tmp_path / "b", *given)


def test_nets_that_do_not_go_together_are_refused_at_once(home, tmp_path, capsys):
    pytest.importorskip("onnxruntime")
    run("export", tmp_path / "onnx", "--model", home / "members" / "member-0")
    capsys.readouterr()
    both = ["bundle", tmp_path / "b", "--model", tmp_path / "onnx", *needs(home)]
    assert "an exported model in an ensemble" in refused(capsys, *both) and not (tmp_path / "b").exists()


def test_parts_that_do_not_belong_together_are_refused(home, tmp_path, capsys):
    other = tmp_path / "mono"
    few = "mono.iterations=2 mono.realign=[1] mono.gaussians=20 mono.grow_until=1"
    spoken = ("--features", home / "mfcc" / "train", "--cuts", home / "train", "--lang", home / "lang")
    run("mono", other, *spoken, settings=few)
    capsys.readouterr()
    assert "the graph's GMM does not match" in refused(capsys, "bundle", tmp_path / "b", *needs(home, gmm=other))
    assert "a folder of another kind" in refused(capsys, "bundle", tmp_path / "b", *needs(home, score="decode"))
    assert not (tmp_path / "b").exists()


def test_without_scores_the_search_s_own_weights_are_taken(home, tmp_path):
    given = needs(home)
    run("bundle", tmp_path / "own", *given[: given.index("--score")])
    found = io.read_info(tmp_path / "own")["decode"]
    assert (found["lm_weights"], found["penalties"]) == ([10.0], [0.0])


@pytest.mark.parametrize("int8", [False, True])
def test_an_exported_model_decodes_and_transcribes_as_its_nets_do(home, tmp_path, int8):
    pytest.importorskip("onnxruntime")
    net, folder = home / "members" / "member-0", tmp_path / "onnx"
    run("export", folder, "--model", net, *["--int8"] * int8)
    searched = ("--features", home / "fbank" / "test", "--graph", home / "graph", "--lang", home / "lang")
    for name, model in (("net", net), ("exported", folder)):
        run("decode", tmp_path / name, "--model", model, *searched)
    assert read_hypotheses(tmp_path / "exported") == read_hypotheses(tmp_path / "net")
    run("bundle", tmp_path / "bundle", *needs(home, model=folder))
    wer = io.read_json(home / "score" / "wer.json")["dev"]
    recipe = read_hypotheses(tmp_path / "net")[wer["lm_weight"], wer["penalty"]]
    recogniser = Recogniser(tmp_path / "bundle")
    assert {file.stem: recogniser.transcribe(file).text for file in files(home)} == recipe
