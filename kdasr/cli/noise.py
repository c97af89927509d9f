"""`kdasr noise OUT`: noisy copies of features, a transfer set."""

from __future__ import annotations

from pathlib import Path

import click

from kdasr.cli import options


@click.command()
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--features", required=True, metavar="DIR", help="Made by `kdasr features`.")
@options.settings
def command(out: Path, features: str, settings: options.Settings, overwrite: bool) -> None:
    """Write copies of features with Gaussian noise into OUT, as section `noise` says: a transfer set (`--transfer`).

    A student whose inputs are noisy wants targets of the same noise. Stored with these copies, they cost their
    teachers one look at each, however many passes the student makes.
    """
    from kdasr.features.noise import add_noise

    add_noise(out, options.folder(features), settings.section("noise"), overwrite)
