"""The pool of a study and its results; its cells are run in tests/cli/test_study.py."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kdasr import io
from kdasr.distill.cells import Cell
from kdasr.distill.study import CellJob, Pool, Results, distinct, value
from kdasr.models.dnn import DnnOptions
from kdasr.refusal import Refusal
from kdasr.train.job import TrainJob
from kdasr.train.loop import TrainOptions
from tests.distill.conftest import source
from tests.tables import write_set


def row(cell: str, **more: Any) -> dict[str, Any]:
    system, _, seed = cell.partition(",seed=")
    named = {"cell": cell, "system": system, "kind": system.split(",")[0], "seed": int(seed) if seed else None}
    return {**named, "values": {}, "settings": {}, "dev": {"accuracy": 0.5}, **more}


def cell_job(data: Path, cell: Cell, models: tuple[Path, ...], mean: str = "arithmetic", **more: Any) -> CellJob:
    return CellJob(data / cell.name, cell, None, models, mean, {"dev": source(data, "dev")}, {}, **more)


def test_the_first_members_of_a_pool_go_by_their_seeds(data):
    pool = Pool(data / "teachers", source(data))
    assert [path.name for path in pool.first(2)] == ["member-0", "member-1"] and len(pool.first(None)) == 3
    with pytest.raises(Refusal, match="teachers: not so many members .expected 4, found 3.; train more"):
        pool.first(4)


def test_a_member_is_found_by_what_makes_it_to_the_last_setting(data):
    pool = Pool(data / "teachers", source(data))
    options = TrainOptions(epochs=6, batch_size=64, device="cpu", seed=1)
    made = TrainJob(data / "x", source(data), None, options, DnnOptions(2, 48)).made
    assert pool.made_as(made) == data / "teachers" / "member-1"
    for other in (
        TrainJob(
            data / "x", source(data), None, TrainOptions(epochs=7, batch_size=64, device="cpu"), DnnOptions(2, 48)
        ),
        TrainJob(data / "x", source(data), source(data, "dev"), options, DnnOptions(2, 48)),
    ):
        assert pool.made_as(other.made) is None


def test_a_pool_of_other_labels_is_refused(data, tmp_path):
    write_set(tmp_path / "train", 14, seed=8)
    told = "member-0: alignment of pool and training set does not match .*; train the pool on the study's own"
    with pytest.raises(Refusal, match=told):
        Pool(data / "teachers", source(tmp_path))


def test_results_come_back_as_they_were_a_row_a_line(tmp_path):
    results = Results({"features": "ab"}, [row("baseline,seed=0"), row("ensemble,members=2", members=2)], "baseline")
    results.write(tmp_path / "results.json")
    assert Results.read(tmp_path / "results.json") == results
    assert len((tmp_path / "results.json").read_text().splitlines()) == 4
    Results({}).write(tmp_path / "none.json")
    assert Results.read(tmp_path / "none.json").rows == []


@pytest.mark.parametrize("content", [[], {}, {"rows": 1}, {"rows": [1]}, {"rows": [{"cell": "x"}]}])
def test_what_are_no_results_is_refused(tmp_path, content):
    io.write_json(tmp_path / "x.json", content)
    with pytest.raises(Refusal, match="x.json: not the results of a study .expected a results.json of `kdasr study`"):
        Results.read(tmp_path / "x.json")


def test_rows_of_two_runs_add_up_and_contradictions_are_refused():
    first, second = row("baseline,seed=0"), row("baseline,seed=1")
    results = Results({"features": "ab", "graph": "g"}, [first])
    results.add(Results({"features": "ab", "alignment": "cd"}, [first, second]), Path("two.json"))
    assert results.rows == [first, second]  # sets that only one has are not compared
    with pytest.raises(Refusal, match="two.json: features of the sets of the results does not match"):
        results.add(Results({"features": "xy"}, []), Path("two.json"))
    told = "two.json: dev.accuracy of results of baseline,seed=1 does not match .expected 0.5, found 0.6"
    with pytest.raises(Refusal, match=told):
        results.add(Results({}, [row("baseline,seed=1", dev={"accuracy": 0.6})]), Path("two.json"))


def test_what_older_results_did_not_record_is_taken_over_from_newer_ones():
    newer = {**row("baseline,seed=0"), "parameters": 7, "training": {"accuracy": 0.9, "dev": [0.5]}}
    results = Results({}, [row("baseline,seed=0")])
    results.add(Results({}, [newer]), Path("newer.json"))
    assert results.rows == [newer]
    results.add(Results({}, [row("baseline,seed=0")]), Path("older.json"))
    assert results.rows == [newer]


def test_a_known_row_must_have_every_score_that_is_wanted(data):
    cell = Cell("ensemble", (("members", 1),), None)
    job = cell_job(data, cell, (data / "teachers" / "member-0",))
    results = Results({}, [row(cell.name)])
    assert results.row(job) == row(cell.name)
    assert results.row(cell_job(data, cell, job.models, words=dict)) is None
    assert results.row(cell_job(data, Cell("ensemble", (("members", 2),), None), job.models)) is None
    with pytest.raises(Refusal, match="teachers of ensemble,members=1 of the results does not match .expected new"):
        results.row(cell_job(data, cell, job.models, teachers="new"))


def test_cells_that_differ_by_name_alone_are_one(data):
    members = tuple(data / "teachers" / f"member-{seed}" for seed in (0, 1))
    one = cell_job(data, Cell("ensemble", (("members", 2),), None), members)
    same = cell_job(data, Cell("ensemble", (), None), members)
    other = cell_job(data, Cell("ensemble", (("distill.mean", "geometric"),), None), members, "geometric")
    assert distinct([one, same, other]) == [one, other] and distinct([same, one]) == [same]


def test_a_row_s_value_on_an_axis_it_does_not_name_is_its_setting_or_the_default():
    student = row("student,seed=0", settings={"distill.temperature": 5.0}, members=3)
    assert value(student, "distill.temperature") == 5.0 and value(student, "distill.mean") == "arithmetic"
    assert value(student, "members") == 3 and value(row("baseline,seed=0"), "distill.temperature") is None
    assert value(row("ensemble"), "distill.temperature") is None and value(row("ensemble"), "members") is None
