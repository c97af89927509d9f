"""A user's own recordings: a folder of audio files, and `transcripts.txt` that tells what is said in each."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from kdasr import io
from kdasr.corpora import audio, manifests, validate
from kdasr.corpora.validate import Found
from kdasr.refusal import Refusal

SETS = ("train", "dev", "test")
TRANSCRIPTS = "transcripts.txt"
SPEAKERS = ("folder", "name", "one")
FEW = 10  # speakers, below which the sets share them
EDGES = '.,;:!?"()[]…“”„«»–—-'  # about words, no part of them


@dataclass(frozen=True)
class OwnOptions:
    """Options of own recordings.

    Attributes:
        sampling_rate: recordings of another rate, or of several channels, are rewritten with this one and one channel.
        speaker: who speaks: `folder`, a speaker a folder; `name`, what stands before the first - or _ of a file's name;
            `one`, all are one speaker's.
        dev: share of the recordings that become `dev`, above 0.
        test: share that becomes `test`, above 0.
        max_bad: recordings that may be set aside: a share below 1, a count from 1 on.
        max_clipped: largest share of samples at full scale.
    """

    sampling_rate: int = 16000
    speaker: str = "folder"
    dev: float = 0.1
    test: float = 0.1
    max_bad: float = 0.05
    max_clipped: float = 0.05

    def __post_init__(self) -> None:
        if self.speaker not in SPEAKERS:
            raise ValueError(f"speaker must be one of {', '.join(SPEAKERS)}, found {self.speaker}")
        if self.sampling_rate < 1:
            raise ValueError(f"sampling_rate is above 0, found {self.sampling_rate}")
        if min(self.dev, self.test) <= 0 or self.dev + self.test >= 1:
            raise ValueError(f"dev and test are shares above 0, below 1 together; found {self.dev} and {self.test}")


def prepare(out: Path, options: OwnOptions, corpus: Path | None, num_jobs: int = 1, overwrite: bool = False) -> None:
    """Writes `train`, `dev` and `test`; see `corpora.prepare`. There is no lexicon: `kdasr lexicon` makes it."""
    if corpus is None:
        expected = f"--corpus DIR, a folder of recordings and {TRANSCRIPTS}"
        raise Refusal("no recordings are named", where="kdasr corpus own", expected=expected)
    if not corpus.is_dir():
        raise Refusal("no such folder", where=corpus, do="correct the path")
    utterances = find(corpus, options.speaker)
    files = {str(found.audio.relative_to(corpus)): io.file_hash(found.audio) for found in utterances if found.audio}
    recordings = hashlib.sha256("".join(f"{name} {files[name]}\n" for name in sorted(files)).encode()).hexdigest()[:16]
    inputs = {"recordings": recordings, "transcripts": io.file_hash(corpus / TRANSCRIPTS)}
    made = io.Made("corpus own", validate.shaping(options), inputs)
    rules = validate.Rules(options.sampling_rate, options.max_clipped, out / "audio", convert=True)
    sets = divide(utterances, {"dev": options.dev, "test": options.test})
    if not all(sets.values()):
        expected, do = "one for each set", "add some"
        raise Refusal("too few recordings", where=corpus, expected=expected, found=len(utterances), do=do)
    manifests.write(out, made, SETS, lambda: sets, rules, options.max_bad, num_jobs, overwrite)


def find(corpus: Path, speaker: str = "folder") -> list[Found]:
    """Every recording and every transcript: those that lack the other are set aside later.

    Args:
        corpus: recordings anywhere below it, and the transcripts: a line `NAME WORDS ...` each, of which NAME is the
            path from here, or the file's name alone, with or without its suffix.
        speaker: as `OwnOptions.speaker`.

    Raises:
        Refusal: there are no recordings, two of one name, or a name that is no text; or a line of the transcripts fits
            none or several.
    """
    files = sorted(path for path in corpus.rglob("*") if _is_recording(path, corpus))
    if not files:
        expected = f"files of {', '.join(audio.COMMON)}"
        raise Refusal("no recordings", where=corpus, expected=expected, do="correct the path")
    if odd := [path for path in files if not str(path).isprintable()]:
        raise Refusal("a name that cannot be written", where=corpus, found=ascii(odd[0].name), do="rename the file")
    texts = read_transcripts(corpus / TRANSCRIPTS, corpus, files)
    stems = Counter(path.stem for path in files)
    names = {path: path.stem if stems[path.stem] == 1 else _flat(path, corpus) for path in files}
    if twice := sorted(name for name, count in Counter(names.values()).items() if count > 1):
        raise Refusal("recordings of one name", where=corpus, found=", ".join(twice[:5]), do="rename all but one")
    return [Found(names[path], _speaker(path, corpus, speaker), texts.get(path), path) for path in files]


def read_transcripts(path: Path, corpus: Path, files: Sequence[Path]) -> dict[Path, str]:
    """Recording -> what is said in it, upper-case, without the marks about its words."""
    paths = {str(file.relative_to(corpus)): file for file in files}
    known: dict[str, list[Path]] = {}
    for file in files:
        relative = file.relative_to(corpus)
        for name in {str(relative), str(relative.with_suffix("")), file.name, file.stem}:
            known.setdefault(name, []).append(file)
    texts: dict[Path, str] = {}
    for number, line in enumerate(io.read_text(path, "transcripts", f"write {TRANSCRIPTS}").splitlines(), start=1):
        if not line.strip():
            continue
        name, *words = line.split()
        where, found = f"{path}, line {number}", [paths[name]] if name in paths else known.get(name, [])
        if len(found) != 1:
            fault = f"{len(found)} recordings of the name {name}" if found else f"no recording of the name {name}"
            do = "write its path from the folder" if found else "correct the name, or take the line out"
            raise Refusal(fault, where=where, expected="NAME WORDS ..., of a recording", do=do)
        if found[0] in texts:
            raise Refusal("a second transcript of a recording", where=where, found=name, do="leave one")
        texts[found[0]] = " ".join(bare for word in words if (bare := word.strip(EDGES))).upper()
    return texts


def _is_recording(path: Path, corpus: Path) -> bool:
    hidden = any(part.startswith(".") for part in path.relative_to(corpus).parts)
    return path.suffix.lower() in audio.COMMON and path.is_file() and not hidden


def _flat(path: Path, corpus: Path) -> str:
    return "-".join(path.relative_to(corpus).with_suffix("").parts)


def _speaker(path: Path, corpus: Path, speaker: str) -> str:
    if speaker == "one":
        return "one"
    if speaker == "name":
        return path.stem.replace("_", "-").partition("-")[0]
    return "-".join(path.parent.relative_to(corpus).parts) or "one"


def divide(utterances: Sequence[Found], shares: Mapping[str, float]) -> dict[str, list[Found]]:
    """The utterances of `train` and of each set with a share.

    Whole speakers where there are ten or more, else single recordings; in the order of the SHA-256 of their names, so
    that what is added later moves few of the others.

    Args:
        utterances: of all sets.
        shares: set -> share of the utterances, at least one group of them.
    """
    speakers = {utterance.speaker for utterance in utterances}
    by_speaker = len(speakers) >= FEW
    groups: dict[str, list[Found]] = {}
    for utterance in utterances:
        groups.setdefault(utterance.speaker if by_speaker else utterance.id, []).append(utterance)
    waiting = sorted(groups, key=lambda name: hashlib.sha256(name.encode()).digest())
    sets: dict[str, list[Found]] = {}
    for name, share in shares.items():
        taken: list[Found] = []
        while waiting and (not taken or len(taken) + len(groups[waiting[0]]) / 2 <= share * len(utterances)):
            taken += groups[waiting.pop(0)]
        sets[name] = taken
    return {"train": list(_of(groups, waiting)), **sets}


def _of(groups: Mapping[str, Sequence[Found]], names: Iterable[str]) -> Iterable[Found]:
    return (utterance for name in names for utterance in groups[name])
