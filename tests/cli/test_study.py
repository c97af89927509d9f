"""`kdasr study`: cells from one YAML, skipped when done, added up over runs, the same after a kill."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from kdasr import io
from kdasr.cli import cli, main
from kdasr.data.frames import FrameOptions, FrameSource
from kdasr.distill.ensemble import Ensemble, tally
from kdasr.log import read_metrics
from tests.tables import write_set

SETTINGS = """
dnn: {layers: 1, width: 16}
frames: {left: 2, right: 1}
train: {epochs: 2, threads: 1}
student: {epochs: 2, threads: 1}
"""
STUDY = """
  seeds: [0, 1]
  baseline: {}
  ensemble: {members: [1, 2, 3], distill.mean: [arithmetic, geometric]}
  student: {members: [1, 3], distill.temperature: [1, 5]}
  reference: baseline
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("study")
    for name, count, seed in (("train", 10, 1), ("dev", 4, 2), ("test", 5, 3)):
        write_set(folder / name, count, seed)
    cli.main(
        ["train", f"{folder}/pool", *sets(folder), "--conf", conf(folder), "--seeds", "0-2"], standalone_mode=False
    )
    return folder


def conf(folder: Path, study: str = STUDY, settings: str = SETTINGS, name: str = "study.yaml") -> str:
    (folder / name).write_text(f"{settings}study:{study}")
    return str(folder / name)


def sets(folder: Path, test: bool = False) -> list[str]:
    named = {"": "train", "dev-": "dev", **({"test-": "test"} if test else {})}
    pairs = [
        (f"--{prefix}{what}", f"{folder}/{name}/{at}")
        for prefix, name in named.items()
        for what, at in (("features", "feats"), ("ali", "ali"))
    ]
    return [word for pair in pairs for word in pair]


def command(folder: Path, out: str, *arguments: object, study: str = STUDY, test: bool = False) -> list[str]:
    named = ["--conf", conf(folder, study, name=f"{out}.yaml"), *sets(folder, test), "--members", f"{folder}/pool"]
    return ["study", f"{folder}/{out}", *named, *map(str, arguments)]


def run(*arguments: Any, **named: Any) -> None:
    cli.main(command(*arguments, **named), standalone_mode=False)


def refused(capsys: pytest.CaptureFixture, *arguments: Any, **named: Any) -> str:
    capsys.readouterr()
    with pytest.raises(SystemExit) as caught:
        main(command(*arguments, **named))
    error = capsys.readouterr().err
    assert caught.value.code == 1
    return error.splitlines()[-1]


def rows(folder: Path, out: str) -> dict[str, dict[str, Any]]:
    return {row["cell"]: row for row in json.loads((folder / out / "results.json").read_text())["rows"]}


def test_a_study_scores_every_cell_on_dev_and_test_and_trains_the_students_alone(folder, capsys):
    run(folder, "whole", test=True)
    found = rows(folder, "whole")
    assert len(found) == 2 + 6 + 8 and all({"dev", "test"} <= row.keys() for row in found.values())
    assert not list((folder / "whole").glob("baseline*/model"))  # they are the pool's members
    source = FrameSource(folder / "test" / "feats", folder / "test" / "ali", FrameOptions(2, 1))
    members = [folder / "pool" / f"member-{seed}" for seed in (0, 1)]
    for models, mean, cell in (
        (members, "geometric", "ensemble,members=2,distill.mean=geometric"),
        (members[1:], "arithmetic", "baseline,seed=1"),
        ([folder / "whole/student,members=3,distill.temperature=5,seed=1/model"], "arithmetic", None),
    ):
        together, _ = tally(Ensemble.load(models, mean), source.open())
        row = found[cell or models[0].parent.name]
        assert row["test"] == vars(together.score())
    student = io.read_info(folder / "whole/student,members=3,distill.temperature=5,seed=1/model")
    assert student["options"]["distill"]["temperature"] == 5 and student["seed"] == 1
    assert len([name for name in student["inputs"] if name.startswith("teacher")]) == 3
    assert student["dev"] == found["student,members=3,distill.temperature=5,seed=1"]["dev"]
    table = (folder / "whole" / "results.md").read_text()
    assert table == capsys.readouterr().out and table.count("\n| student |") + table.count("\n| **student** |") == 4
    assert "Reference: `baseline`" in table


