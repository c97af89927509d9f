"""`kdasr gain OUT`: what specialists add to their generalist on a set."""

from __future__ import annotations

from pathlib import Path

import click

from kdasr.cli import options, sets


@click.command()
@options.settings
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--model", required=True, metavar="DIR", help="Made by `kdasr joint`.")
@sets.training_set
def command(out: Path, model: str, train: sets.SetNames, settings: options.Settings, overwrite: bool) -> None:
    """Write accuracies into OUT: over all classes, within each subset, by how many specialists know the right class."""
    from kdasr.specialists.measures import score_gain, table

    click.echo(table(score_gain(out, options.folder(model), train.expected(settings), overwrite)))
