"""`kdasr accuracy OUT`: how well a model or an ensemble knows the labels of a set."""

from __future__ import annotations

from dataclasses import asdict, fields
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
    from kdasr import io
    from kdasr.distill.ensemble import Ensemble, fingerprints, model_folders, score
    from kdasr.train.accuracy import Score

    source, mean = train.expected(settings), settings.section("distill").mean
    folders = model_folders([options.folder(model) for model in model_dirs])
    inputs = {**source.fingerprints(), **fingerprints("model", folders)}
    if io.begin(out, io.Made("accuracy", {"name": name, "mean": mean}, inputs), overwrite):
        ensemble = Ensemble.load(folders, mean, device="auto")
        together, each = score(ensemble, source.open())
        members = [{"folder": folder, **asdict(member)} for folder, member in zip(ensemble.names, each, strict=True)]
        io.write_json(out / "accuracy.json", {"name": name, **asdict(together), "members": members})
        io.finish(out, name=name, **asdict(together), members=members)
    info = io.read_info(out)
    together = Score(**{field.name: info[field.name] for field in fields(Score)})
    click.echo(f"{name or out}: {together}")
