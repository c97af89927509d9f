"""`kdasr corpus NAME OUT`: find or make a corpus, validate it, write lhotse cuts and the lexicon, or images."""

from __future__ import annotations

from pathlib import Path

import click

from kdasr import corpora
from kdasr.cli import options


@click.command()
@click.argument("name", metavar="NAME")
@click.argument("out", type=click.Path(path_type=Path))
@click.option(
    "--corpus",
    type=click.Path(path_type=Path),
    help="Folder of the corpus; left out, the usual places are tried.",
)
@options.num_jobs
@options.settings
def command(
    name: str, out: Path, corpus: Path | None, num_jobs: int, settings: options.Settings, overwrite: bool
) -> None:
    """Write OUT/<set> of the corpus NAME: cuts of digits, an4, yesno, librispeech, own or kaldi, images of mnist.

    A corpus with a lexicon of its own (not librispeech, own and kaldi) has it in OUT/lexicon.
    """
    corpora.module(name)
    corpora.prepare(name, out, settings.section(name), corpus, num_jobs, overwrite)