def test_more_seeds_extend_the_results_and_what_is_done_stays(folder, capsys):
    study = "\n  {seeds: [0], student: {members: 2, distill.temperature: [1, 2]}}\n"
    run(folder, "days", study=study)
    first = rows(folder, "days")
    marks = {path: path.stat().st_mtime_ns for path in (folder / "days").glob("*/model/info.json")}
    run(folder, "days", study=study.replace("[0]", "[0, 1, 2]"))
    both = rows(folder, "days")
    assert len(first) == 2 and len(both) == 6 and first.items() <= both.items()
    assert len(marks) == 2 and all(path.stat().st_mtime_ns == mark for path, mark in marks.items())


def test_known_results_are_added_and_not_computed_again(folder, capsys):
    run(folder, "monday", study="\n  {seeds: [0, 1], student: {distill.temperature: [1, 2]}}\n")
    known = folder / "committed.json"
    shutil.copy(folder / "monday" / "results.json", known)
    more = "\n  {seeds: [1, 2], student: {distill.temperature: [2]}, baseline: {}}\n"
    run(folder, "tuesday", "--known", known, study=more)
    monday, tuesday = rows(folder, "monday"), rows(folder, "tuesday")
    assert len(tuesday) == 4 + 3 and monday.items() <= tuesday.items()
    trained = sorted(path.parent.parent.name for path in (folder / "tuesday").glob("*/model/info.json"))
    assert trained == ["student,distill.temperature=2,seed=2"]
    run(folder, "wednesday", "--known", known, test=True, study=more)  # known rows lack the test set: anew
    assert all("test" in row for row in rows(folder, "wednesday").values() if row["cell"] not in monday)
    assert len(list((folder / "wednesday").glob("student*/model/info.json"))) == 2


def test_known_results_of_other_settings_teachers_or_sets_are_refused(folder, tmp_path, capsys):
    study = "\n  {seeds: [0], student: {distill.temperature: [1]}}\n"
    run(folder, "before", study=study)
    known = folder / "before" / "results.json"
    again = ("--known", known)
    error = refused(capsys, folder, "after", *again, "--set", "student.epochs=3", study=study)
    cell = "student,distill.temperature=1,seed=0"
    assert (
        f"results.json: settings.student.epochs of {cell} of the results does not match (expected 3, found 2)" in error
    )
    content = json.loads(known.read_text())
    content["rows"][0]["teachers"] = "0" * 16
    (tmp_path / "taught.json").write_text(json.dumps(content))
    assert "teachers of" in refused(capsys, folder, "after", "--known", tmp_path / "taught.json", study=study)
    content["inputs"]["alignment"] = "1" * 16
    (tmp_path / "sets.json").write_text(json.dumps(content))
    error = refused(capsys, folder, "after", "--known", tmp_path / "sets.json", study=study)
    assert f"{tmp_path}/sets.json: alignment of the sets of the results does not match" in error
    error = refused(capsys, folder, "after", *again, "--known", tmp_path / "taught.json", study=study)
    assert f"teachers of results of {cell} does not match" in error
    (tmp_path / "other.json").write_text("[1]")
    error = refused(capsys, folder, "after", "--known", tmp_path / "other.json", study=study)
    assert "other.json: not the results of a study" in error and not (folder / "after").exists()


