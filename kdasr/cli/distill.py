"""`kdasr distill OUT`: a student on soft targets."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click

from kdasr.cli import options, sets


@click.command()
@options.settings
@click.argument("out", type=click.Path(path_type=Path))
@sets.training_set
@sets.dev_set
@sets.targets
@click.option("--seed", type=int, help="Seed of the student; wins over student.seed.")
def command(
    out: Path,
    features: str,
    ali: str,
    dev_features: str | None,
    dev_ali: str | None,
    soft_targets: str | None,
    teachers: tuple[str, ...],
    seed: int | None,
    settings: options.Settings,
    overwrite: bool,
) -> None:
    """Train a student into OUT; sections `student`, `dnn`, `distill` and `frames` of the settings."""
    from kdasr.distill.student import train_student

    job = sets.student_job(out, settings, features, ali, (dev_features, dev_ali), (soft_targets, teachers), overwrite)
    train_student(job if seed is None else replace(job, student=replace(job.student, seed=seed)))
