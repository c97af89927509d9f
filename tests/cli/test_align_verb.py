"""`kdasr align` as a tool: from any lhotse cuts and a trained model to times, features computed on the way."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

pytest.importorskip("lhotse")
pytest.importorskip("k2")
pytest.importorskip("soundfile")
pytest.importorskip("kaldi_native_fbank")

import lhotse
import numpy as np
import soundfile

from kdasr.cli import cli, main
from tests import toy

RATE, PHONE_SECONDS = 16000, 0.12
TEXTS = {f"{'ab'[number % 2]}{number:02d}": text for number, text in enumerate(toy.sentences(20, seed=5).values())}
MONO = "mono.iterations=6 mono.realign=[1,2,3,4,5] mono.gaussians=60 mono.grow_until=4 mono.minimum_occupancy=3"


def speak(text: str, seed: int) -> tuple[np.ndarray, list[tuple[str, float]]]:
    """Samples in which every phone sounds two tones of its own between silences, and when each word begins."""
    rng = np.random.default_rng(seed)
    lexicon = toy.lexicon(3, 5)
    time = np.arange(int(PHONE_SECONDS * RATE)) / RATE
    pieces, begins, length = [rng.normal(size=RATE // 5) * 1e-3], [], RATE // 5
    for word in text.split():
        begins.append((word, length / RATE))
        for phone in lexicon.pronunciations[word][0]:
            tone = 300 * (1 + lexicon.phone_ids[phone]) * time
            pieces.append(
                0.2 * np.sin(2 * np.pi * tone) + 0.1 * np.sin(5 * np.pi * tone) + rng.normal(size=len(time)) * 1e-3
            )
            length += len(time)
    pieces.append(rng.normal(size=RATE // 5) * 1e-3)
    return np.concatenate(pieces).astype(np.float32), begins


def write_cuts(folder: Path, texts: dict[str, str], rate: int = RATE, **supervised: object) -> Path:
    """A file of cuts as any user of lhotse may have it: audio beside it, nothing of kdasr."""
    cuts = []
    for number, (id, text) in enumerate(texts.items()):
        samples, _ = speak(text, number)
        soundfile.write(folder / f"{id}.wav", samples, rate)
        recording = lhotse.Recording.from_file(folder / f"{id}.wav", recording_id=f"rec-{id}")
        facts = {"speaker": id[0]} | supervised
        supervision = lhotse.SupervisionSegment(f"sup-{id}", recording.id, 0.0, recording.duration, text=text, **facts)
        cuts.append(lhotse.MonoCut(id, 0.0, recording.duration, 0, [supervision], recording=recording))
    lhotse.CutSet.from_cuts(cuts).to_file(folder / "cuts.jsonl.gz")
    return folder / "cuts.jsonl.gz"


def run(*arguments: object, settings: str = "") -> None:
    sets = [word for setting in settings.split() for word in ("--set", setting)]
    cli.main([*map(str, arguments), *sets], standalone_mode=False)


def refused(capsys: pytest.CaptureFixture, *arguments: object) -> str:
    capsys.readouterr()
    with pytest.raises(SystemExit) as caught:
        main([*map(str, arguments)])
    error = capsys.readouterr().err
    assert caught.value.code == 1 and error.count("\n") == 1
    return error


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A model of the tones, trained on such a file too."""
    folder = tmp_path_factory.mktemp("align")
    cuts = write_cuts(folder, TEXTS)
    (folder / "lexicon.txt").write_text(toy.LEXICON)
    run("lang", folder / "lang", "--lexicon", folder / "lexicon.txt")
    run("features", folder / "mfcc", "--type", "mfcc", "--cuts", cuts)
    run(
        "mono", folder / "mono", "--features", folder / "mfcc", "--cuts", cuts, "--lang", folder / "lang", settings=MONO
    )
    return folder


def command(folder: Path, out: Path, cuts: Path, *formats: str) -> list[object]:
    wanted = [word for name in formats for word in ("--format", name)]
    return ["align", out, "--model", folder / "mono", "--lang", folder / "lang", "--cuts", cuts, *wanted]


def test_one_command_leads_from_cuts_and_a_model_to_times(folder, tmp_path):
    texts = {"new1": "A B TO", "new2": "AB TO B"}
    cuts = write_cuts(tmp_path, texts, speaker=None)
    run(*command(folder, tmp_path / "out", cuts, "ctm", "textgrid", "lhotse"))
    rows = [line.split() for line in (tmp_path / "out" / "ctm" / "words.ctm").read_text().splitlines()]
    for number, (id, text) in enumerate(texts.items()):
        own = [row for row in rows if row[0] == f"rec-{id}"]
        _, begins = speak(text, number)
        assert [row[4] for row in own] == [word for word, _ in begins] == text.split()
        assert [float(row[2]) for row in own] == pytest.approx([begin for _, begin in begins], abs=0.05)
        assert (tmp_path / "out" / "textgrid" / f"{id}.TextGrid").exists()
    read = lhotse.CutSet.from_file(tmp_path / "out" / "lhotse" / "cuts.jsonl.gz")
    for cut in read:
        for items in cut.supervisions[0].alignment.values():
            assert sum(item.duration for item in items) == pytest.approx(cut.duration, abs=1e-6)


