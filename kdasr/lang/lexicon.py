"""The lexicon: words, their pronunciations, silence and the unknown word; and the symbol tables of all graphs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from kdasr import io
from kdasr.refusal import Refusal

Pronunciation = tuple[str, ...]
COMMENTS = ("#", ";;;")  # the second is the CMU dictionary's
RESERVED = ("<s>", "</s>", "<eps>")  # of n-grams and graphs


@dataclass(frozen=True)
class LangOptions:
    """Options of the lexicon and the phone HMMs.

    Attributes:
        silence_phone: optional between words, before the first and after the last.
        silence_probability: of silence at each of these places (Kaldi's: 0.5).
        unknown_word: takes the place of a word that the lexicon lacks.
        unknown_phone: its pronunciation, with silence's topology.
        noise_words: words spoken by noise phones: `WORD=PHONE`; such phones get silence's topology.
        silence_states: emitting states of silence and noise phones (Kaldi's: 5).
        states: emitting states of all other phones, left to right.
    """

    silence_phone: str = "SIL"
    silence_probability: float = 0.5
    unknown_word: str = "<UNK>"
    unknown_phone: str = "SPN"
    noise_words: tuple[str, ...] = ()
    silence_states: int = 5
    states: int = 3

    def __post_init__(self) -> None:
        if not 0 < self.silence_probability < 1:
            raise ValueError(f"silence_probability must lie between 0 and 1, found {self.silence_probability}")
        if self.silence_states < 2 or self.states < 1:
            raise ValueError("silence_states must be at least 2, states at least 1")
        for noise in self.noise_words:
            if noise.count("=") != 1:
                raise ValueError(f"noise_words are WORD=PHONE, found {noise!r}")


@dataclass(frozen=True)
class Lexicon:
    """Pronunciations by word (several are variants), with silence and the unknown word set apart.

    Attributes:
        pronunciations: word -> its pronunciations in the order of the file; the unknown word is among them.
        options: silence and unknown-word symbols.
    """

    pronunciations: dict[str, list[Pronunciation]]
    options: LangOptions = field(default_factory=LangOptions)

    @property
    def silence_phones(self) -> tuple[str, ...]:
        """Phones with silence's topology: silence, the unknown word's phone, noises."""
        noises = (noise.partition("=")[2] for noise in self.options.noise_words)
        return tuple(dict.fromkeys((self.options.silence_phone, self.options.unknown_phone, *noises)))

    @cached_property
    def phones(self) -> list[str]:
        """All phones, silences first, the others sorted; a phone's number is its place here, from 1 (0 is epsilon)."""
        spoken = {phone for variants in self.pronunciations.values() for variant in variants for phone in variant}
        return [*self.silence_phones, *sorted(spoken - set(self.silence_phones))]

    @cached_property
    def phone_ids(self) -> dict[str, int]:
        """Phone -> its number, from 1."""
        return {phone: number for number, phone in enumerate(self.phones, start=1)}

    @cached_property
    def words(self) -> list[str]:
        """All words, sorted; a word's number is its place here, from 1 (0 is epsilon)."""
        return sorted(self.pronunciations)

    @cached_property
    def word_ids(self) -> dict[str, int]:
        """Word -> its number, from 1."""
        return {word: number for number, word in enumerate(self.words, start=1)}

    def known(self, text: str) -> list[str]:
        """The words of a transcript, each that the lexicon lacks replaced by the unknown word."""
        return [word if word in self.pronunciations else self.options.unknown_word for word in text.split()]

    def unknown_words(self, texts: Iterable[str]) -> Counter[str]:
        """The words that the lexicon lacks, with their counts."""
        return Counter(word for text in texts for word in text.split() if word not in self.pronunciations)

    def write(self, path: str | Path) -> None:
        """Writes `WORD PH PH` lines, one a pronunciation, in word order."""
        lines = (f"{word} {' '.join(variant)}\n" for word in self.words for variant in self.pronunciations[word])
        io.write_text(path, "".join(lines))


def read_lexicon(path: str | Path, options: LangOptions | None = None) -> Lexicon:
    """Reads `WORD PH PH ...` lines; further lines of a word, or `WORD(2)`, are variants; `#` and `;;;` begin comments.

    Args:
        path: text file in UTF-8.
        options: silence, unknown word and noise words, which are added.

    Raises:
        Refusal: the file is absent, empty or no text, a line has no phones, or its word is a reserved symbol.
    """
    options = options or LangOptions()
    path = Path(path)
    pronunciations: dict[str, list[Pronunciation]] = {}
    text = io.read_text(path, "lexicon", "name a file of `WORD PHONE PHONE ...` lines")
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip() and not line.startswith(COMMENTS):
            _add_line(pronunciations, line.split(), f"{path}:{number}")
    if not pronunciations:
        raise Refusal("the lexicon is empty", where=path, expected="`WORD PHONE PHONE ...` lines")
    for noise in options.noise_words:
        word, _, phone = noise.partition("=")
        pronunciations[word] = [(phone,)]
    pronunciations.setdefault(options.unknown_word, [(options.unknown_phone,)])
    return Lexicon(pronunciations, options)


def _add_line(pronunciations: dict[str, list[Pronunciation]], fields: Sequence[str], where: str) -> None:
    word, phones = fields[0], tuple(fields[1:])
    base, bracket, variant = word.rpartition("(")
    if bracket and base and variant[:-1].isdigit() and variant.endswith(")"):
        word = base
    if not phones:
        raise Refusal(
            f"the word {word!r} has no phones",
            where=where,
            expected="WORD PHONE PHONE ...",
            found=" ".join(fields),
            do="give it phones or take the line out",
        )
    if word in RESERVED or word.startswith("#"):
        raise Refusal(f"{word!r} is not a word", where=where, do="take it out of the lexicon")
    if phones not in pronunciations.setdefault(word, []):
        pronunciations[word].append(phones)
