"""Kaldi data folders: `wav.scp`, `text`, `utt2spk`, and `segments` where recordings hold several utterances.

lhotse's own reader is not used: it runs the commands that stand in `wav.scp`, and rounds durations down to
milliseconds, so that a manifest has fewer samples than its file.
"""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lhotse import MonoCut, SupervisionSegment

from kdasr import io
from kdasr.corpora import manifests, validate
from kdasr.corpora.validate import Found, Sound
from kdasr.refusal import Refusal

WAVS, SEGMENTS, TEXT, SPEAKERS = "wav.scp", "segments", "text", "utt2spk"
OVERSHOOT = 0.5  # seconds that a segment may end after its recording, as in Kaldi; it is cut there
TO_THE_END = -1.0  # as the end of a segment


@dataclass(frozen=True)
class KaldiOptions:
    """Options of Kaldi data folders.

    Attributes:
        sampling_rate: of the recordings, Hz; of one channel all.
        max_bad: utterances of a folder that may be set aside: a share below 1, a count from 1 on.
        max_clipped: largest share of samples at full scale.
    """

    sampling_rate: int = 16000
    max_bad: float = 0.05
    max_clipped: float = 0.05

    def __post_init__(self) -> None:
        if self.sampling_rate < 1:
            raise ValueError(f"sampling_rate is above 0, found {self.sampling_rate}")


@dataclass(frozen=True)
class Segment:
    """A part of a recording, in seconds; `end` may be `TO_THE_END`."""

    recording: str
    begin: float = 0.0
    end: float = TO_THE_END


def prepare(out: Path, options: KaldiOptions, corpus: Path | None, num_jobs: int = 1, overwrite: bool = False) -> None:
    """Writes a set of each data folder, of the folder's name: of `corpus` itself, or of those in it.

    See `corpora.prepare`. There is no lexicon: `kdasr lang` takes the one of Kaldi's `dict` folder.
    """
    if corpus is None:
        raise Refusal("no data folder is named", where="kdasr corpus kaldi", expected=f"--corpus DIR, with {WAVS}")
    whole = Path(os.path.abspath(corpus))  # a set is named by its folder, which `..` would not be
    folders = [whole] if (whole / WAVS).exists() else sorted(path.parent for path in whole.glob(f"*/{WAVS}"))
    if not folders:
        expected = f"{WAVS}, in it or in its folders"
        raise Refusal("no Kaldi data folder", where=corpus, expected=expected, do="correct the path")
    for folder in folders:
        _prepare(out / folder.name, folder, options, num_jobs, overwrite)


def _prepare(out: Path, data: Path, options: KaldiOptions, num_jobs: int, overwrite: bool) -> None:
    wavs = read_table(data / WAVS)
    refuse_commands(wavs, data / WAVS, "write it as a file and name that: wav-copy 'COMMAND |' FILE.wav")
    segments = _segments(data, wavs)
    texts, speakers = read_table(data / TEXT), read_table(data / SPEAKERS)
    lines = (f"{id} {io.file_hash(Path(path))}\n" for id, path in sorted(wavs.items()) if Path(path).is_file())
    recordings = hashlib.sha256("".join(lines).encode()).hexdigest()[:16]
    tables = [name for name in (WAVS, SEGMENTS, TEXT, SPEAKERS) if (data / name).exists()]
    inputs = {"recordings": recordings, **{name: io.file_hash(data / name) for name in tables}}
    if not io.begin(out, io.Made("corpus kaldi", validate.shaping(options), inputs), overwrite):
        return
    used = {segment.recording for segment in segments.values()}
    found = [Found(id, "", "-", Path(path)) for id, path in wavs.items() if id in used]
    rules = validate.Rules(options.sampling_rate, options.max_clipped, out / "audio")
    sounds, faults = validate.check(found, rules, num_jobs)
    cuts, bad = list[MonoCut](), dict[str, str]()
    for id in sorted({*segments, *texts}, key=lambda id: (speakers.get(id, ""), id)):
        segment = segments.get(id)
        if fault := _fault(id, segment, texts, speakers, sounds, faults):
            bad[id] = fault
        elif segment is not None:
            cuts.append(make_cut(id, segment, sounds[segment.recording], speakers[id], texts[id]))
    validate.set_aside(bad, len(cuts) + len(bad), options.max_bad, data, "kaldi.max_bad=N")
    manifests.finish_set(out, cuts, bad)


