"""`kdasr export OUT`: nets as one ONNX file."""

from __future__ import annotations

from pathlib import Path

import click

from kdasr.cli import options


@click.command()
@options.settings
@click.argument("out", type=click.Path(path_type=Path))
@options.models
@click.option("--int8", is_flag=True, help="Weights of 8 bits: a quarter of the size.")
def command(out: Path, models: tuple[str, ...], int8: bool, settings: options.Settings, overwrite: bool) -> None:
    """Write DNNs of frames as OUT/model.onnx: `features` (frames, F) to `log_posteriors` (frames, states).

    Context, normalisation and the mean of an ensemble (section `distill` of the settings) are inside. `kdasr decode`
    and `kdasr bundle` take OUT as a model.
    """
    from kdasr.distill.ensemble import model_folders
    from kdasr.distill.onnx import export

    folders = model_folders([options.folder(model) for model in models])
    export(out, folders, settings.section("distill").mean, int8, overwrite)
