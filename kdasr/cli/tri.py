"""`kdasr tri OUT`: GMMs of tied triphone states, from the alignment of the model before."""

from __future__ import annotations

import time
from pathlib import Path

import click

from kdasr.cli import options


@click.command()
@options.settings
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--model", required=True, metavar="DIR", help="GMM of the pass before.")
@click.option("--ali", required=True, metavar="DIR", help="Its alignment of the training set.")
@click.option("--features", required=True, metavar="DIR", help="Cepstra of the training set.")
@click.option("--cuts", required=True, metavar="DIR", help="Its cuts, for the transcripts.")
@click.option("--lang", required=True, metavar="DIR", help="Made by `kdasr lang`.")
@options.num_local_jobs
def command(
    out: Path,
    model: str,
    ali: str,
    features: str,
    cuts: str,
    lang: str,
    num_jobs: int,
    settings: options.Settings,
    overwrite: bool,
) -> None:
    """Train tree, mixtures and transitions into OUT; sections `tri`, `tree` and `align` of the settings."""
    from kdasr import io, log
    from kdasr.align.model import VERBS, expect_cepstra, expect_topology, read_model
    from kdasr.align.triphone import train
    from kdasr.data.table import FrameTable
    from kdasr.lang.language import read_language

    tri, tree, align = (settings.section(name) for name in ("tri", "tree", "align"))
    inputs = {
        "model": options.fingerprint(model, *VERBS),
        "ali": options.fingerprint(ali, "align"),
        "features": options.fingerprint(features, "features"),
        "cuts": options.fingerprint(cuts, "corpus"),
        "lang": options.fingerprint(lang, "lang"),
    }
    language, previous, alignment = read_language(lang), read_model(model), FrameTable(ali)
    expect_topology(model, language.topology.fingerprint)
    do = "name the alignment that this model made"
    io.expect_same("states of model and alignment", previous.tree.fingerprint, alignment.info["topology"], ali, do)
    table = FrameTable(features)
    expect_cepstra(previous, table)
    if not io.begin(out, io.Made("tri", {"tri": tri, "tree": tree, "align": align}, inputs), overwrite):
        return
    begin = time.perf_counter()
    texts = options.transcripts(cuts)
    found, lost = train(table, texts, language.lexicon, previous, alignment, tri, tree, align, num_jobs)
    found.write(out)
    seconds = time.perf_counter() - begin
    facts = {
        "num_gaussians": len(found.gmm),
        "num_pdfs": found.table.num_pdfs,
        "topology": found.topology.fingerprint,
        "labelling": found.tree.fingerprint,
        "extractor": found.extractor,
    }
    io.finish(out, **facts, not_aligned=lost, seconds=seconds)
    log.event(f"{out}: {len(found.gmm)} Gaussians of {found.table.num_pdfs} states in {seconds:.0f} s")
