"""`kdasr tri` from the command line: three passes, each aligned and decoded; each refusal one line."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

pytest.importorskip("lhotse")
pytest.importorskip("k2")
pytest.importorskip("kaldifst")
pytest.importorskip("kaldilm")
pytest.importorskip("kaldingram")

import lhotse

from kdasr import io
from kdasr.align.model import read_model
from kdasr.cli import cli, main
from tests import toy
from tests.align.here import Here

TEXTS = toy.sentences(40)
ROUNDS = "iterations=4 realign=[2] gaussians=50 grow_until=3 minimum_occupancy=3"
MONO = "mono.iterations=3 mono.realign=[1,2] mono.gaussians=30 mono.grow_until=2 mono.minimum_occupancy=3"
TRI = " ".join(["tree.leaves=26", "tree.minimum_occupancy=20", *(f"tri.{setting}" for setting in ROUNDS.split())])
LDA = f"{TRI} tri.frontend=lda_mllt tri.context=1 tri.dim=6"
SAT = f"{TRI} tri.frontend=previous tri.speaker_adaptive=true"
DECODE = "decode.lm_weights=[8,10] decode.penalties=[0] decode.search_beam=30"


def words(*arguments: object, settings: str = "") -> list[str]:
    return [*map(str, arguments), *(word for setting in settings.split() for word in ("--set", setting))]


def run(*arguments: object, settings: str = "") -> None:
    cli.main(words(*arguments, settings=settings), standalone_mode=False)


def write_cuts(folder: Path, texts: dict[str, str]) -> None:
    """Cuts of recordings that no test listens to."""
    io.begin(folder, io.Made("corpus", {}))
    cuts = []
    for id, text in texts.items():
        recording = lhotse.Recording(id, [lhotse.AudioSource("file", [0], f"{id}.wav")], 16000, 16000, 1.0)
        supervision = lhotse.SupervisionSegment(id, id, 0.0, 1.0, text=text, speaker=id[0])
        cuts.append(lhotse.MonoCut(id, 0.0, 1.0, 0, recording=recording, supervisions=[supervision]))
    lhotse.CutSet.from_cuts(cuts).to_file(folder / "cuts.jsonl.gz")
    io.finish(folder)


def inputs(folder: Path, **changed: Path) -> list[object]:
    """Features, cuts and language, and what is named further."""
    named = {"features": folder / "mfcc", "cuts": folder / "cuts", "lang": folder / "lang"} | changed
    return [word for name, value in named.items() for word in (f"--{name}", value)]


@pytest.fixture(scope="module", autouse=True)
def parts_here():
    """Parts of training sets live in this process: tests of the passes themselves have others."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("kdasr.jobs.Workers", Here)
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Monophones, and after them three passes, each from the alignment of the one before."""
    folder = tmp_path_factory.mktemp("tri")
    toy.write_speech(folder / "mfcc", TEXTS)
    write_cuts(folder / "cuts", TEXTS)
    (folder / "lexicon.txt").write_text(toy.LEXICON)
    run("lang", folder / "lang", "--lexicon", folder / "lexicon.txt")
    run("lm", folder / "lm", "--cuts", folder / "cuts")
    run("mono", folder / "mono", *inputs(folder), settings=MONO)
    for before, name, settings in (("mono", "tri", TRI), ("tri", "lda", LDA), ("lda", "sat", SAT)):
        run("align", folder / f"ali_{before}", *inputs(folder, model=folder / before))
        run(*pass_of(folder, name, before), settings=settings)
    return folder


def pass_of(folder: Path, name: str, before: str, out: Path | None = None, **changed: Path) -> list[object]:
    named = {"model": folder / before, "ali": folder / f"ali_{before}"} | changed
    return ["tri", out or folder / name, *inputs(folder, **named)]


def info(folder: Path) -> dict:
    content: dict = json.loads((folder / "info.json").read_text())
    return content


def refused(capsys: pytest.CaptureFixture, *arguments: object, settings: str = "") -> str:
    """The one line that a refused command leaves, at exit status 1."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as caught:
        main(words(*arguments, settings=settings))
    error = capsys.readouterr().err
    assert caught.value.code == 1 and error.startswith("kdasr: ") and error.count("\n") == 1
    return error


