"""`kdasr distill OUT`: students on soft targets."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click

from kdasr.cli import options, sets


@click.command()
@options.settings
@click.argument("out", type=click.Path(path_type=Path))
@sets.training_set
@sets.transfer_sets
@sets.dev_set
@sets.targets
@click.option(
    "--seeds", default="0", show_default=True, metavar="LIST", help="Seeds, as 0-4 or 0,1,2: one student each."
)
@sets.start
@click.option(
    "--estimate",
    is_flag=True,
    help="Train nothing; tell what these teachers cost on the fly, and stored (section `store`).",
)
@options.num_jobs
def command(
    out: Path,
    train: sets.SetNames,
    dev: sets.SetNames,
    soft_targets: str | None,
    teachers: tuple[str, ...],
    seeds: str,
    start: Path | None,
    estimate: bool,
    num_jobs: int,
    settings: options.Settings,
    overwrite: bool,
) -> None:
    """Train OUT/student-<seed> for each seed; sections `student`, `dnn`, `distill` and `frames` or `images`.

    With --start they go on from a trained model, whose architecture is theirs: of the specialists' generalist, for one.
    """
    from kdasr.distill import cost
    from kdasr.distill.student import train_students

    job = replace(sets.student_job(out, settings, train, dev, (soft_targets, teachers), overwrite), start=start)
    if estimate:
        click.echo(cost.measure(job, len(sets.seeds(seeds)), settings.section("store")))
        return
    train_students(job, sets.seeds(seeds), num_jobs)
