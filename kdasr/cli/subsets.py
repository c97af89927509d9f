"""`kdasr subsets OUT`: classes that a generalist confuses, as subsets for specialists."""

from __future__ import annotations

from pathlib import Path

import click

from kdasr.cli import options, sets


@click.command()
@options.settings
@click.argument("out", type=click.Path(path_type=Path))
@sets.generalist
@sets.training_set
def command(out: Path, model: str, train: sets.SetNames, settings: options.Settings, overwrite: bool) -> None:
    """Write subsets into OUT, as section `subsets` says, of the predictions on a set; its labels are not looked at."""
    from kdasr.specialists.subsets import SubsetsJob, listing, make_subsets
    from kdasr.specialists.training import one_model

    generalist = one_model(options.folder(model))
    make_subsets(SubsetsJob(out, train.expected(settings), generalist, settings.section("subsets"), overwrite))
    click.echo(listing(out, 10))
