"""Students: learn from stored or live targets, resume, refuse what does not belong together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from kdasr import io
from kdasr.data.examples import Sampler
from kdasr.distill.ensemble import Ensemble
from kdasr.distill.loss import DistillOptions
from kdasr.distill.student import StudentJob, train_student
from kdasr.models.dnn import DnnOptions
from kdasr.refusal import Refusal
from kdasr.train.loop import TrainOptions
from tests.distill.conftest import source
from tests.distill.test_soft_targets import make_by


@pytest.fixture
def job(data: Path, tmp_path: Path, examples) -> StudentJob:
    make_by(tmp_path / "soft", Ensemble.load(data / "teachers"), examples, 2.0)
    train = TrainOptions(seed=7, epochs=6, batch_size=64, device="cpu", precision="fp32")
    sets = source(data), source(data, "dev")
    return StudentJob(
        tmp_path / "student", *sets, tmp_path / "soft", (), train, DnnOptions(1, 32), DistillOptions(2.0), 1
    )


def test_a_student_learns_from_its_teachers(job: StudentJob):
    info = train_student(job)
    assert info["dev"]["accuracy"] > 0.6 and info["temperature"] == 2.0 and "soft_targets" in info["inputs"]


def test_targets_on_the_fly_teach_the_same(job: StudentJob, data: Path):
    stored = train_student(job)
    live = train_student(
        replace(job, folder=job.folder.parent / "live", soft_targets=None, teachers=(data / "teachers",))
    )
    assert live["dev"]["cross_entropy"] == pytest.approx(stored["dev"]["cross_entropy"], rel=0.01)
    assert sorted(name for name in live["inputs"] if "teacher" in name) == ["teacher_0", "teacher_1", "teacher_2"]


def test_live_teachers_see_the_noise_and_masks_that_the_student_sees(job: StudentJob, data: Path, monkeypatch):
    given: list[torch.Tensor] = []
    asked = Ensemble.probabilities

    def spy(ensemble: Ensemble, x: torch.Tensor, *others: Any) -> torch.Tensor:
        given.append(x)
        return asked(ensemble, x, *others)

    monkeypatch.setattr(Ensemble, "probabilities", spy)
    noisy = replace(job.student, epochs=1, input_noise=0.3, time_mask=1)
    live = replace(job, soft_targets=None, teachers=(data / "teachers",), student=noisy)
    train_student(live)
    examples = source(data).open()
    sampler = Sampler(examples.pool(1.0, noisy.seed), noisy.batch_size, noisy.seed)
    assert len(given) == sampler.batches_per_epoch
    for x in given:
        mean, deviation = examples.statistics()
        hidden = (x == mean).all(2)  # frames
        noise = (x - examples.batch(sampler.next())[0]) / deviation
        assert 0.25 < float(noise[~hidden].std()) < 0.35
        assert set(hidden.sum(1).tolist()) == {0, 1}


def test_soft_targets_alone_teach_without_hard_labels(job: StudentJob):
    info = train_student(replace(job, distill=DistillOptions(2.0, 1.0, 0.0)))
    assert info["dev"]["accuracy"] > 0.6


def test_a_student_goes_on_from_a_trained_models_weights(job: StudentJob, data: Path):
    start = data / "teachers" / "member-0"
    later = replace(job, dnn=DnnOptions(3, 8), start=start, student=replace(job.student, epochs=1, learning_rate=1e-9))
    info = train_student(later)
    assert info["inputs"]["start"] == io.fingerprint(start, "train") and "dnn" not in info["options"]
    before, after = (io.load_tensors(folder / "model.safetensors")[0] for folder in (start, job.folder))
    assert all(torch.allclose(before[name], after[name], atol=1e-6) for name in before)


def test_a_student_may_start_as_the_teacher_of_its_seed(job: StudentJob, data: Path):
    still = replace(job.student, seed=4, epochs=1, learning_rate=1e-9)
    teacher = data / "teachers" / "member-1"  # 4 modulo 3
    shape = DnnOptions(**io.read_info(teacher)["model"]["options"])
    begun = DistillOptions(2.0, start="teacher")
    live = replace(job, soft_targets=None, teachers=(data / "teachers",), dnn=shape, student=still, distill=begun)
    info = train_student(live)
    assert info["inputs"]["start"] == io.fingerprint(teacher, "train") and info["options"]["dnn"] == asdict(shape)
    before, after = (io.load_tensors(folder / "model.safetensors")[0] for folder in (teacher, job.folder))
    assert all(torch.allclose(before[name], after[name], atol=1e-6) for name in before)
    named = replace(live, folder=job.folder.parent / "named", start=data / "teachers" / "member-0")
    assert train_student(named)["inputs"]["start"] == io.fingerprint(data / "teachers" / "member-0", "train")


def test_a_student_of_another_shape_cannot_start_as_its_teacher(job: StudentJob, data: Path):
    live = replace(job, soft_targets=None, teachers=(data / "teachers",), dnn=DnnOptions(1, 8))
    told = r"layers of a student that starts as its teacher does not match \(expected 2, found 1\); set dnn as the"
    with pytest.raises(Refusal, match=told):
        train_student(replace(live, distill=DistillOptions(2.0, start="teacher")))
    assert not job.folder.exists()


def test_stored_targets_have_no_teacher_to_start_as(job: StudentJob):
    told = "distill.start: stored soft targets hold no weights .found teacher.; name the teachers with --teacher, or a"
    with pytest.raises(Refusal, match=told):
        replace(job, distill=DistillOptions(2.0, start="teacher"))


def test_the_same_again_is_up_to_date_and_another_temperature_is_refused(job: StudentJob):
    before = train_student(job)
    assert train_student(job) == before
    with pytest.raises(Refusal, match=r"made with another options.distill.temperature \(expected 4.0, found 2.0\)"):
        train_student(replace(job, distill=DistillOptions(4.0)))
    with pytest.raises(Refusal, match="temperature of the soft targets does not match"):
        train_student(replace(job, folder=job.folder.parent / "hot", distill=DistillOptions(4.0)))


def test_a_mean_other_than_the_stored_one_is_refused(job: StudentJob):
    with pytest.raises(Refusal, match="mean of the soft targets does not match .*expected geometric, found arithmetic"):
        train_student(replace(job, distill=DistillOptions(2.0, mean="geometric")))


@pytest.mark.parametrize(("name", "value"), [("jitter", 2), ("rotation", 5.0), ("scaling", 0.1)])
def test_stored_targets_of_images_that_would_be_moved_are_refused(job: StudentJob, data: Path, name: str, value: Any):
    moved = replace(job.student, **{name: value})
    told = (
        f"student.{name}: stored soft targets are of images as they are .expected 0, found {value}.; name the teachers"
    )
    with pytest.raises(Refusal, match=told):
        replace(job, student=moved)
    assert replace(job, student=moved, soft_targets=None, teachers=(data / "teachers",)).student == moved


def test_a_batch_may_ask_some_of_the_teachers_on_the_fly(job: StudentJob, data: Path, monkeypatch):
    asked: list[tuple[int, ...]] = []
    probabilities = Ensemble.probabilities

    def spy(ensemble: Ensemble, x: torch.Tensor, temperature: float, members: Sequence[int]) -> torch.Tensor:
        asked.append(tuple(members))
        return probabilities(ensemble, x, temperature, members)

    monkeypatch.setattr(Ensemble, "probabilities", spy)
    live = replace(job, soft_targets=None, teachers=(data / "teachers",), distill=DistillOptions(2.0))
    everyone = train_student(replace(live, folder=job.folder.parent / "all"))
    assert set(asked) == {(0, 1, 2)}
    asked.clear()
    found = train_student(replace(live, distill=replace(live.distill, teachers_per_batch=1)))
    assert set(asked) == {(0,), (1,), (2,)}
    assert found["dev"]["cross_entropy"] == pytest.approx(everyone["dev"]["cross_entropy"], rel=0.03)


def test_stored_targets_of_some_teachers_are_refused(job: StudentJob):
    told = "distill.teachers_per_batch: stored soft targets are of all .found 1.; name the teachers with --teacher, or"
    with pytest.raises(Refusal, match=told):
        replace(job, distill=DistillOptions(2.0, teachers_per_batch=1))


def test_after_a_refusal_the_right_targets_need_no_overwrite(job: StudentJob, data: Path):
    with pytest.raises(Refusal, match="alignment of soft targets and examples does not match"):
        train_student(replace(job, source=source(data, "dev")))
    assert train_student(job)["dev"]["accuracy"] > 0.6


def test_a_student_has_stored_targets_or_teachers(job: StudentJob, data: Path):
    for taught_by in ({"soft_targets": None}, {"teachers": (data / "teachers",)}):
        with pytest.raises(Refusal, match="name --soft-targets or --teacher, one of them"):
            train_student(replace(job, **taught_by))