@pytest.mark.parametrize("name", ["tri", "lda", "sat"])
def test_every_pass_aligns_and_decodes(folder, tmp_path, name, capsys):
    model = folder / name
    run("align", tmp_path / "ali", *inputs(folder, model=model))
    run("graph", tmp_path / "graph", "--lang", folder / "lang", "--lm", folder / "lm", "--model", model)
    searched = ["--features", folder / "mfcc", "--graph", tmp_path / "graph", "--lang", folder / "lang"]
    run("decode", tmp_path / "decode", *searched, "--gmm", model, settings=DECODE)
    sets = ["--dev", tmp_path / "decode", "--test", tmp_path / "decode"]
    run("score", tmp_path / "score", *sets, "--dev-cuts", folder / "cuts", "--test-cuts", folder / "cuts")
    assert json.loads((tmp_path / "score" / "wer.json").read_text())["dev"]["wer"] < 25
    labellings = {info(model)["labelling"], info(tmp_path / "graph")["labelling"], info(tmp_path / "ali")["topology"]}
    assert len(labellings) == 1 and info(model)["not_aligned"] == [] and info(tmp_path / "ali")["num_utterances"] == 40
    assert ("first_pass_seconds" in info(tmp_path / "decode")) == (name == "sat")
    assert (read_model(model).first_pass is not None) == (name == "sat")


def test_the_same_pass_again_is_up_to_date(folder, capsys):
    run(*pass_of(folder, "tri", "mono"), settings=TRI)
    assert capsys.readouterr().err.endswith("/tri: up to date\n")
    error = refused(capsys, *pass_of(folder, "tri", "mono"), settings=f"{TRI} tri.seed=1")
    assert "tri: made with another options.tri.seed (expected 1, found 0); add --overwrite" in error


@pytest.mark.parametrize("option", ["model", "ali", "features", "cuts", "lang"])
def test_a_wrong_path_is_told_and_nothing_is_begun(folder, tmp_path, capsys, option):
    error = refused(capsys, *pass_of(folder, "tri", "mono", tmp_path / "out", **{option: tmp_path / "nowhere"}))
    assert f"{tmp_path / 'nowhere'}: no such folder; run the stage that makes it" in error
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "option, name, wanted",
    [("model", "lang", "mono` or `kdasr tri"), ("ali", "mono", "align"), ("features", "cuts", "features")],
)
def test_a_folder_of_another_kind_is_told(folder, tmp_path, capsys, option, name, wanted):
    error = refused(capsys, *pass_of(folder, "tri", "mono", tmp_path / "out", **{option: folder / name}))
    assert f"{folder / name}: a folder of another kind (expected one made by `kdasr {wanted}`, found" in error


def test_an_alignment_of_another_model_is_refused(folder, tmp_path, capsys):
    error = refused(capsys, *pass_of(folder, "tri", "mono", tmp_path / "out", ali=folder / "ali_tri"))
    expected, found = info(folder / "mono")["labelling"], info(folder / "tri")["labelling"]
    told = f"ali_tri: states of model and alignment does not match (expected {expected}, found {found}); name the"
    assert told in error and not (tmp_path / "out").exists()


def test_a_language_of_another_topology_is_refused(folder, tmp_path, capsys):
    (tmp_path / "lexicon.txt").write_text(toy.LEXICON + "NEW n\n")
    run("lang", tmp_path / "lang", "--lexicon", tmp_path / "lexicon.txt")
    error = refused(capsys, *pass_of(folder, "tri", "mono", tmp_path / "out", lang=tmp_path / "lang"))
    assert "mono: topology of language and model does not match" in error and not (tmp_path / "out").exists()


def test_features_of_another_dimension_are_refused(folder, tmp_path, capsys):
    toy.write_speech(tmp_path / "fbank", TEXTS, dim=7)
    error = refused(capsys, *pass_of(folder, "tri", "mono", tmp_path / "out", features=tmp_path / "fbank"))
    assert "fbank: dimension of features and GMM does not match (expected 4, found 7); name the cepstra" in error


@pytest.mark.parametrize(
    "settings, told",
    [
        ("tri.frontend=mel", "tri: frontend must be one of deltas, lda_mllt, previous, found 'mel'"),
        ("tri.frontend=lda_mllt tri.speaker_adaptive=true", "tri: speaker_adaptive wants a front-end that is there"),
        ("tree.leaves=3", "tree.leaves: too few leaves (expected at least 15"),
        (LDA.replace("dim=6", "dim=13"), "LDA: more directions than the frames have (expected at most 12, found 13)"),
    ],
)
def test_settings_that_cannot_be_are_refused(folder, tmp_path, capsys, settings, told):
    capsys.readouterr()
    with pytest.raises(SystemExit):
        main(words(*pass_of(folder, "tri", "mono", tmp_path / "out"), settings=settings))
    assert told in capsys.readouterr().err


def test_a_truncated_first_pass_is_refused(folder, tmp_path, capsys):
    shutil.copytree(folder / "sat", tmp_path / "sat")
    path = tmp_path / "sat" / "first_pass.safetensors"
    path.write_bytes(path.read_bytes()[:-20])
    error = refused(capsys, "align", tmp_path / "ali", *inputs(folder, model=tmp_path / "sat"))
    assert f"{path}: damaged or foreign tensor file" in error
