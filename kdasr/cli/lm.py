"""`kdasr lm OUT`: an n-gram, trained on transcripts or a text, or given."""

from __future__ import annotations

from pathlib import Path

import click

from kdasr.cli import options
from kdasr.refusal import Refusal


@click.command()
@options.settings
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--cuts", metavar="DIR", help="Cuts on whose transcripts an n-gram is trained.")
@click.option("--text", metavar="FILE", help="A text instead, a sentence a line; .gz is unpacked.")
@click.option("--arpa", metavar="FILE", help="A given n-gram instead; .gz is unpacked.")
@click.option("--lang", metavar="DIR", help="Made by `kdasr lang`; a trained n-gram has its words alone.")
def command(
    out: Path,
    cuts: str | None,
    text: str | None,
    arpa: str | None,
    lang: str | None,
    settings: options.Settings,
    overwrite: bool,
) -> None:
    """Write OUT/lm.arpa; section `lm` of the settings."""
    from kdasr import io, log
    from kdasr.lang.language import read_language
    from kdasr.lang.lm import ARPA, read_arpa
    from kdasr.lang.ngram import read_sentences, train_ngram

    if [cuts, text, arpa].count(None) != 2:
        expected = "--cuts DIR, --text FILE or --arpa FILE"
        raise Refusal("one source of the n-gram is wanted", where="kdasr lm", expected=expected)
    if arpa is not None:
        if lang is not None:
            raise Refusal("a given n-gram is taken as it is", where=f"--arpa {arpa}", do="leave --lang out")
        content = read_arpa(arpa)
        if io.begin(out, io.Made("lm", {}, {"arpa": io.fingerprint(arpa)}), overwrite):
            io.write_text(out / ARPA, content)
            io.finish(out)
        return
    lm = settings.section("lm")
    source = {"cuts": options.fingerprint(cuts, "corpus")} if cuts else {"text": io.fingerprint(text or "")}
    inputs = source | ({"lang": options.fingerprint(lang, "lang")} if lang else {})
    lexicon = read_language(lang).lexicon if lang else None
    known = lexicon.pronunciations.keys() - {lexicon.options.unknown_word} if lexicon else None
    if not io.begin(out, io.Made("lm", lm, inputs), overwrite):
        return
    sentences = list(options.transcripts(cuts).values()) if cuts else read_sentences(text or "")
    facts = train_ngram(sentences, out / ARPA, lm, known)
    io.finish(out, **facts)
    sizes = ", ".join(f"{size} {order}-grams" for order, size in enumerate(facts["num_ngrams"], start=1))
    log.event(f"{out}: {sizes}; {facts['outside']:.2%} of the text's words are outside the vocabulary")
