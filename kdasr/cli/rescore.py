"""`kdasr rescore OUT`: kept lattices read at other weights, without a search."""

from __future__ import annotations

from pathlib import Path

import click

from kdasr.cli import options


@click.command()
@options.settings
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--lattices", required=True, metavar="DIR", help="Made by `kdasr decode --lattices`.")
@options.nbest
def command(out: Path, lattices: str, nbest: int, settings: options.Settings, overwrite: bool) -> None:
    """Write what `kdasr decode` writes into OUT, at the weights and penalties of section `decode` of the settings.

    N-best lists are ordered by `decode.acoustic_scale`, without a penalty. A weight far from the search's own
    finds only what its beams left.
    """
    from kdasr import io
    from kdasr.decode.hypotheses import rescore_set
    from kdasr.decode.lattice import LatticeReader

    decode = settings.section("decode")
    reader = LatticeReader(options.folder(lattices))
    read = {"lm_weights": decode.lm_weights, "penalties": decode.penalties}
    read |= {"nbest": nbest, "acoustic_scale": decode.acoustic_scale} if nbest else {}
    if io.begin(out, io.Made("rescore", {"decode": read}, {"lattices": io.fingerprint(lattices)}), overwrite):
        io.finish(out, **rescore_set(out, reader, decode, nbest))
