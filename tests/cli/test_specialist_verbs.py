"""From a generalist to one net that holds what its specialists know, from the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kdasr.cli import cli
from kdasr.refusal import Refusal
from tests import images
from tests.tables import write_set

SETTINGS = "dnn.layers=1 dnn.width=16 frames.left=2 frames.right=1 subsets.number=3 subsets.size=3"
SETTINGS += "".join(
    f" {who}.epochs=2 {who}.threads=1 {who}.batch_size=32" for who in ("train", "student", "specialist")
)


def call(verb: str, out: Path, *arguments: object) -> None:
    settings = [word for setting in SETTINGS.split() for word in ("--set", setting)]
    cli.main([verb, str(out), *settings, *map(str, arguments)], standalone_mode=False)


def info(folder: Path) -> dict:
    content: dict = json.loads((folder / "info.json").read_text())
    return content


def walk(root: Path, train: list[object]) -> None:
    generalist = ["--model", root / "generalist/member-0"]
    call("train", root / "generalist", *train)
    call("subsets", root / "subsets", *train, *generalist)
    call("specialists", root / "specialists", *train, *generalist, "--subsets", root / "subsets", "--only", "0-1")
    call("specialists", root / "specialists", *train, *generalist, "--subsets", root / "subsets", "--num-jobs", 2)
    call("train", root / "control", *train, "--start", root / "generalist/member-0")
    call("joint", root / "joint", *train, *generalist, "--specialists", root / "specialists")
    call("soft-targets", root / "soft", *train, "--teacher", root / "joint")
    call("distill", root / "student", *train, "--soft-targets", root / "soft")
    call("distill", root / "live", *train, "--teacher", root / "joint")
    call("accuracy", root / "accuracy", *train, "--model", root / "joint")
    call("gain", root / "gain", *train, "--model", root / "joint")


def test_the_road_from_a_generalist_to_a_student_of_its_specialists(tmp_path, capsys):
    features, alignment = write_set(tmp_path, 10, seed=1)
    walk(tmp_path, ["--features", features, "--ali", alignment])
    assert info(tmp_path / "joint")["specialists"] == 3 and info(tmp_path / "accuracy")["num_frames"] > 0
    assert info(tmp_path / "student/student-0")["seed"] == 0
    shown = capsys.readouterr().out
    assert "3 subsets, " in shown and "conditional: " in shown and " cover the class: " in shown
    cli.main(["subsets-show", f"{tmp_path}/subsets", "--picture", f"{tmp_path}/x.png"], standalone_mode=False)
    assert capsys.readouterr().out.count("(3): ") == 3 and (tmp_path / "x.png").exists()


def test_images_go_the_same_road(tmp_path):
    walk(tmp_path, ["--images", images.write_set(tmp_path / "images", 160, seed=0)])
    assert info(tmp_path / "gain")["all"]["examples"] == 160


def test_a_subset_that_is_not_there_is_refused(tmp_path):
    features, alignment = write_set(tmp_path, 4, seed=1)
    train = ["--features", features, "--ali", alignment]
    generalist = ["--model", tmp_path / "generalist"]
    call("train", tmp_path / "generalist", *train)
    call("subsets", tmp_path / "subsets", *train, *generalist)
    with pytest.raises(Refusal, match=r"--only 3: no such subset \(expected 0 to 2, found 3\)"):
        call("specialists", tmp_path / "x", *train, *generalist, "--subsets", tmp_path / "subsets", "--only", "3")
    with pytest.raises(Refusal, match=r"--only 9-3: not a list of subsets \(expected 0-4 or 0,1,2\)"):
        call("specialists", tmp_path / "x", *train, *generalist, "--subsets", tmp_path / "subsets", "--only", "9-3")


def test_a_joint_model_is_no_generalist_of_specialists(tmp_path):
    features, alignment = write_set(tmp_path, 10, seed=1)
    train = ["--features", features, "--ali", alignment]
    walk(tmp_path, train)
    joint = ["--model", tmp_path / "joint"]
    call("subsets", tmp_path / "again", *train, *joint)
    with pytest.raises(Refusal, match="joint: a folder of another kind .*found one made by `kdasr joint`"):
        call("specialists", tmp_path / "more", *train, *joint, "--subsets", tmp_path / "again")