def test_students_alone_learn_from_transfer_sets(folder, capsys):
    study = "\n  {seeds: [0], student: {members: 2}, ensemble: {members: 2}, baseline: {}}\n"
    features = write_set(folder / "more", 6, seed=4)[0] / "utterances.jsonl"
    features.write_text(features.read_text().replace('"u', '"more-u'))
    transfer = ("--transfer", features.parent)
    run(folder, "alone", study=study)
    run(folder, "more-speech", *transfer, study=study)
    alone, more = rows(folder, "alone"), rows(folder, "more-speech")
    student = "student,members=2,seed=0"
    assert {name for name in alone if alone[name] == more[name]} == alone.keys() - {student}
    assert alone[student]["teachers"] != more[student]["teachers"]
    taught, with_more = (io.read_info(folder / name / student / "model") for name in ("alone", "more-speech"))
    assert taught["num_examples"] < with_more["num_examples"]
    error = refused(capsys, folder, "mixed", "--known", folder / "alone" / "results.json", *transfer, study=study)
    assert "alone/results.json: transfer_0 of the sets of the results does not match" in error
    error = refused(capsys, folder, "mixed", "--known", folder / "more-speech" / "results.json", study=study)
    assert "more-speech/results.json: transfer_0 of the sets of the results does not match" in error


def test_a_failed_cell_is_told_at_the_end_and_the_others_are_computed(folder, capsys):
    study = "\n  {student: {student.select: [last, frist]}, baseline: {}, reference: 'student,student.select=frist'}\n"
    last = refused(capsys, folder, "failed", study=study)
    assert "failed: 1 of 3 cells failed (found student,student.select=frist,seed=0); mend them" in last
    assert rows(folder, "failed").keys() == {"baseline,seed=0", "student,student.select=last,seed=0"}


def test_one_line_tells_why_a_cell_failed(folder, capsys):
    with pytest.raises(SystemExit):
        main(command(folder, "why", study="\n  {student: {student.select: [frist]}}\n"))
    told = [line for line in capsys.readouterr().err.splitlines() if " failed: " in line]
    assert len(told) == 1 and "unknown selection 'frist'; did you mean 'best_dev'" not in told[0]
    assert "failed: student,student.select=frist,seed=0: train.select: unknown selection 'frist'" in told[0]
    assert rows(folder, "why") == {} and not (folder / "why" / "results.md").exists()


def test_a_baseline_of_other_settings_is_no_member_of_the_pool(folder):
    run(folder, "parts", study="\n  {seeds: [1], baseline: {train.fraction: [0.3, 1]}}\n")
    trained = [path.parent.name for path in (folder / "parts").glob("*/model")]
    assert trained == ["baseline,train.fraction=0.3,seed=1"]
    found = rows(folder, "parts")
    assert found["baseline,train.fraction=0.3,seed=1"]["settings"]["train.fraction"] == 0.3


def test_a_study_tells_how_well_each_net_learnt_its_training_set(folder):
    study = "\n  {baseline: {train.select: [last, best_dev]}, student: {members: 2}, ensemble: {members: 2}}\n"
    run(folder, "training", "--set", "train.epochs=12", study=study)
    found = rows(folder, "training")
    for cell, row in found.items():
        if row["kind"] == "ensemble":
            assert "training" not in row
            continue
        lines = read_metrics(folder / "training" / cell / "model" / "metrics.jsonl")
        epochs = [line for line in lines if "dev_accuracy" in line]
        chosen = max(epochs, key=lambda line: line["dev_accuracy"]) if "best_dev" in cell else epochs[-1]
        dev = [round(line["dev_accuracy"], 4) for line in epochs]
        assert row["training"] == {"accuracy": chosen["accuracy"], "dev": dev} and len(dev) in (2, 12)
    table = (folder / "training" / "results.md").read_text()
    assert "| training accuracy % |" in table and "with dropout and noise" in table


def test_equal_cells_of_two_tables_are_computed_once(folder):
    run(folder, "twice", study="\n  {student: [{distill.temperature: [1, 2]}, {members: [2, 3]}]}\n")
    cells = [f"student,{name},seed=0" for name in ("distill.temperature=1", "distill.temperature=2", "members=2")]
    assert list(rows(folder, "twice")) == cells  # all 3 members at T = 2 are the second


def test_students_of_stored_soft_targets(folder, capsys):
    stored = [
        "soft-targets",
        f"{folder}/soft",
        *sets(folder)[:4],
        "--teacher",
        f"{folder}/pool",
        "--conf",
        conf(folder),
    ]
    cli.main(stored, standalone_mode=False)
    study = "\n  {student: {distill.hard_weight: [0, 0.5]}}\n"
    run(folder, "stored", "--soft-targets", f"{folder}/soft", study=study)
    info = io.read_info(folder / "stored" / "student,distill.hard_weight=0,seed=0" / "model")
    assert info["inputs"]["soft_targets"] == io.fingerprint(folder / "soft")
    error = refused(capsys, folder, "x", "--soft-targets", f"{folder}/soft", study="\n  {student: {members: [2]}}\n")
    assert "study: student,members=2,seed=0: stored soft targets are of members of their own; leave" in error


