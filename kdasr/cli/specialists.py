"""`kdasr specialists OUT`: a net for each subset of confusable classes."""

from __future__ import annotations

from pathlib import Path

import click

from kdasr.cli import options, sets
from kdasr.refusal import Refusal


@click.command()
@options.settings
@click.argument("out", type=click.Path(path_type=Path))
@sets.generalist
@click.option("--subsets", required=True, metavar="DIR", help="Subsets of that generalist's classes.")
@click.option("--only", metavar="LIST", help="Numbers of the subsets, as 0-4 or 0,3; default: all.")
@sets.training_set
@sets.dev_set
@options.num_jobs
def command(
    out: Path,
    model: str,
    subsets: str,
    only: str | None,
    train: sets.SetNames,
    dev: sets.SetNames,
    num_jobs: int,
    settings: options.Settings,
    overwrite: bool,
) -> None:
    """Train OUT/specialist-<m> for each subset; section `specialist`, and `distill` where its kind is `full`.

    Each is independent of the others: what was finished is kept when it is called again.
    """
    from kdasr import io
    from kdasr.specialists.subsets import VERB, read_subsets
    from kdasr.specialists.training import SpecialistJob, one_model, train_specialists

    generalist = one_model(options.folder(model))
    found = dict(enumerate(read_subsets(options.folder(subsets), generalist)))
    chosen = sets.numbers(only, "--only", "subsets") if only else list(found)
    if unknown := [number for number in chosen if number not in found]:
        raise Refusal("no such subset", where=f"--only {only}", expected=f"0 to {len(found) - 1}", found=unknown[0])
    wanted = settings.section("specialist"), settings.section("distill")
    of = io.fingerprint(options.folder(subsets), VERB), len(found)
    job = SpecialistJob(
        out, train.expected(settings), dev.source(settings), generalist, (), *wanted, *of, overwrite=overwrite
    )
    train_specialists(job, {number: found[number] for number in chosen}, num_jobs)
