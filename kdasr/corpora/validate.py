"""Checks on what a corpus holds: single bad utterances are set aside by name, too many stop the work."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from kdasr import io, jobs, log
from kdasr.corpora import audio
from kdasr.refusal import Refusal

NAMED = 5  # bad utterances that a message names; bad.txt names all
CHUNK = 100  # utterances a job


@dataclass(frozen=True)
class Found:
    """An utterance as a corpus module found it, unchecked.

    Attributes:
        id: unique in the corpus.
        speaker: who speaks.
        text: upper-case words; None where the corpus has no transcript of it.
        audio: its recording; None where there is none.
        about: what else is worth keeping (becomes the cut's custom fields).
    """

    id: str
    speaker: str
    text: str | None
    audio: Path | None
    about: Mapping[str, str | float] = field(default_factory=dict)


@dataclass(frozen=True)
class Sound:
    """A recording that passed all checks: the file for lhotse, its length in samples, rate, content hash."""

    path: Path
    num_samples: int
    rate: int
    hash: str


@dataclass(frozen=True)
class Rules:
    """What a recording has to be.

    Attributes:
        rate: samples a second.
        max_clipped: largest share of samples at full scale.
        rewritten: folder for FLAC copies of recordings that lhotse cannot read.
        convert: recordings of another rate or of several channels are rewritten too, not set aside.
    """

    rate: int
    max_clipped: float
    rewritten: Path
    convert: bool = False


def check(utterances: Sequence[Found], rules: Rules, num_jobs: int = 1) -> tuple[dict[str, Sound], dict[str, str]]:
    """Reads every recording and checks it.

    Returns:
        sounds: utterance id -> its recording, those that passed.
        bad: utterance id -> why it was set aside.
    """
    chunks = [(utterances[begin : begin + CHUNK], rules) for begin in range(0, len(utterances), CHUNK)]
    results = [result for chunk in jobs.run(_check_chunk, chunks, num_jobs, title="recordings") for result in chunk]
    pairs = list(zip(utterances, results, strict=True))
    sounds = {utterance.id: result for utterance, result in pairs if isinstance(result, Sound)}
    return sounds, {utterance.id: result for utterance, result in pairs if isinstance(result, str)}


def set_aside(bad: Mapping[str, str], total: int, max_bad: float, where: str | Path, option: str) -> None:
    """Logs the bad utterances, one line each, or refuses when they are too many.

    Args:
        bad: utterance id -> reason.
        total: utterances looked at.
        max_bad: how many may be bad: a share below 1, a count from 1 on.
        where: corpus or folder, for the message.
        option: the setting that holds `max_bad`, for the message.

    Raises:
        Refusal: more than `max_bad` are bad, or all.
    """
    for id, reason in list(bad.items())[:NAMED]:
        log.event(f"{where}: set aside {id}: {reason}")
    if len(bad) > NAMED:
        log.event(f"{where}: {len(bad)} of {total} utterances set aside in all")
    limit = int(max_bad * total) if max_bad < 1 else int(max_bad)
    if bad and (len(bad) > limit or len(bad) == total):
        first = "; ".join(f"{id}: {reason}" for id, reason in list(bad.items())[:NAMED])
        more = f"; and {len(bad) - NAMED} more" if len(bad) > NAMED else ""
        raise Refusal(
            f"{len(bad)} of {total} utterances are bad",
            where=where,
            expected=f"at most {limit}",
            found=first + more,
            do=f"correct them, or raise --set {option}",
        )


def shaping(options: Any) -> dict[str, Any]:
    """The options that shape a result, as a record: `max_bad` only decides whether there is one."""
    return {name: value for name, value in asdict(options).items() if name != "max_bad"}


def write_bad(folder: Path, bad: Mapping[str, str]) -> None:
    """Writes `bad.txt`: id and reason of each utterance set aside, a line each (empty: none were)."""
    io.write_text(folder / "bad.txt", "".join(f"{id}\t{reason}\n" for id, reason in sorted(bad.items())))


def expect_count(what: str, expected: int, found: int) -> None:
    """Warns when a complete corpus would hold another number. Raises Refusal when there is nothing."""
    if found == 0:
        raise Refusal(
            f"{what}: nothing found",
            expected=expected,
            found=0,
            do="name the complete corpus with --corpus DIR",
        )
    if found != expected:
        log.event(f"warning: {what}: the complete corpus has {expected}, found {found}")


def fault_of(samples: np.ndarray, rate: int, wanted_rate: int, max_clipped: float = 1.0) -> str | None:
    """Why `(C, N)` samples cannot be used, in one phrase; None when they can."""
    if samples.shape[-1] == 0:
        return "the audio has 0 samples"
    if samples.shape[0] != 1:
        return f"the audio has {samples.shape[0]} channels, expected 1"
    if rate != wanted_rate:
        return f"the sampling rate is {rate} Hz, expected {wanted_rate}"
    if not np.isfinite(samples).all():
        return f"the audio has {np.sum(~np.isfinite(samples))} samples that are no numbers (NaN or infinite)"
    return clipped_fault(samples, max_clipped)


def clipped_fault(samples: np.ndarray, max_clipped: float) -> str | None:
    """Why `(C, N)` samples are clipped too much, in the worst channel; None when they are not."""
    clipped = float((np.abs(samples) >= audio.FULL_SCALE).mean(1).max())
    return (
        f"the audio is clipped: {clipped:.1%} of samples at full scale, expected at most {max_clipped:.1%}"
        if clipped > max_clipped
        else None
    )


def _check_chunk(arguments: tuple[Sequence[Found], Rules]) -> list[Sound | str]:
    utterances, rules = arguments
    return [_check_one(utterance, rules) for utterance in utterances]


def _check_one(utterance: Found, rules: Rules) -> Sound | str:
    if utterance.text is None:
        return "no transcript"
    if not utterance.text.strip():
        return "the transcript is empty"
    if utterance.audio is None:
        return "no audio file"
    try:
        samples, rate = audio.read(utterance.audio, rules.rate)
    except audio.UnreadableAudio as error:
        return f"{error} ({utterance.audio})"
    path, converted = utterance.audio, False
    if rules.convert and samples.size and (rate != rules.rate or len(samples) > 1):
        if fault := clipped_fault(samples, rules.max_clipped):  # the mean of channels would hide it
            return f"{fault} ({path})"
        samples, rate, converted = audio.converted(samples, rate, rules.rate)[None], rules.rate, True
    if fault := fault_of(samples, rate, rules.rate, rules.max_clipped):
        return f"{fault} ({path})"
    if converted or path.suffix not in audio.LHOTSE_READS:
        name = utterance.id.replace("%", "%25").replace("/", "%2F")  # an id that is a path leads nowhere else
        path = rules.rewritten / f"{name}.flac"
        with io.atomic(path) as part:
            audio.write_flac(part, samples[0], rate)
    return Sound(path.absolute(), samples.shape[1], rate, io.file_hash(path))


def in_order(utterances: Iterable[Found]) -> list[Found]:
    """Each utterance once, by speaker, then by id: the same order everywhere."""
    return sorted(
        {utterance.id: utterance for utterance in utterances}.values(),
        key=lambda found: (found.speaker, found.id),
    )
