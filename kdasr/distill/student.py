"""One student, one folder: trained on a teacher's soft targets and the hard labels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from kdasr import io, jobs
from kdasr.data.examples import Examples, Source
from kdasr.distill.ensemble import VERBS, Ensemble, fingerprints, model_folders
from kdasr.distill.loss import DistillOptions
from kdasr.distill.soft_targets import VERB, Distillation, LiveTargets, SoftTargets
from kdasr.models.dnn import DnnOptions
from kdasr.refusal import Refusal
from kdasr.train.job import fit, initial, initial_made, inputs, threads_each
from kdasr.train.loop import TrainOptions
from kdasr.train.together import ranks


@dataclass(frozen=True)
class StudentJob:
    """One student to train; travels to a worker process. Its targets are stored, or computed by `teachers`."""

    folder: Path
    source: Source
    dev: Source | None
    soft_targets: Path | None
    teachers: tuple[Path, ...]
    student: TrainOptions
    dnn: DnnOptions
    distill: DistillOptions
    threads: int = 0
    overwrite: bool = False
    start: Path | None = None  # a trained model to go on from, in place of a new net

    def __post_init__(self) -> None:
        if (self.soft_targets is None) == (not self.teachers):
            raise Refusal(
                "a student learns from stored soft targets or from teachers",
                do="name --soft-targets or --teacher, one of them",
            )
        if self.student.folds:
            do = "set train.folds of its teachers, and 0 here"
            raise Refusal("a student leaves out no fold", where="student.folds", found=self.student.folds, do=do)
        if self.soft_targets and self.distill.teachers_per_batch:
            found, do = self.distill.teachers_per_batch, "name the teachers with --teacher, or set it to 0"
            raise Refusal("stored soft targets are of all", where="distill.teachers_per_batch", found=found, do=do)
        if self.soft_targets and self.distill.start == "teacher" and not self.start:
            do = "name the teachers with --teacher, or a model with --start"
            raise Refusal("stored soft targets hold no weights", where="distill.start", found="teacher", do=do)
        for name, value in self.student.moving.items() if self.soft_targets else ():
            raise Refusal(
                "stored soft targets are of images as they are",
                where=f"student.{name}",
                expected=0,
                found=value,
                do="name the teachers with --teacher in place of --soft-targets, or set it to 0",
            )

    @property
    def first(self) -> Path | None:
        """The model whose weights it begins with; None for random ones.

        Raises:
            Refusal: it is a teacher of another architecture than the student's.
        """
        if self.start or self.distill.start == "random":
            return self.start
        folders = model_folders(self.teachers)
        teacher = folders[self.student.seed % len(folders)]
        theirs, own = io.read_info(teacher, *VERBS)["model"]["options"], asdict(self.dnn)
        do = "set dnn as the teachers have it, or distill.start=random"
        io.expect_same("a student that starts as its teacher", theirs, own, teacher, do)
        return teacher

    @property
    def made(self) -> io.Made:
        """What makes the folder."""
        options, found = initial_made(self.first, self.dnn)
        options |= {} if self.start else {"dnn": self.dnn}
        options |= {
            "student": self.student,
            "distill": self.distill,
            self.source.section: self.source.options,
        }
        targets = (
            {"soft_targets": io.fingerprint(self.soft_targets, VERB)}
            if self.soft_targets
            else fingerprints("teacher", model_folders(self.teachers))
        )
        return io.Made("distill", options, {**inputs(self.source, self.dev), **found, **targets})

    def objective(self, examples: Examples) -> Distillation:
        """The loss, its targets opened."""
        if self.soft_targets is not None:
            stored = SoftTargets(self.soft_targets, examples, self.distill.temperature)
            io.expect_same(
                "the mean of the soft targets",
                self.distill.mean,
                stored.info["mean"],
                self.soft_targets,
                "make them anew",
            )
            return Distillation(stored, self.distill)
        ensemble = Ensemble.load(self.teachers, self.distill.mean, self.student.precision, self.student.device)
        live = LiveTargets(ensemble, self.distill.temperature, examples, self.distill.teachers_per_batch)
        return Distillation(live, self.distill)


def train_student(job: StudentJob) -> dict[str, Any]:
    """Trains one student into its folder, or goes on with it; returns its info."""
    if ranks().from_first(lambda: io.begin(job.folder, job.made, job.overwrite)):
        facts = {"temperature": job.distill.temperature}
        build = initial(job.first, job.dnn)
        fit(job.folder, job.source, job.dev, job.student, build, job.objective, job.threads, **facts)
    return io.read_info(job.folder)


def train_students(job: StudentJob, seeds: Sequence[int], num_jobs: int) -> list[dict[str, Any]]:
    """Trains students that differ by seed alone, each in `student-<seed>` below the job's folder.

    Args:
        job: the settings of all.
        seeds: one a student.
        num_jobs: processes at most.

    Returns:
        The students' infos, in the order of the seeds.
    """
    share = job.threads or threads_each(num_jobs, len(seeds))
    students = [
        replace(job, folder=job.folder / f"student-{seed}", student=replace(job.student, seed=seed), threads=share)
        for seed in seeds
    ]
    return jobs.run(train_student, students, num_jobs if ranks().size == 1 else 1, share, str(job.folder))
