"""`kdasr grid OUT`: settings of a baseline or a student chosen on the development set."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click

from kdasr.cli import options, sets


@click.command()
@options.settings
@click.argument("out", type=click.Path(path_type=Path))
@click.option(
    "--kind",
    type=click.Choice(["train", "distill"]),
    default="train",
    show_default=True,
    help="Which verb trains.",
)
@click.option(
    "--vary",
    multiple=True,
    required=True,
    metavar="SECTION.NAME=V,V",
    help="Values of one setting; repeatable.",
)
@sets.training_set
@sets.dev_set
@sets.targets
@options.num_jobs
def command(
    out: Path,
    kind: str,
    vary: tuple[str, ...],
    train: sets.SetNames,
    dev: sets.SetNames,
    soft_targets: str | None,
    teachers: tuple[str, ...],
    num_jobs: int,
    settings: options.Settings,
    overwrite: bool,
) -> None:
    """Train every combination of the values in a folder of its own; print dev accuracies, best first."""
    from kdasr.distill import grid
    from kdasr.distill.student import StudentJob
    from kdasr.train.job import TrainJob, threads_each

    cells = grid.cells(vary)
    dev.expected(settings)
    work: list[TrainJob | StudentJob] = []
    for cell in cells:
        own = options.Settings(settings.conf, (*settings.overrides, *cell.overrides), settings.part)
        if kind == "train":
            work.append(sets.train_job(out / cell.name, own, train, dev, overwrite))
        else:
            work.append(sets.student_job(out / cell.name, own, train, dev, (soft_targets, teachers), overwrite))
    share = threads_each(num_jobs, len(work))
    rows = grid.run(out, cells, [replace(job, threads=share) for job in work], num_jobs)
    click.echo(grid.table(rows, [name for name, _ in cells[0].values]), nl=False)
