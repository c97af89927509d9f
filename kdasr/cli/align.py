"""`kdasr align OUT`: when every state, phone and word of a set is spoken."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from kdasr.cli import options
from kdasr.refusal import Refusal


@click.command()
@options.settings
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--model", required=True, metavar="DIR", help="GMM, made by `kdasr mono` or `kdasr tri`.")
@click.option("--features", metavar="DIR", help="Cepstra of the set; left out, they are computed as the model's own.")
@click.option("--cuts", required=True, metavar="PLACE", help="Made by `kdasr corpus`, or any lhotse file of cuts.")
@click.option("--lang", required=True, metavar="DIR", help="Made by `kdasr lang`.")
@click.option(
    "--format",
    "formats",
    multiple=True,
    metavar="FORMAT",
    help="Write times of words, phones and states too, into OUT/FORMAT: ctm, textgrid (Praat) or lhotse; repeatable.",
)
@options.num_jobs
def command(
    out: Path,
    model: str,
    features: str | None,
    cuts: str,
    lang: str,
    formats: tuple[str, ...],
    num_jobs: int,
    settings: options.Settings,
    overwrite: bool,
) -> None:
    """Write the forced alignment of the cuts, a transition id a frame, into OUT; section `align` of the settings."""
    from kdasr import io
    from kdasr.align.model import VERBS, expect_topology
    from kdasr.features import compute, extractor_of
    from kdasr.lang.language import read_language

    align, place = settings.section("align"), options.cuts_at(cuts)
    inputs = {
        "model": options.fingerprint(model, *VERBS),
        **({"features": options.fingerprint(features, "features")} if features else {}),
        "cuts": options.fingerprint(cuts, "corpus"),
        "lang": options.fingerprint(lang, "lang"),
    }
    language, extractor = read_language(lang), None if features else _extractor(model)
    expect_topology(model, language.topology.fingerprint)
    _expect(formats, place, extractor)
    if io.begin(out, io.Made("align", align, inputs), overwrite):
        if extractor:
            compute.compute(out / "features", extractor_of(extractor), place, num_jobs, overwrite)
        _align(out, model, Path(features or out / "features"), place, language.lexicon, align, num_jobs)
    for name in formats:
        _write(out, name, model, place, language.lexicon, overwrite)


def _extractor(model: str) -> dict[str, Any]:
    from kdasr import io

    found: dict[str, Any] | None = io.read_info(model).get("extractor")
    if not found:
        raise Refusal("the model does not tell of its features", where=model, do="name them with --features DIR")
    return found


def _expect(formats: Sequence[str], place: Path, extractor: dict[str, Any] | None) -> None:
    from kdasr.align import formats as known
    from kdasr.align import utterances
    from kdasr.corpora.manifests import load_cuts

    known.expect_known(formats)
    if formats:
        utterances.expect_one_supervision(load_cuts(place), place)
    if extractor:
        utterances.expect_rate(load_cuts(place), extractor["sampling_rate"], place)


def _align(out: Path, model: str, features: Path, cuts: Path, lexicon: Any, align: Any, num_jobs: int) -> None:
    from kdasr import io, log
    from kdasr.align.forced import write_alignment
    from kdasr.data.table import FrameTable

    begin = time.perf_counter()
    texts = options.transcripts(cuts)
    facts = write_alignment(out, model, FrameTable(features), texts, lexicon, align, num_jobs)
    if unknown := lexicon.unknown_words(texts.values()):
        named = " ".join(word for word, _ in unknown.most_common(10))
        log.event(f"{cuts}: {sum(unknown.values())} running words are not in the lexicon: {named}")
    seconds = time.perf_counter() - begin
    io.finish(out, **facts, seconds=seconds)
    log.event(f"{out}: {facts['num_utterances']} utterances, {facts['num_frames']} frames aligned in {seconds:.1f} s")


def _write(out: Path, name: str, model: str, cuts: Path, lexicon: Any, overwrite: bool) -> None:
    from kdasr import io
    from kdasr.align.formats import write_timings
    from kdasr.align.model import read_model
    from kdasr.corpora.manifests import load_cuts
    from kdasr.data.table import FrameTable

    inputs = {"alignment": io.fingerprint(out), "cuts": io.fingerprint(cuts)}
    if io.begin(out / name, io.Made("align times", {"format": name}, inputs), overwrite):
        by_id = {cut.id: cut for cut in load_cuts(cuts)}
        count = write_timings(out / name, name, FrameTable(out), by_id, lexicon, read_model(model).tree)
        io.finish(out / name, num_utterances=count)
