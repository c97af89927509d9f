"""What a student's targets cost: its teachers in every step, or once and then read from a store."""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from torch import Tensor

from kdasr import jobs
from kdasr.data.examples import Examples
from kdasr.distill import store
from kdasr.distill.ensemble import Ensemble
from kdasr.distill.loss import DistillOptions
from kdasr.distill.soft_targets import Distillation, LiveTargets, Maker, Targets
from kdasr.distill.sparse import Sparse
from kdasr.distill.store import Store, StoreOptions
from kdasr.distill.student import StudentJob
from kdasr.refusal import Refusal
from kdasr.train.job import initial, torch_threads
from kdasr.train.loop import Trainer, TrainOptions

STEPS = 10  # of training, timed
SAMPLE = 8192  # examples whose targets are written


@dataclass(frozen=True)
class Cost:
    """Of students that learn from the same teachers, one after another.

    Attributes:
        examples: of an epoch, and of the whole transfer set, which are stored.
        epochs: of each student.
        students: how many.
        live: seconds an example of a training step, the teachers' forward pass in it.
        read: the same with targets of a store.
        write: seconds an example of making and writing the targets that are stored.
        size: bytes an example in the store.
        dense: bytes an example of float32 targets.
        differs: what else the choice changes; empty if nothing.
    """

    examples: tuple[int, int]
    epochs: int
    students: int
    live: float
    read: float
    write: float
    size: float
    dense: float
    differs: str = ""

    @property
    def on_the_fly(self) -> float:
        """Seconds of all students, their teachers beside them."""
        return self.examples[0] * self.epochs * self.students * self.live

    @property
    def stored(self) -> tuple[float, float]:
        """Seconds of writing, and of all students."""
        return self.examples[1] * self.write, self.examples[0] * self.epochs * self.students * self.read

    def __str__(self) -> str:
        writing, students = self.stored
        cheaper = min(self.on_the_fly, writing + students)
        name = "on the fly" if cheaper == self.on_the_fly else "stored"
        lines = [
            f"{self.students} x {self.epochs} epochs of {self.examples[0]:,} examples",
            f"on the fly: {_duration(self.on_the_fly)}, {max(0.0, 1 - self.read / self.live):.0%} of it the teachers'",
            f"stored:     {_duration(writing + students)}, {_duration(writing)} of it to make them; "
            f"{self.examples[1] * self.size / 1e6:,.1f} MB, {100 * self.size / self.dense:.2f} % of dense float32",
            f"cheaper:    {name}, by {max(self.on_the_fly, writing + students) / cheaper:.1f} times",
        ]
        return "\n".join(lines + ([f"mind:       {self.differs}"] if self.differs else []))


def _duration(seconds: float) -> str:
    hours, minutes = divmod(round(seconds / 60), 60)
    if hours:
        return f"{hours} h {minutes:02} min"
    return f"{minutes} min" if minutes >= 10 else f"{seconds:.3g} s"


def measure(job: StudentJob, students: int, options: StoreOptions) -> Cost:
    """Times steps of a student taught both ways, and the writing of a sample of its targets; nothing is kept.

    Args:
        job: the student, with its teachers named.
        students: how many are to be trained.
        options: what would be stored of a frame.

    Raises:
        Refusal: the job names stored soft targets, or teachers that do not fit its examples.
    """
    if job.soft_targets is not None:
        raise Refusal("an estimate is of teachers", found="stored soft targets", do="name the teachers with --teacher")
    with torch_threads(job.student.threads or job.threads or jobs.cores()), tempfile.TemporaryDirectory() as temporary:
        folder, examples, temperature = Path(temporary), job.source.open(), job.distill.temperature
        writing_ensemble = Ensemble.load(job.teachers, job.distill.mean, device="auto")  # as `kdasr soft-targets` does
        options = replace(options, shard=min(options.shard, SAMPLE))
        maker = Maker(folder, writing_ensemble, examples, temperature, options)
        began = time.monotonic()
        record = maker.write([0])[0]
        writing, size = time.monotonic() - began, store.shard_path(folder, 0).stat().st_size
        maker.list_shards([record])
        sample = Sample(Store(folder, maker.options), temperature)
        ensemble = Ensemble.load(job.teachers, job.distill.mean, job.student.precision, job.student.device)
        taught = LiveTargets(ensemble, temperature, examples, job.distill.teachers_per_batch)
        trainers = [_trainer(job, folder, examples, targets) for targets in (taught, sample)]
        live, read = _steps(trainers)
        batch, frames = trainers[0].sampler.batch_size, record["frames"]
        return Cost(
            examples=(len(trainers[0].pool), len(examples)),
            epochs=job.student.epochs,
            students=students,
            live=live / batch,
            read=read / batch,
            write=writing / frames,
            size=size / frames,
            dense=4 * examples.num_classes,
            differs=_differences(job.student, job.distill),
        )


class Sample:
    """The first stored rows in place of all: what a batch of them costs is the same, what they teach is not."""

    def __init__(self, rows: Store, temperature: float) -> None:
        self.rows, self.temperature = rows, temperature

    def batch(self, index: Tensor, inputs: Tensor | None = None) -> Sparse:
        """p_T of other examples than `index` (B,), (B, S)."""
        return self.rows.read(index.numpy() % len(self.rows))


def _trainer(job: StudentJob, folder: Path, examples: Examples, targets: Targets) -> Trainer:
    model = initial(job.start, job.dnn)(examples)
    options = replace(job.student, epochs=STEPS + 1, schedule="linear", select="last")
    return Trainer(folder, model, examples, None, Distillation(targets, job.distill), options)


def _steps(trainers: Sequence[Trainer]) -> list[float]:
    """Seconds of a step of each: the fastest, since what else runs only adds; taken in turn, after one to warm up."""
    best = [math.inf] * len(trainers)
    for step in range(STEPS + 1):
        for number, trainer in enumerate(trainers):
            began = time.monotonic()
            trainer.train_step()
            if step:
                best[number] = min(best[number], time.monotonic() - began)
    return best


def _differences(student: TrainOptions, distill: DistillOptions) -> str:
    for name in student.moving:
        return f"student.{name} changes the images, which stored targets cannot follow"
    told = []
    if distill.teachers_per_batch:
        told.append(f"on the fly a batch asks {distill.teachers_per_batch} of the teachers, stored targets are of all")
    if hiding := [f"student.{name}" for name in student.hiding]:
        told.append(f"teachers on the fly see the student's altered input ({', '.join(hiding)}), stored targets do not")
    return "; ".join(told)
