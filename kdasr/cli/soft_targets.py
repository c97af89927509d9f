"""`kdasr soft-targets OUT`: an ensemble's soft targets, stored for each frame."""

from __future__ import annotations

from pathlib import Path

import click

from kdasr.cli import options, sets


@click.command()
@options.settings
@click.argument("out", type=click.Path(path_type=Path))
@sets.training_set
@sets.transfer_sets
@click.option(
    "--teacher",
    "teachers",
    required=True,
    multiple=True,
    metavar="DIR",
    help="Model, or folder of members; repeatable.",
)
@options.num_jobs
def command(
    out: Path,
    train: sets.SetNames,
    teachers: tuple[str, ...],
    num_jobs: int,
    settings: options.Settings,
    overwrite: bool,
) -> None:
    """Write soft targets into OUT, at the temperature and by the mean of section `distill`, as section `store` says."""
    from kdasr.distill.soft_targets import SoftTargetsJob, make

    folders = tuple(options.folder(teacher) for teacher in teachers)
    distill, store = settings.section("distill"), settings.section("store")
    make(SoftTargetsJob(out, train.expected(settings), folders, distill, store, overwrite), num_jobs)
