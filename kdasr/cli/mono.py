"""`kdasr mono OUT`: monophone GMMs from a flat start."""

from __future__ import annotations

import time
from pathlib import Path

import click

from kdasr.cli import options


@click.command()
@options.settings
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--features", required=True, metavar="DIR", help="Cepstra of the training set.")
@click.option("--cuts", required=True, metavar="DIR", help="Its cuts, for the transcripts.")
@click.option("--lang", required=True, metavar="DIR", help="Made by `kdasr lang`.")
@options.num_local_jobs
def command(
    out: Path, features: str, cuts: str, lang: str, num_jobs: int, settings: options.Settings, overwrite: bool
) -> None:
    """Train monophone mixtures and transitions into OUT; sections `mono` and `align` of the settings."""
    from kdasr import io, log
    from kdasr.align.monophone import train
    from kdasr.data.table import FrameTable
    from kdasr.lang.language import read_language

    mono, align = settings.section("mono"), settings.section("align")
    inputs = {
        "features": options.fingerprint(features, "features"),
        "cuts": options.fingerprint(cuts, "corpus"),
        "lang": options.fingerprint(lang, "lang"),
    }
    if not io.begin(out, io.Made("mono", {"mono": mono, "align": align}, inputs), overwrite):
        return
    begin = time.perf_counter()
    language, table = read_language(lang), FrameTable(features)
    model, lost = train(table, options.transcripts(cuts), language.lexicon, mono, align, num_jobs)
    model.write(out)
    seconds = time.perf_counter() - begin
    facts = {
        "num_gaussians": len(model.gmm),
        "num_pdfs": model.table.num_pdfs,
        "topology": model.topology.fingerprint,
        "labelling": model.tree.fingerprint,
        "extractor": table.info.get("extractor"),
    }
    io.finish(out, **facts, not_aligned=lost, seconds=seconds)
    log.event(f"{out}: {len(model.gmm)} Gaussians of {model.table.num_pdfs} states in {seconds:.0f} s")
