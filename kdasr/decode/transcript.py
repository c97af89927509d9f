"""What was said in a recording, and when; and how that is written: text, JSON, CTM, SubRip captions."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from kdasr.align.timing import Interval

PAUSE = 0.6  # seconds without a word, after which a caption ends
CAPTION_SECONDS, CAPTION_LETTERS = 6.0, 80  # at most


@dataclass(frozen=True)
class Passage:
    """A part of a recording that was searched at once.

    Attributes:
        begin: seconds.
        end: seconds.
        text: words joined by blanks.
        words: with their times in the recording, seconds; none unless times were asked for.
    """

    begin: float
    end: float
    text: str
    words: tuple[Interval, ...] = ()


@dataclass(frozen=True)
class Transcript:
    """What was said in a recording.

    Attributes:
        file: the recording.
        seconds: how long it is.
        passages: its parts, in order.
    """

    file: Path
    seconds: float
    passages: tuple[Passage, ...]

    @property
    def text(self) -> str:
        """All words."""
        return " ".join(passage.text for passage in self.passages if passage.text)

    @property
    def words(self) -> list[Interval]:
        """All words with their times."""
        return [word for passage in self.passages for word in passage.words]


def plain(transcript: Transcript) -> str:
    """The words alone, a line."""
    return f"{transcript.text}\n"


def as_json(transcript: Transcript) -> str:
    """A line of JSON: `file`, `seconds`, `text`, and `words` with `begin` and `end`."""
    words = [{"word": word, "begin": begin, "end": end} for word, begin, end in transcript.words]
    record = {"file": str(transcript.file), "seconds": transcript.seconds, "text": transcript.text, "words": words}
    return json.dumps(record, ensure_ascii=False) + "\n"


def ctm(transcript: Transcript) -> str:
    """A line a word: `recording 1 begin duration word`, as NIST's scoring reads it."""
    name = ctm_name(transcript.file)
    return "".join(f"{name} 1 {begin:.2f} {end - begin:.2f} {word}\n" for word, begin, end in transcript.words)


def ctm_name(file: Path) -> str:
    """A recording's name in CTM, where blanks separate."""
    return "_".join(file.stem.split())


def srt(transcript: Transcript) -> str:
    """SubRip captions, numbered from 1."""
    blocks = []
    for number, words in enumerate(captions(transcript.words), start=1):
        times = f"{_clock(words[0].begin)} --> {_clock(words[-1].end)}"
        blocks.append(f"{number}\n{times}\n{' '.join(word.symbol for word in words)}\n")
    return "\n".join(blocks)


def captions(words: Sequence[Interval]) -> Iterator[list[Interval]]:
    """Words in captions: a pause ends one, and what would be too long to be read."""
    caption: list[Interval] = []
    for word in words:
        letters = sum(len(each.symbol) + 1 for each in caption) + len(word.symbol)
        if caption and (
            word.begin - caption[-1].end >= PAUSE
            or word.end - caption[0].begin > CAPTION_SECONDS
            or letters > CAPTION_LETTERS
        ):
            yield caption
            caption = []
        caption.append(word)
    if caption:
        yield caption


def _clock(seconds: float) -> str:
    thousandths = round(1000 * seconds)
    minutes, rest = divmod(thousandths, 60_000)
    return f"{minutes // 60:02}:{minutes % 60:02}:{rest // 1000:02},{rest % 1000:03}"


FORMATS: Mapping[str, Callable[[Transcript], str]] = {"txt": plain, "json": as_json, "ctm": ctm, "srt": srt}
