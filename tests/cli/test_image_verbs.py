"""The verbs on images: the trainer, soft targets and ensembles of speech, biases corrected; nothing else of speech."""

import json
import subprocess
import sys

import pytest

from kdasr import io
from kdasr.cli import cli
from kdasr.refusal import Refusal
from tests import images

SETTINGS = ["dnn.layers=1", "dnn.width=16", "distill.temperature=4", "distill.mean=geometric"]
SETTINGS += [f"{who}.{option}" for who in ("train", "student") for option in ("epochs=6", "threads=1", "batch_size=20")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    for name, count in (("train", 400), ("dev", 80), ("test", 80)):
        images.write_set(folder / name, count, seed=count + len(name))
    kdasr("train", folder / "teacher", "--images", folder / "train", "--seeds", "0-1", "--set", "train.jitter=1")
    kdasr("soft-targets", folder / "soft", "--images", folder / "train", "--teacher", folder / "teacher")
    taught = ("--images", folder / "train", "--soft-targets", folder / "soft")
    kdasr("distill", folder / "partial", *taught, "--set", "images.classes=[0,1,2]", "--set", "student.epochs=12")
    return folder


def kdasr(*arguments):
    settings = [word for setting in SETTINGS for word in ("--set", setting)]
    cli.main([*map(str, arguments[:2]), *settings, *map(str, arguments[2:])], standalone_mode=False)


def test_an_ensemble_of_images_is_scored(folder):
    models = ("--model", folder / "teacher")
    kdasr("accuracy", folder / "accuracy", "--images", folder / "test", *models)
    info = io.read_info(folder / "accuracy")
    assert info["accuracy"] > 0.8 and len(info["members"]) == 2 and info["num_frames"] == 80


def test_students_learn_from_stored_and_from_jittered_targets(folder):
    train = ("--images", folder / "train", "--dev-images", folder / "dev", "--seeds", "0,3")
    kdasr("distill", folder / "stored", *train, "--soft-targets", folder / "soft")
    live = ("--teacher", folder / "teacher", "--set", "student.jitter=1", "--set", "distill.mean=arithmetic")
    kdasr("distill", folder / "live", *train, *live)
    infos = [io.read_info(folder / kind / f"student-{seed}") for kind in ("stored", "live") for seed in (0, 3)]
    assert [info["seed"] for info in infos] == [0, 3, 0, 3] and len({info["fingerprint"] for info in infos}) == 4
    assert all(info["dev"]["accuracy"] > 0.7 and info["options"]["images"] == {"classes": []} for info in infos)


def test_a_study_of_temperatures(folder):
    train = ("--images", folder / "train", "--dev-images", folder / "dev", "--soft-targets", folder / "soft")
    kdasr("study", folder / "study", *train, "--set", "study.student={distill.temperature: [1, 8], seed: [0, 1]}")
    rows = json.loads((folder / "study" / "results.json").read_text())["rows"]
    assert all(row["parameters"] > 0 for row in rows)
    assert [(row["values"]["distill.temperature"], row["seed"]) for row in rows] == [(1, 0), (1, 1), (8, 0), (8, 1)]


def test_a_bias_is_chosen_on_dev_and_taken_over(folder):
    student = ("--model", folder / "partial" / "student-0", "--classes", "3")
    kdasr("bias", folder / "bias", *student, "--dev-images", folder / "dev")
    kdasr("bias", folder / "like", *student, "--like", folder / "bias", "--images", folder / "test")
    info, like = io.read_info(folder / "bias"), io.read_info(folder / "like")
    dev, test = info["errors"]["dev"], like["errors"]["test"]
    assert info["shift"] == like["shift"] == dev["after"]["shift"] > 0
    assert dev["after"] == dev["best"] and dev["after"]["errors"] < dev["before"]["errors"]
    assert test["after"]["errors_of_classes"] < test["before"]["errors_of_classes"] == test["examples_of_classes"] == 20
    curve = json.loads((folder / "like" / "curve.json").read_text())
    assert curve["test"][curve["shift"].index(like["shift"])] == test["after"]["errors"]
    for name in ("partial/student-0", "like"):  # the shifted model is a model like others
        out = folder / "scored" / name
        kdasr("accuracy", out, "--images", folder / "test", "--model", folder / name)
    right = round(80 * io.read_info(folder / "scored" / "like")["accuracy"])
    assert 80 - right == test["after"]["errors"]


def test_a_shift_taken_over_is_counted_itself_wherever_the_grid_ends(folder):
    student = ("--model", folder / "partial" / "student-0", "--classes", "3")
    kdasr("bias", folder / "chosen", *student, "--dev-images", folder / "dev")
    shift = io.read_info(folder / "chosen")["shift"]
    narrow = ("--set", f"bias.highest={shift / 3}", "--like", folder / "chosen", "--images", folder / "test")
    kdasr("bias", folder / "narrow", *student, *narrow)
    after = io.read_info(folder / "narrow")["errors"]["test"]["after"]
    kdasr("accuracy", folder / "scored-narrow", "--images", folder / "test", "--model", folder / "narrow")
    assert after["shift"] == shift > 0.1
    assert after["errors"] == 80 - round(80 * io.read_info(folder / "scored-narrow")["accuracy"])


def test_a_shift_is_chosen_once(folder):
    student = ("--model", folder / "partial" / "student-0", "--classes", "3")
    for more in ((), ("--dev-images", folder / "dev", "--like", folder / "bias")):
        with pytest.raises(Refusal, match="the shift is chosen once .expected a development set, or --like DIR"):
            kdasr("bias", folder / "x", *student, *more)


def test_sets_are_named_whole_and_once(folder):
    with pytest.raises(Refusal, match="no set is named .expected --features and --ali, or --images"):
        kdasr("train", folder / "x")
    with pytest.raises(Refusal, match="two sets in place of one .expected --features and --ali, or --images"):
        kdasr("train", folder / "x", "--images", folder / "train", "--features", folder, "--ali", folder)
    with pytest.raises(Refusal, match="no set is named .expected --dev-features and --dev-ali, or --dev-images"):
        kdasr("study", folder / "x", "--images", folder / "train", "--set", "study.baseline={train.epochs: 1}")


def test_soft_targets_of_other_images_are_refused(folder):
    with pytest.raises(Refusal, match="images of soft targets and examples does not match"):
        kdasr("distill", folder / "x", "--images", folder / "dev", "--soft-targets", folder / "soft")


def test_no_class_left_is_refused(folder, tmp_path):
    images.write_set(tmp_path / "few", 2, seed=1)  # of the classes 0 and 1
    with pytest.raises(Refusal, match="no examples to train on"):
        kdasr("train", tmp_path / "x", "--images", tmp_path / "few", "--set", "images.classes=[3]")


def test_images_need_nothing_of_speech(folder):
    """A whole small study in a process where no library of speech can be imported."""
    train, dev, test = (("--images", f"{folder}/{name}") for name in ("train", "dev", "test"))
    dev = (f"--dev-{dev[0][2:]}", dev[1])
    bare, settings = f"{folder}/bare", [word for setting in SETTINGS for word in ("--set", setting)]
    soft = ("--soft-targets", f"{bare}/soft")
    student = ("--model", f"{bare}/student/student-0", "--classes", "3")
    verbs = [
        ("train", f"{bare}/teacher", *train),
        ("soft-targets", f"{bare}/soft", *train, "--teacher", f"{bare}/teacher"),
        ("distill", f"{bare}/student", *train, *soft),
        ("study", f"{bare}/dev/grid_16", *train, *dev, *soft, "--set", "study.student={distill.temperature: [1, 2]}"),
        ("bias", f"{bare}/dev/bias/without_3/0", *student, *dev),
        ("bias", f"{bare}/bias/without_3/0", *student, "--like", f"{bare}/dev/bias/without_3/0", *test),
        ("accuracy", f"{bare}/accuracy/test/teacher", *test, "--model", f"{bare}/teacher"),
    ]
    calls = [[*verb, *settings] for verb in verbs]
    calls.append(["report", f"{bare}.md", "--exp", bare, "--pictures", f"{bare}-pictures", *train, *soft])
    calls.append(["corpus", "mnist", f"{folder}/none", "--corpus", f"{folder}/nowhere"])
    code = (
        "import sys\n"
        "for name in ('k2', 'lhotse', 'kaldifst', 'kaldi_native_fbank', 'soundfile', 'kaldialign', 'kaldilm'):\n"
        "    sys.modules[name] = None\n"
        "from kdasr.cli import main\n"
        f"for call in {calls!r}:\n"
        "    main(call)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr.splitlines()[-1].startswith("kdasr: --corpus"), done.stderr  # the last call, which is refused
    assert done.returncode == 1 and "temperature" in (folder / "bare.md").read_text()
