"""A set in parts that are decoded apart, each written whole or not at all: what a stopped decoding has done is kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from kdasr import io
from kdasr.data.table import FrameTable, Utterance
from kdasr.decode.paths import Weights, Words

FOLDER = "parts"
PART_FRAMES = 40_000  # from which on a part is full; some batches of a search


def divide(features: FrameTable, by_speaker: bool) -> list[list[Utterance]]:
    """The utterances of a set in parts; the same set always the same ones.

    Args:
        features: of the set.
        by_speaker: a speaker's utterances stay together, in the order of the set; else the longest come first, so that
            batches hold utterances of like length.
    """
    groups: dict[str, list[Utterance]] = {}
    for utterance in features.utterances if by_speaker else sorted(features.utterances, key=lambda u: -u.num_frames):
        groups.setdefault(utterance.speaker if by_speaker else utterance.id, []).append(utterance)
    parts: list[list[Utterance]] = []
    for group in groups.values():
        if not parts or sum(utterance.num_frames for utterance in parts[-1]) >= PART_FRAMES:
            parts.append([])
        parts[-1] += group
    return parts


@dataclass(frozen=True)
class Part:
    """What decoding found of some utterances.

    Attributes:
        ids: of the utterances.
        words: for every pair of weights the word numbers of each, None where no path survived.
        nbest: lines of `nbest.jsonl`.
        seconds: by what took them: `search`, and of speaker-adaptive models `first_pass`.
    """

    ids: Sequence[str]
    words: Mapping[Weights, Sequence[Words]]
    nbest: Sequence[str]
    seconds: Mapping[str, float]

    def write(self, out: Path, number: int) -> None:
        """Writes it into an output folder, atomically."""
        words = [[lm_weight, penalty, rows] for (lm_weight, penalty), rows in self.words.items()]
        record = {"ids": self.ids, "words": words, "nbest": self.nbest, "seconds": self.seconds}
        io.write_json(_path(out, number), record)


def read_part(out: Path, number: int) -> Part:
    """Reads what `Part.write` wrote."""
    record = io.read_json(_path(out, number))
    words = {(lm_weight, penalty): rows for lm_weight, penalty, rows in record["words"]}
    return Part(record["ids"], words, record["nbest"], record["seconds"])


def is_written(out: Path, number: int, utterances: Sequence[Utterance]) -> bool:
    """Whether an output folder has the part, of these utterances."""
    ids = [utterance.id for utterance in utterances]
    return _path(out, number).exists() and read_part(out, number).ids == ids


def remove_parts(out: Path) -> None:
    """Removes all parts of an output folder."""
    for path in (out / FOLDER).glob("*.json"):
        path.unlink()
    (out / FOLDER).rmdir()


def _path(out: Path, number: int) -> Path:
    return out / FOLDER / f"{number:04d}.json"
