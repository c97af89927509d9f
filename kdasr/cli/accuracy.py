"""`kdasr accuracy OUT`: how well a model or an ensemble knows the labels of a set."""

from __future__ import annotations

from pathlib import Path

import click

from kdasr.cli import options, sets


@click.command()
@options.settings
@click.argument("out", type=click.Path(path_type=Path))
@sets.training_set
@click.option(
    "--model",
    "model_dirs",
    required=True,
    multiple=True,
    metavar="DIR",
    help="Model, or folder of members; repeatable.",
)
@click.option("--name", default="", help="Name of the system in tables.")
def command(
    out: Path,
    train: sets.SetNames,
    model_dirs: tuple[str, ...],
    name: str,
    settings: options.Settings,
    overwrite: bool,
) -> None:
    """Write accuracy and cross-entropy of the ensemble (by `distill.mean`) and of each member into OUT."""
    from kdasr.distill.accuracy import score_models
    from kdasr.distill.ensemble import model_folders

    source, mean = train.expected(settings), settings.section("distill").mean
    folders = model_folders([options.folder(model) for model in model_dirs])
    click.echo(f"{name or out}: {score_models(out, folders, source, mean, name, overwrite)}")
