"""`kdasr attach OUT`: soft targets on lhotse cuts, for training loops of anybody's."""

from __future__ import annotations

from pathlib import Path

import click

from kdasr.cli import options


@click.command()
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--soft-targets", required=True, metavar="DIR", help="Of the cuts' ids.")
@click.option("--cuts", required=True, metavar="CUTS", help="The cuts: a lhotse file, or a folder of `kdasr corpus`.")
@click.option("--overwrite", is_flag=True, help="Make the output again if other inputs made it.")
def command(out: Path, soft_targets: str, cuts: str, overwrite: bool) -> None:
    """Write OUT/cuts.jsonl.gz: the cuts, each with its soft targets as the temporal array `soft_targets`.

    Nothing is copied: the arrays name the folder, by its absolute path. Cuts without soft targets are left out.
    """
    from kdasr.exchange.cuts import attach_folder

    attach_folder(out, options.folder(soft_targets), options.cuts_at(cuts), overwrite)