@pytest.mark.parametrize(
    ("study", "told"),
    [
        ("{student: {members: [2, 4]}}", "pool: not so many members (expected 4, found 3); train more"),
        ("{ensemble: {members: [4]}}", "pool: not so many members (expected 4, found 3)"),
        ("{baseline: {}, reference: basline}", "study.reference: unknown system 'basline'; did you mean 'baseline'?"),
        ("{studnet: {}}", "unknown option of study 'studnet'; did you mean 'student'?"),
        ("{student: {distill.temperature: []}}", "study.student.distill.temperature: an axis without values"),
        ("{seeds: [0, 0], baseline: {}}", "study.baseline.seed: a value given twice"),
        ("{}", "study: no system to study"),
    ],
)
def test_a_study_that_cannot_be_is_refused_in_one_line_before_anything_is_trained(folder, capsys, study, told):
    error = refused(capsys, folder, "none", study=f" {study}\n")
    assert told in error and not (folder / "none").exists()


def test_a_pool_of_another_alignment_or_none_is_refused(folder, tmp_path, capsys):
    write_set(tmp_path / "train", 10, seed=5)
    other = ("--features", f"{tmp_path}/train/feats", "--ali", f"{tmp_path}/train/ali")
    error = refused(capsys, folder, "none", *other)
    assert "pool/member-0: alignment of pool and training set does not match" in error
    without = [word for word in command(folder, "none") if word not in ("--members", f"{folder}/pool")]
    with pytest.raises(SystemExit):
        main(without)
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "members=1,distill.mean=arithmetic: no pool of members is named" in error


def test_half_of_what_decoding_needs_is_refused(folder, capsys):
    error = refused(capsys, folder, "none", "--graph", folder, test=True)
    assert "kdasr study: half of what decoding needs (expected --lang and --dev-cuts and --test-cuts)" in error


def test_cells_made_with_other_settings_are_refused_and_overwritten_where_it_is_said(folder, capsys):
    study = "\n  {student: {members: [1]}}\n"
    run(folder, "again", study=study)
    error = refused(capsys, folder, "again", "--set", "student.epochs=1", study=study)
    assert "1 of 1 cells failed" in error
    run(folder, "again", "--set", "student.epochs=1", "--overwrite", study=study)
    assert rows(folder, "again")["student,members=1,seed=0"]["settings"]["student.epochs"] == 1


@pytest.mark.slow
def test_a_study_killed_at_any_moment_ends_with_the_same_results_to_the_bit(folder):
    study = "\n  {seeds: [0, 1], baseline: {train.epochs: [4]}, student: {members: [2], distill.temperature: [1, 2]}}\n"
    slow = ("--set", "train.checkpoint_steps=2", "--set", "student.checkpoint_steps=1", "--num-jobs", 2)
    run(folder, "calm", *slow, study=study)
    out, kills = folder / "killed", 0
    call = [sys.executable, "-c", "from kdasr.cli import main; main()", *command(folder, out.name, *slow, study=study)]
    for models in (0, 3):  # finished when it is killed, and another has a checkpoint
        process = subprocess.Popen(call, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL, start_new_session=True)
        while process.poll() is None:
            begun = list(out.glob("*/model/checkpoint.safetensors"))
            if len(list(out.glob("*/model/info.json"))) >= models and begun:
                os.killpg(process.pid, signal.SIGKILL)
                kills += process.wait() == -signal.SIGKILL
            time.sleep(0.002)
    assert kills == 2 and not (out / "results.json").exists()
    subprocess.run(call, check=True, capture_output=True)
    for name in ("results.json", "results.md"):
        assert (out / name).read_bytes() == (folder / "calm" / name).read_bytes()
