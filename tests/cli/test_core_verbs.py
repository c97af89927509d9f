"""The core's verbs from the command line: train, soft-targets, distill, accuracy."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from kdasr import io
from kdasr.cli import cli, main
from kdasr.cli.sets import seeds
from kdasr.refusal import Refusal
from tests.tables import write_set

SETTINGS = "dnn.layers=1 dnn.width=16 frames.left=2 frames.right=1"
SETTINGS += "".join(f" {who}.epochs=2 {who}.threads=1" for who in ("train", "student"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("verbs")
    write_set(folder / "train", 10, seed=1)
    write_set(folder / "dev", 4, seed=2)
    return folder


def call(folder: Path, verb: str, out: str, *arguments: str, dev: bool = True) -> None:
    sets = ["--features", f"{folder}/train/feats", "--ali", f"{folder}/train/ali"]
    if dev:
        sets += ["--dev-features", f"{folder}/dev/feats", "--dev-ali", f"{folder}/dev/ali"]
    settings = [word for setting in SETTINGS.split() for word in ("--set", setting)]
    cli.main([verb, f"{folder}/{out}", *sets, *settings, *arguments], standalone_mode=False)


def info(folder: Path, name: str) -> dict:
    content: dict = json.loads((folder / name / "info.json").read_text())
    return content


def test_the_road_from_members_to_a_scored_student(folder, capsys):
    call(folder, "train", "ens", "--seeds", "0-1")
    call(folder, "soft-targets", "soft", "--teacher", f"{folder}/ens", dev=False)
    call(folder, "distill", "student", "--soft-targets", f"{folder}/soft", "--seeds", "5")
    call(folder, "distill", "live", "--teacher", f"{folder}/ens/member-0", "--teacher", f"{folder}/ens/member-1")
    call(folder, "distill", "on", "--teacher", f"{folder}/ens", "--start", f"{folder}/ens/member-1")
    call(folder, "accuracy", "acc", "--model", f"{folder}/ens", "--name", "ensemble", dev=False)
    assert info(folder, "student/student-5")["seed"] == 5 and info(folder, "live/student-0")["seed"] == 0
    scored = info(folder, "acc")
    assert scored["name"] == "ensemble" and len(scored["members"]) == 2 and scored["num_frames"] > 0
    assert {"accuracy", "accuracy_without_silence", "cross_entropy"} <= set(scored) & set(scored["members"][0])
    assert f"ensemble: frame accuracy {100 * scored['accuracy']:.2f} %" in capsys.readouterr().out
    call(
        folder, "accuracy", "acc", "--model", f"{folder}/ens", "--name", "ensemble", dev=False
    )  # up to date, says it again
    assert f"ensemble: frame accuracy {100 * scored['accuracy']:.2f} %" in capsys.readouterr().out


def test_a_student_learns_from_frames_without_labels_too(folder, capsys):
    """Section 2: the transfer set may be other data. Stored and live targets of it are the same."""
    call(folder, "train", "taught-more", "--seeds", "0-1")
    write_set(folder / "more", 6, seed=3)
    features = folder / "more" / "feats" / "utterances.jsonl"
    features.write_text(features.read_text().replace('"u', '"more-u'))
    teacher, transfer = ("--teacher", f"{folder}/taught-more"), ("--transfer", f"{folder}/more/feats")
    keep = ("--set", "store.keep=8", "--set", "store.mass=1", "--set", "store.bits=16")
    call(folder, "soft-targets", "more-soft", *teacher, *transfer, *keep, dev=False)
    call(folder, "distill", "by-stored", "--soft-targets", f"{folder}/more-soft", *transfer)
    call(folder, "distill", "by-live", *teacher, *transfer)
    call(folder, "distill", "without", *teacher)
    stored, live, without = (info(folder, f"{name}/student-0") for name in ("by-stored", "by-live", "without"))
    assert "transfer_0" in live["inputs"] and "transfer_0" not in without["inputs"]
    assert info(folder, "more-soft")["num_frames"] == live["num_examples"] > without["num_examples"]
    assert live["steps"] > without["steps"]
    assert stored["dev"]["cross_entropy"] == pytest.approx(live["dev"]["cross_entropy"], rel=0.02)
    with pytest.raises(Refusal, match=r"features of soft targets and examples does not match"):
        call(folder, "distill", "mixed", "--soft-targets", f"{folder}/more-soft")
    with pytest.raises(Refusal, match=r"transfer sets are of features .expected --features and --ali beside"):
        cli.main(["distill", f"{folder}/x", "--images", f"{folder}", *teacher, *transfer], standalone_mode=False)


def test_seeds():
    assert seeds("0-4") == [0, 1, 2, 3, 4] and seeds("7") == [7] and seeds("0,2-3,9") == [0, 2, 3, 9]


@pytest.mark.parametrize("text", ["", "a", "3-1", "1,1", "-2", "0-1-5"])
def test_what_are_no_seeds_is_refused(text):
    with pytest.raises(Refusal, match=f"--seeds {text}: not a list of seeds"):
        seeds(text)


def test_refusals_are_one_line_and_exit_status_1(folder, capsys):
    with pytest.raises(SystemExit) as caught:
        main(["train", f"{folder}/x", "--features", f"{folder}/nowhere", "--ali", f"{folder}/train/ali"])
    error = capsys.readouterr().err
    assert caught.value.code == 1 and error.count("\n") == 1 and "nowhere: no such folder" in error


def test_the_package_is_run_as_the_command_is(tmp_path):
    called = [sys.executable, "-m", "kdasr", "accuracy", str(tmp_path / "out")]
    done = subprocess.run(called, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and done.stderr.startswith("Usage: kdasr accuracy")


def test_half_a_development_set_is_refused(folder):
    with pytest.raises(Refusal, match="half of a set .expected --dev-features and --dev-ali, or --dev-images"):
        call(folder, "train", "x", "--dev-features", f"{folder}/dev/feats", dev=False)


@pytest.fixture(scope="module")
def taught(folder: Path) -> Path:
    """Two members and their soft targets."""
    call(folder, "train", "ens", "--seeds", "0-1")
    call(folder, "soft-targets", "soft", "--teacher", f"{folder}/ens", dev=False)
    return folder


def refused(folder: Path, capsys: pytest.CaptureFixture, verb: str, *arguments: str) -> str:
    """The one line that a refused command leaves, at exit status 1."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as caught:
        settings = [word for setting in SETTINGS.split() for word in ("--set", setting)]
        main([verb, *settings, *(argument.format(folder=folder) for argument in arguments)])
    error = capsys.readouterr().err
    assert caught.value.code == 1 and error.count("\n") == 1
    return error


