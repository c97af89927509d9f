"""A Kaldi user's road by the command line: archives in, an ensemble and a student, archives out."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import click
import numpy as np
import pytest

kaldiio = pytest.importorskip("kaldiio")
pytest.importorskip("lhotse")
pytest.importorskip("k2")

from kdasr.cli import cli, main  # noqa: E402
from kdasr.data.table import FrameTable  # noqa: E402
from kdasr.distill.ensemble import Ensemble  # noqa: E402
from kdasr.distill.soft_targets import SoftTargets  # noqa: E402
from tests.tables import speech  # noqa: E402

SETTINGS = "dnn.layers=1 dnn.width=32 frames.left=2 frames.right=1 train.batch_size=32 student.batch_size=32"
SETTINGS += "".join(f" {who}.epochs=1 {who}.threads=1" for who in ("train", "student"))
NUM_PDFS = 8


def run(*arguments: object, settings: str = SETTINGS) -> None:
    sets = [word for setting in settings.split() for word in ("--set", setting)]
    cli.main([*map(str, arguments), *sets], standalone_mode=False)


def refused(capsys: pytest.CaptureFixture, *arguments: object) -> str:
    capsys.readouterr()
    with pytest.raises(SystemExit) as caught:
        main([*map(str, arguments)])
    error = capsys.readouterr().err
    assert caught.value.code == 1 and error.startswith("kdasr: ") and error.count("\n") == 1
    return error


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """What Kaldi would have left of two sets, taken, and all that follows from it."""
    folder = tmp_path_factory.mktemp("kaldi")
    for number, (name, count) in enumerate((("train", 60), ("dev", 4))):
        features, pdfs = speech(count, seed=number, num_pdfs=NUM_PDFS)
        (folder / name).mkdir()
        kaldiio.save_ark(f"{folder}/{name}/feats.ark", features, scp=f"{folder}/{name}/feats.scp")
        for piece in (0, 1):  # as ali-to-pdf leaves them, a piece a job
            part = {id: pdfs[id].astype(np.int32) for id in list(pdfs)[piece::2]}
            kaldiio.save_ark(f"{folder}/{name}/pdf.{piece}.ark", part)
        (folder / name / "utt2spk").write_text("".join(f"{id} s\n" for id in features))
        run(
            "kaldi-features",
            folder / "fbank" / name,
            folder / name / "feats.scp",
            "--utt2spk",
            folder / name / "utt2spk",
        )
        pieces = [folder / name / f"pdf.{piece}.ark" for piece in (0, 1)]
        run("kaldi-ali", folder / "ali" / name, *pieces, "--num-pdfs", NUM_PDFS, "--silence-pdfs", "0-1")
    train, dev = (("features", folder / "fbank" / name, "ali", folder / "ali" / name) for name in ("train", "dev"))
    train_set, dev_set = ([f"--{p}{s[0]}", s[1], f"--{p}{s[2]}", s[3]] for p, s in (("", train), ("dev-", dev)))
    run("train", folder / "members", *train_set, *dev_set, "--seeds", "0-1")
    run("soft-targets", folder / "soft", *train_set, "--teacher", folder / "members")
    run("distill", folder / "student", *train_set, *dev_set, "--soft-targets", folder / "soft")
    dev_again = ["--features", folder / "fbank" / "dev", "--ali", folder / "ali" / "dev"]
    run("accuracy", folder / "accuracy", *dev_again, "--model", folder / "members")
    models = ["--model", folder / "members", "--features", folder / "fbank" / "dev"]
    run("posteriors", folder / "posteriors", *models)
    run("posteriors", folder / "likelihoods", *models, "--likelihoods")
    run("posteriors", folder / "post", "--soft-targets", folder / "soft")
    return folder


def test_archives_train_an_ensemble_and_a_student(folder):
    scored = json.loads((folder / "accuracy" / "info.json").read_text())
    assert len(scored["members"]) == 2 and scored["accuracy"] > 0.5  # of 8 pdfs
    assert scored["accuracy_without_silence"] != scored["accuracy"]
    assert json.loads((folder / "student" / "student-0" / "info.json").read_text())["num_pdfs"] == NUM_PDFS


def test_posteriors_are_the_ensemble_s_and_sum_to_1(folder):
    found = kaldiio.load_scp(f"{folder}/posteriors/log_posteriors.scp")
    ensemble, table = Ensemble.load(folder / "members"), FrameTable(folder / "fbank" / "dev")
    assert list(found) == sorted(table.by_id) and len(found) == 4
    for id, rows in found.items():
        np.testing.assert_array_equal(rows, ensemble.log_posteriors(table.frames(id)).numpy())
        np.testing.assert_allclose(np.logaddexp.reduce(rows, axis=1), 0, atol=1e-5)


def test_likelihoods_are_posteriors_less_one_prior(folder):
    pairs = [dict(kaldiio.load_ark(f"{folder}/{name}/log_{name}.ark")) for name in ("posteriors", "likelihoods")]
    priors = np.concatenate([pairs[0][id] - pairs[1][id] for id in pairs[0]])
    np.testing.assert_allclose(priors, priors[:1].repeat(len(priors), 0), atol=1e-4)
    assert np.exp(priors[0]).sum() == pytest.approx(1, abs=1e-4)


def test_kaldi_reads_the_soft_targets_as_posteriors(folder):
    kaldi = pytest.importorskip("kaldi_native_io")
    targets, total, frames = SoftTargets(folder / "soft"), 0.0, 0
    with kaldi.SequentialPosteriorReader(f"ark:{folder}/post/post.ark") as reader:
        found = dict(reader)
    assert list(found) == sorted(targets.by_id)
    for id, posterior in found.items():
        dense = targets.utterance(id).dense()
        assert len(posterior) == len(dense)
        for frame, pairs in enumerate(posterior):
            weights = [weight for _, weight in pairs]
            np.testing.assert_allclose(weights, [float(dense[frame, pdf]) for pdf, _ in pairs], atol=1e-6)
            assert weights == sorted(weights, reverse=True) and 0.999 < sum(weights) < 1.0001
            total, frames = total + sum(weights), frames + 1
    assert json.loads((folder / "post" / "info.json").read_text())["mass"] == pytest.approx(total / frames)


def test_much_mass_off_the_kept_pdfs_is_told(folder, tmp_path, capsys):
    train = [
        "--features",
        folder / "fbank" / "train",
        "--ali",
        folder / "ali" / "train",
        "--teacher",
        folder / "members",
    ]
    settings = f"{SETTINGS} store.keep=1 store.tail=uniform distill.temperature=3"
    run("soft-targets", tmp_path / "soft", *train, settings=settings)
    run("posteriors", tmp_path / "post", "--soft-targets", tmp_path / "soft")
    mass = json.loads((tmp_path / "post" / "info.json").read_text())["mass"]
    assert mass < 0.99
    told = f"{1 - mass:.1%} of the mass lies on pdfs that the store did not keep; make soft targets with a larger store"
    assert told in capsys.readouterr().err


def test_the_same_commands_again_are_up_to_date(folder, capsys):
    run("kaldi-features", folder / "fbank/dev", folder / "dev/feats.scp", "--utt2spk", folder / "dev/utt2spk")
    run("posteriors", folder / "post", "--soft-targets", folder / "soft")
    run("posteriors", folder / "posteriors", "--model", folder / "members", "--features", folder / "fbank" / "dev")
    assert capsys.readouterr().err.count("up to date") == 3


def test_a_model_of_another_tree_is_told(folder, tmp_path, capsys):
    (tmp_path / "tree").write_text("another")
    pieces = [folder / "dev" / f"pdf.{piece}.ark" for piece in (0, 1)]
    run("kaldi-ali", tmp_path / "ali", *pieces, "--num-pdfs", NUM_PDFS, "--tree", tmp_path / "tree")
    model = ["--features", folder / "fbank" / "dev", "--ali", tmp_path / "ali", "--model", folder / "members"]
    sets = ["--set", "frames.left=2", "--set", "frames.right=1"]
    assert "does not match" in refused(capsys, "accuracy", tmp_path / "out", *model, *sets)


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("--model", "members"),
        ("--features", "fbank/dev"),
        ("--model", "members", "--features", "fbank/dev", "--soft-targets", "soft"),
        ("--soft-targets", "soft", "--likelihoods"),
    ],
)
def test_posteriors_have_one_source(folder, tmp_path, capsys, monkeypatch, arguments):
    monkeypatch.chdir(folder)
    told = "kdasr posteriors: one source is wanted (expected --model DIR and --features DIR, or --soft-targets DIR)"
    assert told in refused(capsys, "posteriors", tmp_path / "out", *arguments)


@pytest.mark.parametrize("verb", [("kaldi-features",), ("kaldi-ali", "--num-pdfs", "8")])
def test_commands_damage_and_absence_are_one_line(folder, tmp_path, capsys, verb):
    (tmp_path / "cut.ark").write_bytes((folder / "dev" / "feats.ark").read_bytes()[:100])
    for place, told in (
        ("touch pwned |", "touch pwned |: a command, which kdasr never runs (expected an archive or an scp file)"),
        (tmp_path / "none.ark", "none.ark: no such archive"),
        (tmp_path / "cut.ark", "cut.ark, u0: damaged, cut off or of another kind"),
    ):
        assert told in refused(capsys, verb[0], tmp_path / "out", place, *verb[1:])


def test_what_are_no_silence_pdfs_is_told(folder, tmp_path, capsys):
    wrong = ["--num-pdfs", NUM_PDFS, "--silence-pdfs", "SIL"]
    error = refused(capsys, "kaldi-ali", tmp_path / "out", folder / "dev" / "pdf.0.ark", *wrong)
    assert "--silence-pdfs SIL: not a list of pdfs (expected 0-4 or 0,1,2)" in error


def commands_of_the_guide() -> list[list[str]]:
    text = (Path(__file__).parents[2] / "docs" / "kaldi.md").read_text().replace("\\\n", " ")
    return [shlex.split(line, comments=True)[1:] for line in text.splitlines() if line.startswith("kdasr ")]


@pytest.mark.parametrize("arguments", commands_of_the_guide(), ids=" ".join)
def test_the_guide_s_commands_are_understood(arguments):
    command = cli.get_command(click.Context(cli), arguments[0])
    assert command is not None
    command.make_context(arguments[0], arguments[1:])  # parses, and runs nothing
