"""`kdasr kaldi-features OUT FILE...`: features out of Kaldi's archives, as a memory-mapped frame table."""

from __future__ import annotations

from pathlib import Path

import click

from kdasr.cli import options


@click.command()
@options.settings
@click.argument("out", type=click.Path(path_type=Path))
@click.argument("places", metavar="FILE...", nargs=-1, required=True)
@click.option("--utt2spk", type=click.Path(path_type=Path), help="Speakers; left out, each utterance is its own.")
def command(
    out: Path, places: tuple[str, ...], utt2spk: Path | None, settings: options.Settings, overwrite: bool
) -> None:
    """Write features into OUT, in place of `kdasr features`: FILE is feats.scp, or an archive; section `archive`.

    Compressed matrices and text are read too. Nothing is normalised: the nets do that, over their training set.
    """
    from kdasr.exchange import kaldi_features

    kaldi_features.take(out, places, settings.section("archive"), utt2spk, overwrite)
