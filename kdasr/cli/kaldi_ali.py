"""`kdasr kaldi-ali OUT FILE...`: an alignment of pdfs out of Kaldi's archives."""

from __future__ import annotations

from pathlib import Path

import click

from kdasr.cli import options, sets


@click.command()
@options.settings
@click.argument("out", type=click.Path(path_type=Path))
@click.argument("places", metavar="FILE...", nargs=-1, required=True)
@click.option("--num-pdfs", type=click.IntRange(1, 1_000_000), required=True, metavar="N", help="As `hmm-info` tells.")
@click.option("--silence-pdfs", metavar="LIST", help="Pdfs of silence, as 0-4 or 0,7; left out: none.")
@click.option("--tree", type=click.Path(path_type=Path), help="Kaldi's tree, which tells this labelling from others.")
def command(
    out: Path,
    places: tuple[str, ...],
    num_pdfs: int,
    silence_pdfs: str | None,
    tree: Path | None,
    settings: options.Settings,
    overwrite: bool,
) -> None:
    """Write an alignment into OUT, which --ali takes as one of `kdasr align`: FILE is an archive as of `ali-to-pdf`.

    Text, gzipped archives and scp files are read too. Options --num-pdfs and --tree are the same for all sets.
    """
    from kdasr.exchange import kaldi_ali

    silence = sets.numbers(silence_pdfs, "--silence-pdfs", "pdfs") if silence_pdfs else []
    kaldi_ali.take(out, places, num_pdfs, silence, tree, overwrite)