SET = ("--features", "{folder}/train/feats", "--ali", "{folder}/train/ali")


@pytest.mark.parametrize(
    ("verb", "arguments", "wanted", "found"),
    [
        ("train", ("--features", "{folder}/train/ali", "--ali", "{folder}/train/feats"), "features", "align"),
        ("train", ("--features", "{folder}/ens/member-0", "--ali", "{folder}/train/ali"), "features", "train"),
        ("train", ("--features", "{folder}/train/feats", "--ali", "{folder}/soft"), "align", "soft-targets"),
        ("train", ("--images", "{folder}/train/feats"), "corpus", "features"),
        ("distill", (*SET, "--soft-targets", "{folder}/train/feats"), "soft-targets", "features"),
        ("distill", (*SET, "--teacher", "{folder}/soft"), "train` or `kdasr distill` or `kdasr bias", "soft-targets"),
        ("soft-targets", (*SET, "--teacher", "{folder}/train/feats"), "train` or `kdasr distill", "features"),
        ("accuracy", (*SET, "--model", "{folder}/train/ali"), "train` or `kdasr distill", "align"),
    ],
)
def test_a_folder_of_another_kind_is_told_and_nothing_is_begun(taught, capsys, verb, arguments, wanted, found):
    error = refused(taught, capsys, verb, "{folder}/wrong", *arguments)
    assert f"a folder of another kind (expected one made by `kdasr {wanted}" in error
    assert f"found one made by `kdasr {found}`); correct the path" in error
    assert not (taught / "wrong").exists()


def test_soft_targets_are_inspected_in_their_own_window(taught, capsys):
    inspect, teacher = ("inspect", f"{taught}/soft"), ("--teacher", f"{taught}/ens")
    capsys.readouterr()
    main([*inspect, *(argument.format(folder=taught) for argument in SET), *teacher])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "probabilities of 2 teachers, arithmetic mean, T = 2"
    assert [line.partition(":")[0] for line in lines[2:]] == ["size", "kept", "entropy", "variance"]
    main(list(inspect))
    assert capsys.readouterr().out.splitlines() == lines[:-1]
    assert lines[-1].endswith(" % of what labels have that the teachers draw")
    assert lines[3].endswith(", for the rest stand drawn ones")
    with pytest.raises(SystemExit):
        main([*inspect, *teacher])
    assert "no set is named (expected --features and --ali, or --images)" in capsys.readouterr().err


def test_of_entirely_sure_teachers_no_share_is_told(taught, capsys, monkeypatch):
    monkeypatch.setattr("kdasr.distill.inspection.variance", lambda *_: (0.0, 0.0))
    given = (argument.format(folder=taught) for argument in (*SET, "--teacher", "{folder}/ens"))
    main(["inspect", f"{taught}/soft", *given])
    assert capsys.readouterr().out.splitlines()[-1].endswith("squared distance of the sample from the teachers")


