"""`kdasr lm OUT`: an n-gram, trained on transcripts or given."""

from __future__ import annotations

from pathlib import Path

import click

from kdasr.cli import options
from kdasr.refusal import Refusal


@click.command()
@options.settings
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--cuts", metavar="DIR", help="Cuts on whose transcripts an n-gram is trained.")
@click.option("--arpa", metavar="FILE", help="A given n-gram instead.")
def command(out: Path, cuts: str | None, arpa: str | None, settings: options.Settings, overwrite: bool) -> None:
    """Write OUT/lm.arpa; section `lm` of the settings."""
    from kdasr import io
    from kdasr.lang.lm import ARPA, read_arpa, train_ngram

    if (cuts is None) == (arpa is None):
        raise Refusal("one source of the n-gram is wanted", where="kdasr lm", expected="--cuts DIR or --arpa FILE")
    if arpa is not None:
        text = read_arpa(arpa)
        if io.begin(out, io.Made("lm", {}, {"arpa": io.fingerprint(arpa)}), overwrite):
            io.write_text(out / ARPA, text)
            io.finish(out)
    elif cuts is not None:
        lm = settings.section("lm")
        if io.begin(out, io.Made("lm", lm, {"cuts": options.fingerprint(cuts, "corpus")}), overwrite):
            train_ngram(list(options.transcripts(cuts).values()), out / ARPA, lm.order)
            io.finish(out)
