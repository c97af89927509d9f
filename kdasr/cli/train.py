"""`kdasr train OUT`: acoustic models on hard labels, one for each seed."""

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
@click.option(
    "--seeds", default="0", show_default=True, metavar="LIST", help="Seeds, as 0-4 or 0,1,2: one member each."
)
@sets.start
@options.num_jobs
def command(
    out: Path,
    train: sets.SetNames,
    dev: sets.SetNames,
    seeds: str,
    start: Path | None,
    num_jobs: int,
    settings: options.Settings,
    overwrite: bool,
) -> None:
    """Train OUT/member-<seed> for each seed; sections `train`, `dnn` and `frames` or `images` of the settings.

    With --start they go on from a trained model, whose architecture is theirs, and differ in the order of the examples.
    """
    from kdasr.train.job import train_members

    job = replace(sets.train_job(out, settings, train, dev, overwrite), start=start)
    train_members(job, sets.seeds(seeds), num_jobs)