def test_a_tail_with_a_shape_is_inspected_by_its_divergence(taught, capsys):
    given = [argument.format(folder=taught) for argument in (*SET, "--teacher", "{folder}/ens")]
    options = "store.tail=uniform", "store.keep=2", "frames.left=2", "frames.right=1"
    main(["soft-targets", f"{taught}/uniform", *given, *(word for option in options for word in ("--set", option))])
    capsys.readouterr()
    main(["inspect", f"{taught}/uniform", *given])
    (line,) = (line for line in capsys.readouterr().out.splitlines() if line.startswith("divergence: "))
    assert line.endswith("KL of the teachers from what is stored")


@pytest.mark.parametrize("verb", ["train", "soft-targets", "accuracy", "distill"])
@pytest.mark.parametrize("out", ["file", "file/out"])
def test_an_output_folder_where_a_file_lies_is_refused(taught, tmp_path, capsys, verb, out):
    (tmp_path / "file").write_text("x")
    models = {"train": (), "accuracy": ("--model", "{folder}/ens")}.get(verb, ("--teacher", "{folder}/ens"))
    error = refused(taught, capsys, verb, f"{tmp_path}/{out}", *SET, *models)
    assert "no output folder can be made here (found a file" in error


def test_a_model_is_scored_in_its_own_window(taught, capsys):
    models = ("--model", "{folder}/ens", "--set", "frames.left=5")
    error = refused(taught, capsys, "accuracy", "{folder}/wide", *SET, *models)
    assert "the input shape of models and examples does not match (expected (7, 5), found (4, 5))" in error


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("train.device=gpu", "device gpu: no such device here (expected auto or cpu"),
        ("train.device=cuda:99", "device cuda:99: no such device here (expected auto or cpu"),
        ("train.threads=-1", "train: warmup, clip, max_norm, threads and checkpoint_steps are at least 0"),
        ("train.warmup=-1", "train: warmup, clip, max_norm, threads"),
        ("train.clip=-1", "train: warmup, clip, max_norm, threads"),
        ("train.learning_rate=.nan", "train: learning_rate is not a finite number (found nan)"),
        ("frames.left=-1", "frames: left and right, frames, and memory, GiB, are at least 0"),
    ],
)
def test_impossible_settings_are_told(taught, capsys, setting, told):
    assert told in refused(taught, capsys, "train", "{folder}/impossible", *SET, "--set", setting)


def test_a_student_without_weights_is_refused(taught, capsys):
    weights = ("--set", "distill.soft_weight=0", "--set", "distill.hard_weight=0", "--soft-targets", "{folder}/soft")
    error = refused(taught, capsys, "distill", "{folder}/none", *SET, *weights)
    assert "distill: soft_weight and hard_weight must not both be 0" in error


def test_after_a_refusal_the_right_command_needs_no_overwrite(taught, tmp_path, capsys):
    """What is wrong is often met only when the inputs are opened, in a folder that was begun."""
    write_set(tmp_path / "other", 10, seed=5)
    other = ("--features", f"{tmp_path}/other/feats", "--ali", f"{tmp_path}/other/ali")
    error = refused(taught, capsys, "distill", "{folder}/mended", *other, "--soft-targets", "{folder}/soft")
    assert "alignment of soft targets and examples does not match" in error
    call(taught, "distill", "mended", "--soft-targets", f"{taught}/soft")
    error = refused(
        taught, capsys, "accuracy", "{folder}/scored", *SET, "--model", "{folder}/ens", "--set", "frames.left=5"
    )
    call(taught, "accuracy", "scored", "--model", f"{taught}/ens", dev=False)
    assert io.read_info(taught / "mended" / "student-0") and io.read_info(taught / "scored")


def test_overwrite_keeps_members_that_are_up_to_date(taught):
    infos = [taught / f"ens/member-{seed}/info.json" for seed in (0, 1)]
    before = [path.stat().st_mtime_ns for path in infos]
    call(taught, "train", "ens", "--seeds", "0-1", "--overwrite")
    assert [path.stat().st_mtime_ns for path in infos] == before


def test_an_estimate_tells_both_ways_and_trains_nothing(folder, capsys):
    call(folder, "train", "priced", "--seeds", "0-1")
    teacher, settings = ("--teacher", f"{folder}/priced"), ("--set", "student.input_noise=0.1", "--set", "store.keep=2")
    call(folder, "distill", "estimate", *teacher, *settings, "--estimate", "--seeds", "0-2")
    out = capsys.readouterr().out
    assert not (folder / "estimate").exists()
    assert re.search(r"^3 x 2 epochs of [\d,]+ examples\non the fly: +[\d.e+-]+ s, \d+% of it the teachers'", out)
    assert re.search(
        r"\nstored: +.* s of it to make them; [\d.]+ MB, \d\S+ % of dense float32\ncheaper: +(on|stored)", out
    )
    assert "mind:       teachers on the fly see the student's altered input" in out
    call(folder, "soft-targets", "soft-priced", *teacher, dev=False)
    with pytest.raises(Refusal, match=r"estimate is of teachers \(found stored soft targets\); name .* --teacher"):
        call(folder, "distill", "estimate", "--soft-targets", f"{folder}/soft-priced", "--estimate")
