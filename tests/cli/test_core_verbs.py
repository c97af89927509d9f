"""The core's verbs from the command line: train, soft-targets, distill, accuracy, grid."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

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


def test_a_grid_trains_each_cell_and_ranks_them(folder, capsys):
    call(folder, "grid", "grid", "--vary", "train.dropout=0,0.5", "--vary", "train.epochs=1,3")
    rows = json.loads((folder / "grid" / "results.json").read_text())
    assert len(rows) == 4 and {row["train.epochs"] for row in rows} == {"1", "3"}
    assert [row["accuracy"] for row in rows] == sorted((row["accuracy"] for row in rows), reverse=True)
    best = info(folder, f"grid/{rows[0]['cell']}")
    assert (
        best["options"]["train"]["epochs"] == int(rows[0]["train.epochs"])
        and best["dev"]["accuracy"] == rows[0]["accuracy"]
    )
    table = (folder / "grid" / "results.md").read_text()
    assert table == capsys.readouterr().out and table.splitlines()[0].startswith(
        "| train.dropout | train.epochs | dev accuracy %"
    )
    assert f"{100 * rows[0]['accuracy']:.2f}" in table.splitlines()[2]


def test_a_grid_of_students(folder):
    call(folder, "train", "ens", "--seeds", "0-1")
    call(
        folder,
        "grid",
        "students",
        "--kind",
        "distill",
        "--vary",
        "distill.temperature=1,4",
        "--teacher",
        f"{folder}/ens",
    )
    assert len(json.loads((folder / "students" / "results.json").read_text())) == 2


@pytest.mark.parametrize("vary", ["train.dropout", "dropout=1", "train.dropout=0,,1", "train.dropout="])
def test_what_is_no_list_of_values_is_refused(folder, vary):
    with pytest.raises(Refusal, match=f"--vary {vary}: not a list of values"):
        call(folder, "grid", "none", "--vary", vary)


def test_seeds():
    assert seeds("0-4") == [0, 1, 2, 3, 4] and seeds("7") == [7] and seeds("0,2-3,9") == [0, 2, 3, 9]


@pytest.mark.parametrize("text", ["", "a", "3-1", "1,1", "-2"])
def test_what_are_no_seeds_is_refused(text):
    with pytest.raises(Refusal, match=f"--seeds {text}: not a list of seeds"):
        seeds(text)


def test_refusals_are_one_line_and_exit_status_1(folder, capsys):
    with pytest.raises(SystemExit) as caught:
        main(["train", f"{folder}/x", "--features", f"{folder}/nowhere", "--ali", f"{folder}/train/ali"])
    error = capsys.readouterr().err
    assert caught.value.code == 1 and error.count("\n") == 1 and "nowhere: no such folder" in error


def test_half_a_development_set_is_refused(folder):
    with pytest.raises(Refusal, match="half of a set .expected --dev-features and --dev-ali, or --dev-images"):
        call(folder, "train", "x", "--dev-features", f"{folder}/dev/feats", dev=False)
