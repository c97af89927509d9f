"""When words, phones and states are spoken: an alignment's transition ids as intervals of time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from kdasr.align.segments import phone_segments
from kdasr.lang.lexicon import Lexicon
from kdasr.lang.tree import Tree
from kdasr.refusal import Refusal

WORD, PHONE, STATE = KINDS = ("word", "phone", "state")
NO_WORD = ""


class Interval(NamedTuple):
    """A word, phone or state from `begin` to `end`, in seconds from the start of the cut."""

    symbol: str
    begin: float
    end: float


Timing = dict[str, list[Interval]]  # by kind; the intervals of each follow each other without a gap


def timing(
    path: np.ndarray, text: str, lexicon: Lexicon, tree: Tree, duration: float, frame_shift: float = 0.01
) -> Timing:
    """The intervals of an aligned utterance.

    Args:
        path: transition ids, (T,) int.
        text: transcript that it was aligned to.
        lexicon: its words; those that it lacks keep their spelling, though they were aligned as the unknown word.
        tree: what the transition ids mean.
        duration: of the cut in seconds: where the last intervals end; the others end at multiples of the shift.
        frame_shift: seconds.

    Raises:
        Refusal: the phones do not spell the transcript.
    """
    names, table = tree.topology.phones, tree.table
    seconds = np.round(np.append(np.arange(len(path)) * frame_shift, duration), 6).tolist()
    numbers, edges = phone_segments(path, tree)
    phones = [names[number - 1] for number in numbers]
    words = list(spelling(phones, text, lexicon))
    begins = np.flatnonzero(np.append(True, ~table.is_self_loop[path[:-1]]))
    pdfs, pdf_names = table.pdf[path[begins]], tree.pdf_names()
    return {
        WORD: _intervals([word for word, _ in words], edges[[0, *(end for _, end in words)]], seconds),
        PHONE: _intervals(phones, edges, seconds),
        STATE: _intervals([pdf_names[pdf] for pdf in pdfs], np.append(begins, len(path)), seconds),
    }


def _intervals(symbols: Sequence[str], edges: np.ndarray, seconds: Sequence[float]) -> list[Interval]:
    return [
        Interval(symbol, seconds[begin], seconds[end])
        for symbol, begin, end in zip(symbols, edges[:-1], edges[1:], strict=True)
    ]


def spelling(phones: Sequence[str], text: str, lexicon: Lexicon) -> Iterator[tuple[str, int]]:
    """Which phones spell which word.

    Where two ways to cut the phones into the transcript's pronunciations exist, one is taken: the search had no reason
    to prefer either.

    Args:
        phones: of an utterance, silences between words among them.
        text: its transcript.
        lexicon: pronunciations.

    Yields:
        Words of the transcript, in order, and where silence is, no word; each with the number of phones up to its end.

    Raises:
        Refusal: the phones do not spell the transcript.
    """
    silence, spoken = lexicon.options.silence_phone, lexicon.known(text)
    starts: list[dict[int, int]] = [
        _after_silence({0: 0}, phones, silence)
    ]  # of each word: start -> end of the last one
    before: list[dict[int, int]] = []  # of each word: end -> start
    for word in spoken:
        ends: dict[int, int] = {}
        for start in starts[-1]:
            for variant in lexicon.pronunciations[word]:
                if tuple(phones[start : start + len(variant)]) == variant:
                    ends.setdefault(start + len(variant), start)
        before.append(ends)
        starts.append(_after_silence({end: end for end in ends}, phones, silence))
    if len(phones) not in starts[-1]:
        raise Refusal(
            "the aligned phones do not spell the transcript",
            expected=text,
            found=" ".join(phones),
            do="name the lang folder and the cuts that were aligned",
        )
    edges, place = [], len(phones)
    for number in reversed(range(len(spoken) + 1)):
        end = starts[number][place]
        start = before[number - 1][end] if number else 0
        edges.append((start, end, place))
        place = start
    for word, (start, end, place) in zip([NO_WORD, *text.split()], reversed(edges), strict=True):
        if end > start:
            yield word, end
        if place > end:
            yield NO_WORD, place


def _after_silence(ends: dict[int, int], phones: Sequence[str], silence: str) -> dict[int, int]:
    """Where the next word may start, each with the end before it: right there, or after silence."""
    found = dict(ends)
    for end in ends:
        place = end
        while place < len(phones) and phones[place] == silence:
            place += 1
            found.setdefault(place, end)
    return found
