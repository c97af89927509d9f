"""`kdasr lang OUT`: phones, words and HMM topology of a lexicon."""

from __future__ import annotations

from pathlib import Path

import click

from kdasr.cli import options


@click.command()
@options.settings
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--lexicon", required=True, metavar="FILE", help="`WORD PHONE PHONE ...` lines.")
@click.option("--cuts", multiple=True, metavar="DIR", help="Cuts whose unknown words are listed; repeatable.")
def command(out: Path, lexicon: str, cuts: tuple[str, ...], settings: options.Settings, overwrite: bool) -> None:
    """Write lexicon, symbol tables, topology and the list of unknown words into OUT; section `lang` of the settings."""
    from kdasr import io, log
    from kdasr.lang.language import write_language
    from kdasr.lang.lexicon import read_lexicon

    lang = settings.section("lang")
    inputs = {
        "lexicon": io.fingerprint(lexicon),
        **{f"cuts_{n}": options.fingerprint(c, "corpus") for n, c in enumerate(cuts)},
    }
    read = read_lexicon(lexicon, lang)  # before anything is begun: a line to be mended leaves no folder behind
    if not io.begin(out, io.Made("lang", lang, inputs), overwrite):
        return
    texts = (text for folder in cuts for text in options.transcripts(folder).values())
    facts = write_language(out, read, texts)
    io.finish(out, **facts)
    log.event(f"{out}: {facts['num_words']} words, {facts['num_phones']} phones, {facts['num_pdfs']} states")
