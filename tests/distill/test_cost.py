"""What targets cost, from measured parts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kdasr import models
from kdasr.distill.cost import Cost, measure
from kdasr.distill.ensemble import Ensemble
from kdasr.distill.loss import DistillOptions
from kdasr.distill.store import StoreOptions
from kdasr.distill.student import StudentJob
from kdasr.models import Model
from kdasr.models.dnn import DnnOptions
from kdasr.train.loop import Trainer, TrainOptions
from tests.distill.conftest import source

COST = Cost((1_000_000, 2_000_000), 10, 3, live=4e-4, read=1e-4, write=3e-4, size=50, dense=6400)


def test_many_epochs_pay_for_a_store():
    assert COST.on_the_fly == pytest.approx(12_000) and COST.stored == pytest.approx((600, 3000))
    assert str(COST) == (
        "3 x 10 epochs of 1,000,000 examples\n"
        "on the fly: 3 h 20 min, 75% of it the teachers'\n"
        "stored:     1 h 00 min, 10 min of it to make them; 100.0 MB, 0.78 % of dense float32\n"
        "cheaper:    stored, by 3.3 times"
    )


def test_one_epoch_of_part_of_the_data_does_not():
    cost = replace(COST, examples=(10_000, 2_000_000), epochs=1, students=1, differs="something")
    assert cost.on_the_fly == pytest.approx(4)
    assert "cheaper:    on the fly, by" in str(cost) and str(cost).endswith("\nmind:       something")


def test_what_is_measured_has_the_size_of_the_store_and_the_job(data: Path, tmp_path: Path, examples):
    train = TrainOptions(epochs=7, batch_size=64, fraction=0.5, device="cpu", precision="fp32", threads=1)
    teachers = (data / "teachers",)
    job = StudentJob(tmp_path / "s", source(data), None, None, teachers, train, DnnOptions(1, 32), DistillOptions(2.0))
    cost = measure(job, 2, StoreOptions(keep=2, mass=1.0))
    half = len(examples.pool(0.5, 0))  # of whole utterances
    assert cost.examples == (half, len(examples)) and (cost.epochs, cost.students) == (7, 2)
    assert cost.size == pytest.approx(8 + 2 * 3, abs=0.5) and cost.dense == 4 * examples.num_classes
    assert min(cost.live, cost.read, cost.write) > 0 and not cost.differs
    moved = measure(replace(job, student=replace(train, input_noise=0.1)), 1, StoreOptions())
    assert "student.input_noise" in moved.differs and not (tmp_path / "s").exists()


def test_an_epoch_is_of_the_training_pool_and_a_step_of_its_batch(data: Path, tmp_path: Path, examples, monkeypatch):
    monkeypatch.setattr("kdasr.distill.cost._steps", lambda trainers: [2.0, 1.0])
    train = TrainOptions(epochs=1, batch_size=5000, fraction=0.1, device="cpu", precision="fp32", threads=1)
    teachers, pool = (data / "teachers",), len(examples.pool(0.1, 0))
    job = StudentJob(tmp_path / "s", source(data), None, None, teachers, train, DnnOptions(1, 32), DistillOptions(2.0))
    cost = measure(job, 1, StoreOptions())
    assert cost.examples == (pool, len(examples)) and pool < 5000
    assert (cost.live, cost.read) == (2.0 / pool, 1.0 / pool)
    some = measure(replace(job, distill=DistillOptions(2.0, teachers_per_batch=1)), 1, StoreOptions())
    asks = "on the fly a batch asks 1 of the teachers, stored targets are of all"
    assert some.differs == asks
    noisy = replace(job, student=replace(train, input_noise=0.1), distill=DistillOptions(2.0, teachers_per_batch=1))
    both = measure(noisy, 1, StoreOptions()).differs
    assert both.startswith(f"{asks}; teachers on the fly see") and "student.input_noise" in both


def test_targets_are_written_as_precisely_as_soft_targets_does(data: Path, tmp_path: Path, monkeypatch):
    loaded: list[Any] = []

    def watched(*arguments: Any, **named: Any) -> Ensemble:
        loaded.append(arguments[2:] + tuple(named))
        return load(*arguments, **named)

    load = Ensemble.load
    monkeypatch.setattr("kdasr.distill.cost.Ensemble.load", watched)
    train = TrainOptions(batch_size=64, device="cpu", precision="bf16", threads=1)
    teachers = (data / "teachers",)
    job = StudentJob(tmp_path / "s", source(data), None, None, teachers, train, DnnOptions(1, 32), DistillOptions(2.0))
    measure(job, 1, StoreOptions())
    assert loaded == [("device",), ("bf16", "cpu")]  # of the store, with its own default precision; on the fly


def test_a_student_that_goes_on_from_a_model_is_measured_as_that_model(data: Path, tmp_path: Path, monkeypatch):
    measured: list[Model] = []

    def watched(folder: Path, model: Model, *others: Any) -> Trainer:
        measured.append(model)
        return Trainer(folder, model, *others)

    monkeypatch.setattr("kdasr.distill.cost.Trainer", watched)
    train, start = (
        TrainOptions(batch_size=64, device="cpu", precision="fp32", threads=1),
        data / "teachers" / "member-0",
    )
    job = StudentJob(tmp_path / "s", source(data), None, None, (start,), train, DnnOptions(3, 8), DistillOptions(2.0))
    measure(replace(job, start=start), 1, StoreOptions())
    own = models.load(start / "model.safetensors").describe()
    assert measured and all(model.describe() == own for model in measured)