def read_table(path: Path, do: str = "name a complete data folder") -> dict[str, str]:
    """The lines `ID REST` of one of Kaldi's tables, in order.

    Raises:
        Refusal: there is no such file, an empty line, or two of the same id.
    """
    if not os.path.isfile(path):  # a pipe could not be hashed after it is read
        raise Refusal("no such table of Kaldi's", where=path, do=do)
    table: dict[str, str] = {}
    for number, line in enumerate(io.read_text(path, "table of Kaldi's", do).rstrip("\n").split("\n"), start=1):
        id, *rest = line.split(maxsplit=1) or [""]
        if not id:
            raise Refusal("an empty line", where=f"{path}, line {number}", expected="ID ...", do="take it out")
        if id in table:
            raise Refusal("a second line of an id", where=f"{path}, line {number}", found=id, do="leave one")
        table[id] = rest[0].strip() if rest else ""
    return table


def is_command(value: str) -> bool:
    """Whether Kaldi would run a name as a shell command: it begins or ends with a bar."""
    bare = value.strip().removeprefix("ark:").removeprefix("scp:").strip()
    return bare.startswith("|") or bare.endswith("|")


def refuse_commands(table: Mapping[str, str], path: Path, do: str) -> None:
    """Raises Refusal for the first entry that is a command."""
    for id, value in table.items():
        if is_command(value):
            found = value if len(value) <= 100 else f"{value[:100]}..."
            raise Refusal(
                "a command, which kdasr never runs", where=f"{path}, {id}", expected="a file", found=found, do=do
            )


def _segments(data: Path, wavs: Mapping[str, str]) -> dict[str, Segment]:
    """Utterance id -> where it is spoken; a recording is an utterance where there is no `segments`."""
    if not (data / SEGMENTS).exists():
        return {id: Segment(id) for id in wavs}
    found: dict[str, Segment] = {}
    for id, line in read_table(data / SEGMENTS).items():
        try:
            recording, begin, end, *_ = line.split()  # a channel may follow
            found[id] = Segment(recording, _seconds(begin), _seconds(end))
        except ValueError:
            expected = "ID RECORDING BEGIN END, in seconds"
            raise Refusal("no segment", where=data / SEGMENTS, expected=expected, found=f"{id} {line}") from None
    return found


def _seconds(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(text)
    return value


def _fault(
    id: str,
    segment: Segment | None,
    texts: Mapping[str, str],
    speakers: Mapping[str, str],
    sounds: Mapping[str, Sound],
    faults: Mapping[str, str],
) -> str | None:
    """Why an utterance cannot be used, in one phrase; None when it can."""
    if segment is None:
        return "a transcript of no recording"
    if not texts.get(id):
        return "no transcript"
    if not speakers.get(id):
        return f"no speaker in {SPEAKERS}"
    if segment.recording not in sounds:
        return f"recording {segment.recording}: {faults.get(segment.recording, f'not in {WAVS}')}"
    sound = sounds[segment.recording]
    seconds = sound.num_samples / sound.rate
    begin, end = span(segment, sound)
    if segment.begin < 0 or end <= begin or segment.end > seconds + OVERSHOOT:
        return f"no such part of its recording: {segment.begin:g} to {segment.end:g} s of {seconds:.3f}"
    return None


def span(segment: Segment, sound: Sound) -> tuple[int, int]:
    """First sample of a segment, and the one after its last."""
    end = sound.num_samples if segment.end == TO_THE_END else round(segment.end * sound.rate)
    return round(segment.begin * sound.rate), min(end, sound.num_samples)


def make_cut(id: str, segment: Segment, sound: Sound, speaker: str, text: str) -> MonoCut:
    """The cut of an utterance with one supervision; words are upper-case, as in all corpora."""
    whole = manifests.make_cut(Found(segment.recording, speaker, text, None), sound)
    begin, end = span(segment, sound)
    duration, words = (end - begin) / sound.rate, whole.supervisions[0].text
    supervision = SupervisionSegment(id, segment.recording, 0.0, duration, 0, words, speaker=speaker)
    return MonoCut(id, begin / sound.rate, duration, 0, [supervision], recording=whole.recording, custom=whole.custom)
