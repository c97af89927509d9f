"""`kdasr soft-targets OUT`: an ensemble's soft targets, stored for each frame."""

from __future__ import annotations

from pathlib import Path

import click

from kdasr.cli import options, sets


@click.command()
@options.settings
@click.argument("out", type=click.Path(path_type=Path))
@sets.training_set
@click.option(
    "--teacher",
    "teachers",
    required=True,
    multiple=True,
    metavar="DIR",
    help="Model, or folder of members; repeatable.",
)
def command(
    out: Path, train: sets.SetNames, teachers: tuple[str, ...], settings: options.Settings, overwrite: bool
) -> None:
    """Write soft targets into OUT, at the temperature and by the mean of the settings' section `distill`."""
    from kdasr import io
    from kdasr.distill import soft_targets
    from kdasr.distill.ensemble import Ensemble, fingerprints, model_folders

    source, distill = train.expected(settings), settings.section("distill")
    folders = model_folders([options.folder(teacher) for teacher in teachers])
    wanted = {"temperature": distill.temperature, "mean": distill.mean, source.section: source.options}
    inputs = {**source.fingerprints(), **fingerprints("teacher", folders)}
    if io.begin(out, io.Made("soft-targets", wanted, inputs), overwrite):
        soft_targets.make(out, Ensemble.load(folders, distill.mean, device="auto"), source.open(), distill.temperature)
