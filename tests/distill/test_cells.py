"""The cells that a study's settings name."""

from __future__ import annotations

import itertools

import pytest

from kdasr import config
from kdasr.distill.cells import StudyOptions, axes_of, cells, default, set_apart
from kdasr.distill.loss import DistillOptions
from kdasr.models.dnn import DnnOptions
from kdasr.refusal import Refusal
from kdasr.train.loop import TrainOptions


def test_a_table_s_cells_are_all_combinations_named_by_their_values():
    options = StudyOptions(seeds=(0, 4), student={"members": [1, 3], "distill.temperature": [1, 2.5]})
    found = cells(options)
    expected = [
        f"student,members={members},distill.temperature={temperature},seed={seed}"
        for members, temperature, seed in itertools.product((1, 3), ("1", "2.5"), (0, 4))
    ]
    assert [cell.name for cell in found] == expected
    assert found[-1].system == "student,members=3,distill.temperature=2.5" and found[-1].members == 3
    assert found[-1].overrides == ("distill.temperature=2.5", "student.seed=4")


def test_kinds_have_their_own_seeds_and_an_ensemble_has_none():
    found = cells(StudyOptions(seeds=(7,), baseline={"seed": [0, 1]}, ensemble={"members": 2}, student={}))
    assert [cell.name for cell in found] == [
        "baseline,seed=0",
        "baseline,seed=1",
        "ensemble,members=2",
        "student,seed=7",
    ]
    assert found[0].overrides == ("train.seed=0",) and found[2].overrides == () and found[3].members is None


def test_tables_of_a_kind_are_joined_and_a_cell_of_two_comes_once():
    tables = [{"distill.temperature": [1, 2]}, {"distill.temperature": [2.0], "seed": [0, 1]}]
    names = [cell.name for cell in cells(StudyOptions(student=tables))]
    assert names == [f"student,distill.temperature={name}" for name in ("1,seed=0", "2,seed=0", "2,seed=1")]


def test_the_settings_of_a_file_are_read_with_their_dots(tmp_path):
    conf = tmp_path / "study.yaml"
    conf.write_text("study:\n  seeds: [0, 1]\n  baseline: {train.fraction: [0.03, 1]}\n  student: [{dnn.width: [8]}]\n")
    read = config.resolve(StudyOptions, "study", conf)
    assert [cell.system for cell in cells(read)[::2]] == [
        "baseline,train.fraction=0.03",
        "baseline,train.fraction=1",
        "student,dnn.width=8",
    ]


@pytest.mark.parametrize(
    ("kind", "table", "told"),
    [
        (
            "student",
            {"distill.temprature": [1]},
            "study.student: unknown axis of student 'distill.temprature'; did you mean",
        ),
        ("student", {"train.dropout": [0]}, "study.student: unknown axis of student 'train.dropout'"),
        ("student", {"student.seed": [0]}, "unknown axis of student 'student.seed'"),
        ("baseline", {"members": [1]}, "study.baseline: unknown axis of baseline 'members'"),
        ("ensemble", {"seed": [1]}, "study.ensemble: unknown axis of ensemble 'seed'"),
        ("ensemble", {"distill.temperature": [1]}, "unknown axis of ensemble 'distill.temperature'; did you mean"),
        ("student", {"distill.temperature": []}, "study.student.distill.temperature: an axis without values"),
        ("student", {"distill.temperature": None}, "study.student.distill.temperature: an axis without values"),
        ("student", {"distill.temperature": [1, 1.0]}, "temperature: a value given twice .found 1.0.; name each once"),
        ("student", {"distill.temperature": ["hot"]}, "study.student.distill.temperature: .* has the wrong type"),
        ("student", {"distill.temperature": [-1]}, "study.student.distill.temperature: temperature must be above 0"),
        ("student", {"distill.mean": ["arithmetical"]}, "unknown mean 'arithmetical'"),
        ("student", {"members": [0]}, "study.student.members: not a number of members .found 0"),
        ("student", {"members": [True]}, "study.student.members: not a number of members .found True"),
        ("student", {"seed": [-1]}, "study.student.seed: not a seed .found -1"),
        ("baseline", [1], "study.baseline: not a table of axes .expected {axis: .value, ....}, found 1"),
    ],
)
def test_what_is_no_axis_is_refused(kind, table, told):
    with pytest.raises(Refusal, match=told):
        cells(StudyOptions(**{kind: table}))


def test_a_study_of_nothing_and_seeds_given_twice_are_refused():
    with pytest.raises(Refusal, match="study: no system to study .expected a table of axes: baseline, ensemble or"):
        cells(StudyOptions())
    with pytest.raises(Refusal, match="study.baseline.seed: a value given twice .found 3"):
        cells(StudyOptions(seeds=(3, 3), baseline={}))
    with pytest.raises(Refusal, match="study.baseline.seed: an axis without values"):
        cells(StudyOptions(seeds=(), baseline={}))


def test_a_record_of_settings_holds_what_is_no_default_and_no_seed_and_no_way_to_compute():
    train = TrainOptions(seed=3, epochs=4, threads=2, checkpoint_steps=5)
    options = {"train": train, "dnn": DnnOptions(width=64), "distill": DistillOptions(mean="geometric")}
    assert set_apart("baseline", options) == {"train.epochs": 4, "dnn.width": 64}
    assert set_apart("ensemble", options) == {"distill.mean": "geometric"}
    assert set_apart("student", {"student": train, **options})["distill.mean"] == "geometric"


def test_a_record_may_vary_in_every_axis_and_defaults_are_known():
    assert default("student", "distill.temperature") == DistillOptions().temperature
    assert default("baseline", "distill.temperature") is None and default("baseline", "images.classes") == []
    assert {"seed", "members", "student.fraction", "frames.left", "images.classes"} <= set(axes_of("student"))