def test_a_further_format_does_not_align_again(folder, tmp_path, capsys):
    cuts = write_cuts(tmp_path, {"new1": "A B TO"})
    run(*command(folder, tmp_path / "out", cuts, "ctm"))
    before = (tmp_path / "out" / "info.json").read_bytes()
    capsys.readouterr()
    run(*command(folder, tmp_path / "out", cuts, "ctm", "textgrid"))
    told = capsys.readouterr().err
    assert f"{tmp_path}/out: up to date" in told and f"{tmp_path}/out/ctm: up to date" in told
    assert (tmp_path / "out" / "textgrid" / "new1.TextGrid").exists()
    assert (tmp_path / "out" / "info.json").read_bytes() == before


def test_features_at_hand_give_the_same_alignment(folder, tmp_path):
    cuts = folder / "cuts.jsonl.gz"
    run(*command(folder, tmp_path / "computed", cuts))
    run(*command(folder, tmp_path / "given", cuts), "--features", folder / "mfcc")
    paths = [(tmp_path / name / "frames-000.npy").read_bytes() for name in ("computed", "given")]
    assert paths[0] == paths[1] and not (tmp_path / "given" / "features").exists()


def test_words_beyond_the_lexicon_are_named_and_keep_their_place(folder, tmp_path, capsys):
    cuts = write_cuts(tmp_path, {"new1": "A B TO", "new2": "B A"})
    lines = gzip.decompress(cuts.read_bytes()).decode().replace('"A B TO"', '"A zebra TO"')
    cuts.write_bytes(gzip.compress(lines.encode()))
    run(*command(folder, tmp_path / "out", cuts, "ctm"))
    assert f"{cuts}: 1 running words are not in the lexicon: zebra" in capsys.readouterr().err
    rows = [line.split() for line in (tmp_path / "out" / "ctm" / "words.ctm").read_text().splitlines()]
    assert [row[4] for row in rows if row[0] == "rec-new1"] == ["A", "zebra", "TO"]


def test_cuts_of_another_rate_are_refused(folder, tmp_path, capsys):
    cuts = write_cuts(tmp_path, {"new1": "A"}, rate=8000)
    error = refused(capsys, *command(folder, tmp_path / "out", cuts, "ctm"))
    told = "cuts of another sampling rate than the model's (expected 16000, found 8000 of new1); resample them"
    assert f"{cuts}: {told}" in error and not (tmp_path / "out").exists()


def test_an_unknown_format_is_refused(folder, tmp_path, capsys):
    error = refused(capsys, *command(folder, tmp_path / "out", folder / "cuts.jsonl.gz", "textgird"))
    assert "unknown format 'textgird'; did you mean 'textgrid'?" in error and not (tmp_path / "out").exists()


@pytest.mark.parametrize("count", [0, 2])
def test_times_want_one_supervision_a_cut(folder, tmp_path, capsys, count):
    cuts = lhotse.CutSet.from_file(write_cuts(tmp_path, {"new1": "A"})).to_eager()
    (cut,) = cuts
    cut.supervisions = cut.supervisions * count
    lhotse.CutSet.from_cuts([cut]).to_file(tmp_path / "other.jsonl.gz")
    error = refused(capsys, *command(folder, tmp_path / "out", tmp_path / "other.jsonl.gz", "ctm"))
    assert f"a cut with no or several supervisions (expected 1, found {count} of new1); make a cut of each" in error


def test_a_model_that_does_not_tell_of_its_features_wants_them_named(folder, tmp_path, capsys):
    import shutil

    shutil.copytree(folder / "mono", tmp_path / "mono")
    record = json.loads((tmp_path / "mono" / "info.json").read_text()) | {"extractor": None}
    (tmp_path / "mono" / "info.json").write_text(json.dumps(record))
    arguments = command(folder, tmp_path / "out", folder / "cuts.jsonl.gz")
    arguments[3] = tmp_path / "mono"
    assert "mono: the model does not tell of its features; name them with --features DIR" in refused(capsys, *arguments)


def test_what_is_no_file_of_cuts_is_refused(folder, tmp_path, capsys):
    for content, told in ((b"prose", "damaged cuts (found "), (b'{"id": "x"}\n', "damaged cuts (found ")):
        (tmp_path / "x.jsonl").write_bytes(content)
        assert told in refused(capsys, *command(folder, tmp_path / "out", tmp_path / "x.jsonl", "ctm"))
    cut = next(iter(lhotse.CutSet.from_file(folder / "cuts.jsonl.gz")))
    lhotse.CutSet.from_cuts([cut]).to_file(tmp_path / "twice.jsonl")
    (tmp_path / "twice.jsonl").write_text((tmp_path / "twice.jsonl").read_text() * 2)
    error = refused(capsys, *command(folder, tmp_path / "out", tmp_path / "twice.jsonl", "ctm"))
    assert "twice.jsonl: two cuts of the same id (found " in error
    lhotse.RecordingSet.from_recordings([cut.recording]).to_file(tmp_path / "recordings.jsonl")
    error = refused(capsys, *command(folder, tmp_path / "out", tmp_path / "recordings.jsonl", "ctm"))
    assert "recordings.jsonl: not a cut of one channel (found Recording rec-" in error
