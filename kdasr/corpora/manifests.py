"""Lhotse manifests: the folder `<set>/cuts.jsonl.gz` of each set of a corpus, and the folder `lexicon`."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from lhotse import CutSet, MonoCut, Recording, SupervisionSegment
from lhotse.audio import AudioSource

from kdasr import io, log
from kdasr.corpora import validate
from kdasr.corpora.validate import Found, Rules, Sound
from kdasr.refusal import Refusal

CUTS = "cuts.jsonl.gz"
LEXICON = "lexicon"


def write(
    out: Path,
    made: io.Made,
    sets: Sequence[str],
    find: Callable[[], Mapping[str, Sequence[Found]]],
    rules: Rules,
    max_bad: float,
    num_jobs: int = 1,
    overwrite: bool = False,
) -> None:
    """Validates a corpus and writes one folder for each set that is not up to date.

    Args:
        out: its folders are `out/<set>`.
        made: what makes them.
        sets: their names.
        find: gives the utterances of each set (sets may overlap); called only when a set has to be made.
        rules: what recordings have to be.
        max_bad: utterances of the whole corpus that may be set aside: a share below 1, a count from 1 on.
        num_jobs: processes that read the recordings.
        overwrite: make again what other options made.

    Raises:
        Refusal: more than `max_bad` utterances are bad, or a set is left with none.
    """
    waiting = [name for name in sets if io.begin(out / name, made, overwrite)]
    if not waiting:
        return
    found = find()
    corpus = made.verb.split()[-1]
    everything = validate.in_order(utterance for name in sets for utterance in found[name])
    sounds, bad = validate.check(everything, rules, num_jobs)
    validate.set_aside(bad, len(everything), max_bad, corpus, f"{corpus}.max_bad=N")
    for name in waiting:
        _write_set(out / name, validate.in_order(found[name]), sounds, bad)


def _write_set(folder: Path, utterances: Sequence[Found], sounds: Mapping[str, Sound], bad: Mapping[str, str]) -> None:
    cuts = [make_cut(utterance, sounds[utterance.id]) for utterance in utterances if utterance.id in sounds]
    finish_set(folder, cuts, {utterance.id: bad[utterance.id] for utterance in utterances if utterance.id in bad})


def finish_set(folder: Path, cuts: Sequence[MonoCut], bad: Mapping[str, str]) -> None:
    """Writes the cuts of a begun set and why others were set aside, and finishes it. Raises Refusal without cuts."""
    if not cuts:
        raise Refusal("no utterance is left in the set", where=folder, do="name the complete corpus with --corpus DIR")
    save_cuts(folder, cuts)
    validate.write_bad(folder, bad)
    hours = sum(cut.duration for cut in cuts) / 3600
    speakers = len({speaker_of(cut) for cut in cuts})
    facts = {
        "num_utterances": len(cuts),
        "num_bad": len(bad),
        "num_speakers": speakers,
        "hours": round(hours, 4),
    }
    io.finish(folder, **facts)
    log.event(f"{folder}: {len(cuts)} utterances of {speakers} speakers, {hours:.3f} h, {len(bad)} set aside")


def make_cut(utterance: Found, sound: Sound) -> MonoCut:
    """The cut of a whole recording with one supervision; its content hash and `about` are custom fields."""
    duration = sound.num_samples / sound.rate
    source = AudioSource(type="file", channels=[0], source=str(sound.path))
    recording = Recording(utterance.id, [source], sound.rate, sound.num_samples, duration, channel_ids=[0])
    words = " ".join((utterance.text or "").upper().split())
    supervision = SupervisionSegment(utterance.id, utterance.id, 0.0, duration, 0, words, speaker=utterance.speaker)
    custom = {"audio_hash": sound.hash, **utterance.about}
    return MonoCut(utterance.id, 0.0, duration, 0, [supervision], recording=recording, custom=custom)


def speaker_of(cut: MonoCut) -> str:
    """Who speaks; where the cut does not tell, the cut itself."""
    return (cut.supervisions[0].speaker if cut.supervisions else None) or str(cut.id)


def save_cuts(folder: Path, cuts: Sequence[MonoCut]) -> None:
    """Writes `cuts.jsonl.gz` atomically, in the order given, as lhotse does."""
    with io.atomic(folder / CUTS) as part, gzip.open(part, "wt", encoding="utf-8") as file:
        file.writelines(json.dumps(cut.to_dict(), ensure_ascii=False) + "\n" for cut in cuts)


def load_cuts(place: Path) -> list[MonoCut]:
    """The cuts of a finished folder, or of a file that lhotse wrote, in order.

    Raises:
        Refusal: the folder is unfinished or holds none; the file is damaged, or holds other things than cuts of one
            channel, or two of the same name.
    """
    file = place
    if place.is_dir():
        io.read_info(place, "corpus")
        file = place / CUTS
        if not file.exists():
            raise Refusal("no cuts", where=place, expected=CUTS, do="name a folder that `kdasr corpus` made")
    try:
        cuts = list(CutSet.from_file(file))
    except Exception as error:  # of gzip, JSON, or whatever lhotse makes of a foreign line
        found = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        do = io.AGAIN if place.is_dir() else "name a folder or a lhotse file of cuts"
        raise Refusal("damaged cuts", where=file, found=found, do=do) from None
    seen: set[str] = set()
    for cut in cuts:
        if not isinstance(cut, MonoCut):
            raise Refusal("not a cut of one channel", where=file, found=f"{type(cut).__name__} {cut.id}")
        if cut.id in seen:
            raise Refusal("two cuts of the same id", where=file, found=cut.id, do="give each its own")
        seen.add(cut.id)
    return cuts


def write_language(out: Path, made: io.Made, files: Callable[[], Mapping[str, str]], overwrite: bool = False) -> None:
    """Writes the folder `lexicon`: `lexicon.txt` (a line `WORD PH PH ...` a pronunciation), other `files`."""
    if not io.begin(out / LEXICON, made, overwrite):
        return
    for name, text in files().items():
        io.write_text(out / LEXICON / name, text)
    words = {line.split()[0] for line in (out / LEXICON / "lexicon.txt").read_text(encoding="utf-8").splitlines()}
    io.finish(out / LEXICON, num_words=len(words))


def plain_lexicon(dictionary: str) -> str:
    """A pronouncing dictionary with variants as `WORD(2)`: each becomes a further line of `WORD`."""
    entries = (line.split() for line in dictionary.splitlines() if line.strip())
    return "".join(" ".join([re.sub(r"\(\d+\)$", "", word), *phones]) + "\n" for word, *phones in entries)
