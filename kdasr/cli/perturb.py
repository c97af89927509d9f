"""`kdasr perturb OUT`: copies of cuts at other speeds."""

from __future__ import annotations

from pathlib import Path

import click

from kdasr.cli import options
from kdasr.refusal import Refusal


@click.command()
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--cuts", required=True, metavar="DIR", help="Made by `kdasr corpus`, or a lhotse file.")
@click.option(
    "--speed",
    default="0.9,1.1",
    show_default=True,
    metavar="LIST",
    help="Speeds; with 1 among them the cuts themselves are in the set too.",
)
@options.settings
def command(out: Path, cuts: str, speed: str, settings: options.Settings, overwrite: bool) -> None:
    """Write the cuts of DIR at other speeds, as one set OUT whose speakers are others at each speed.

    Its features may be aligned and trained on, or be a transfer set (`--transfer` of `kdasr distill`), which needs no
    alignment. The audio stays where it is.
    """
    from kdasr.corpora.perturbed import perturb

    try:
        speeds = [float(part) for part in speed.split(",")]
    except ValueError:
        raise Refusal("not a list of speeds", where=f"--speed {speed}", expected="numbers, as 0.9,1.1") from None
    perturb(out, options.cuts_at(cuts), speeds, overwrite)
