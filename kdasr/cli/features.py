"""`kdasr features OUT`: filterbanks or cepstra of a set's cuts as a memory-mapped frame table."""

from __future__ import annotations

from pathlib import Path

import click

from kdasr.cli import options


@click.command()
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--type", "kind", default="fbank", show_default=True, metavar="TYPE", help="fbank or mfcc.")
@click.option("--cuts", required=True, metavar="DIR", help="Made by `kdasr corpus`, or a lhotse file.")
@options.num_jobs
@options.settings
def command(out: Path, kind: str, cuts: str, num_jobs: int, settings: options.Settings, overwrite: bool) -> None:
    """Write the features of the cuts of DIR into OUT; raw, unless `fbank.cmvn=speaker` normalises filterbanks."""
    from kdasr import features
    from kdasr.features import compute

    extractor = features.extractor_type(kind)(settings.section(kind))
    compute.compute(out, extractor, options.cuts_at(cuts), num_jobs, overwrite)
