"""`kdasr align OUT`: one transition id for each frame of a set."""

from __future__ import annotations

import time
from pathlib import Path

import click

from kdasr.cli import options


@click.command()
@options.settings
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--model", required=True, metavar="DIR", help="GMM, made by `kdasr mono` or `kdasr tri`.")
@click.option("--features", required=True, metavar="DIR", help="Cepstra of the set.")
@click.option("--cuts", required=True, metavar="DIR", help="Its cuts, for the transcripts.")
@click.option("--lang", required=True, metavar="DIR", help="Made by `kdasr lang`.")
@options.num_jobs
def command(
    out: Path,
    model: str,
    features: str,
    cuts: str,
    lang: str,
    num_jobs: int,
    settings: options.Settings,
    overwrite: bool,
) -> None:
    """Write the forced alignment of the cuts into OUT; section `align` of the settings."""
    from kdasr import io, log
    from kdasr.align.forced import write_alignment
    from kdasr.align.model import VERBS, expect_topology
    from kdasr.data.table import FrameTable
    from kdasr.lang.language import read_language

    align = settings.section("align")
    inputs = {
        "model": options.fingerprint(model, *VERBS),
        "features": options.fingerprint(features, "features"),
        "cuts": options.fingerprint(cuts, "corpus"),
        "lang": options.fingerprint(lang, "lang"),
    }
    language = read_language(lang)
    expect_topology(model, language.topology.fingerprint)
    if not io.begin(out, io.Made("align", align, inputs), overwrite):
        return
    begin = time.perf_counter()
    facts = write_alignment(
        out, model, FrameTable(features), options.transcripts(cuts), language.lexicon, align, num_jobs
    )
    seconds = time.perf_counter() - begin
    io.finish(out, **facts, seconds=seconds)
    log.event(f"{out}: {facts['num_utterances']} utterances, {facts['num_frames']} frames aligned in {seconds:.1f} s")
