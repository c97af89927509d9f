"""LibriSpeech: read English books, 16 kHz; its subsets of OpenSLR 12, and Mini LibriSpeech of OpenSLR 31.

A folder is laid out as its archives are: `LibriSpeech/<subset>/<speaker>/<chapter>/` with a file of transcripts and
`.flac` recordings (or `.opus` of the same names).
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from kdasr import io, log
from kdasr.corpora import audio, held_out, locate, manifests, validate
from kdasr.corpora.validate import Found
from kdasr.refusal import Refusal

FULL, MINI = "librispeech", "mini_librispeech"  # names of their folders
OPENSLR = {FULL: 12, MINI: 31}  # numbers of their public homes
SPEAKERS = "SPEAKERS.TXT"
NAMED_SETS = ("train", "dev", "test", "dev_other", "test_other")  # each has its subsets
SHORT = "train_short"
STAND_IN = {"dev-clean-2": "dev-2spk"}  # two speakers of train-clean-100, where a folder has these alone


@dataclass(frozen=True)
class Subset:
    """A part of the corpus that has an archive of its own.

    Attributes:
        corpus: FULL or MINI.
        num_utterances: when it is complete.
        home: its archive; None where it has none.
    """

    corpus: str
    num_utterances: int
    home: locate.Home | None = None


def _public(corpus: str, name: str, num_utterances: int, *sha256: str) -> dict[str, Subset]:
    url = f"https://www.openslr.org/resources/{OPENSLR[corpus]}/{name}.tar.gz"
    return {name: Subset(corpus, num_utterances, locate.Home(url, sha256))}


SUBSETS = {
    **_public(MINI, "train-clean-5", 1519, "47805806c8b15f7549f3c51bd6b7da72ec0128a34d32830c8014a88658c0292d"),
    **_public(MINI, "dev-clean-2", 1089),
    "dev-2spk": Subset(MINI, 248),
    **_public(FULL, "train-clean-100", 28539, "d4ddd1d5a6ab303066f14971d768ee43278a5f2a0aa43dc716b0e64ecbbbf6e2"),
    **_public(FULL, "train-clean-360", 104014, "146a56496217e96c14334a160df97fffedd6e0a04e66b9c5af0d40be3c792ecf"),
    **_public(FULL, "train-other-500", 148688, "ddb22f27f96ec163645d53215559df6aa36515f26e01dd70798188350adcb6d2"),
    **_public(FULL, "dev-clean", 2703, "76f87d090650617fca0cac8f88b9416e0ebf80350acb97b343a85fa903728ab3"),
    **_public(FULL, "dev-other", 2864, "12661c48e8c3fe1de2c1caa4c3e135193bfb1811584f11f569dd12645aa84365"),
    **_public(FULL, "test-clean", 2620, "39fde525e59672dc6d1551919b1478f724438a95aa55f874b576be21967e6c23"),
    **_public(FULL, "test-other", 2939, "d09c181bba5cf717b3dee7d4d592af11a3ee3a09e08ae025c5506f6ebe961c29"),
}


@dataclass(frozen=True)
class LibrispeechOptions:
    """Options of LibriSpeech: the subsets that each set is made of; a set without any is not made.

    Attributes:
        train: for training.
        dev: for development; with none, `dev_speakers` whole speakers of `train` are taken from it.
        dev_speakers: see there.
        short: utterances of `train`, those with the fewest letters, that are a set of their own for the monophones
            (Kaldi takes the 500 shortest of Mini LibriSpeech, 2,000 of LibriSpeech).
        test: for the test.
        dev_other: a second development set.
        test_other: a second test set.
        max_bad: utterances that may be set aside: a share below 1, a count from 1 on.
        max_clipped: largest share of samples at full scale.
    """

    train: tuple[str, ...] = ("train-clean-5",)
    dev: tuple[str, ...] = ()
    dev_speakers: int = 3
    short: int = 500
    test: tuple[str, ...] = ("dev-clean-2",)
    dev_other: tuple[str, ...] = ()
    test_other: tuple[str, ...] = ()
    max_bad: float = 0.01
    max_clipped: float = 0.01

    def __post_init__(self) -> None:
        for name in self.subsets():
            if name not in SUBSETS:
                raise ValueError(f"unknown subset {name!r}, known: {', '.join(SUBSETS)}")
        if not self.train or not self.test or (not self.dev and self.dev_speakers < 1):
            raise ValueError("train, test, and dev or dev_speakers must name something")
        if self.short < 1:
            raise ValueError(f"short must be at least 1, found {self.short}")

    def subsets(self) -> list[str]:
        """All subsets, each once."""
        return list(dict.fromkeys(name for set_name in NAMED_SETS for name in getattr(self, set_name)))


def prepare(
    out: Path, options: LibrispeechOptions, corpus: Path | None, num_jobs: int = 1, overwrite: bool = False
) -> None:
    """Writes the sets; see `corpora.prepare`. The lexicon is `kdasr lexicon`'s matter."""
    folders = {name: _locate(name, corpus, out / "download") for name in options.subsets()}
    prints = {folder.name: _fingerprint(folder) for folder in folders.values()}
    speakers = next(iter(folders.values())).parent / SPEAKERS
    if speakers.exists() and not options.dev:
        prints[SPEAKERS] = io.file_hash(speakers)
    made = io.Made("corpus librispeech", validate.shaping(options), prints)
    sets = [SHORT, *(name for name in NAMED_SETS if getattr(options, name) or name == "dev")]
    rules = validate.Rules(16000, options.max_clipped, out / "audio")
    manifests.write(
        out, made, sets, lambda: find(folders, options, speakers), rules, options.max_bad, num_jobs, overwrite
    )


def _locate(name: str, corpus: Path | None, download: Path) -> Path:
    """The folder of a subset; of what stands in for it where that alone is on this machine."""
    subset = SUBSETS[name]
    holds = functools.partial(_holds, name)
    if found := locate.look(subset.corpus, corpus, holds):
        return _subfolder(found, name)
    stand_in = STAND_IN.get(name)
    if stand_in and (found := locate.look(subset.corpus, corpus, functools.partial(_holds, stand_in))):
        log.event(f"librispeech: {name} is not there, {stand_in} stands in for it")
        return _subfolder(found, stand_in)
    if subset.home is None:
        do = "name another subset: --set librispeech.test=[...]"
        raise Refusal(f"subset {name} is not there and has no public archive", do=do)
    found = locate.locate(subset.corpus, corpus, holds, subset.home, download / name, f"subset {name} of LibriSpeech")
    return _subfolder(found, name)


def _holds(name: str, folder: Path) -> bool:
    return _subfolder(folder, name).is_dir()


def _subfolder(folder: Path, name: str) -> Path:
    """The folder of a subset below that of the corpus, which may be `LibriSpeech` itself or hold it."""
    below = folder / "LibriSpeech" / name
    return below if below.is_dir() else folder / name


def _fingerprint(folder: Path) -> str:
    """Hash of all transcripts, and of names and sizes of recordings: to read 60 GB of them takes minutes."""
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        mark = path.stat().st_size if path.suffix in audio.SUFFIXES else io.file_hash(path)
        digest.update(f"{path.relative_to(folder).as_posix()} {mark}\n".encode())
    return digest.hexdigest()[:16]


def find(folders: Mapping[str, Path], options: LibrispeechOptions, speakers: Path) -> dict[str, list[Found]]:
    """The utterances of each set.

    Args:
        folders: subset -> its folder.
        options: which subsets a set has.
        speakers: the corpus's list of readers with their sex; without it dev is chosen by names alone.

    Raises:
        Refusal: a subset is half downloaded, `train` has too few speakers, or a speaker is in two kinds of sets.
    """
    subsets = {name: find_subset(folder) for name, folder in folders.items()}
    sets = {name: [found for subset in getattr(options, name) for found in subsets[subset]] for name in NAMED_SETS}
    if not options.dev:
        dev = choose_dev({found.speaker for found in sets["train"]}, options.dev_speakers, speakers)
        sets["dev"] = [found for found in sets["train"] if found.speaker in dev]
        sets["train"] = [found for found in sets["train"] if found.speaker not in dev]
    _expect_apart(sets)
    by_length = sorted(sets["train"], key=lambda found: (len(found.text or ""), found.id))
    return {**sets, SHORT: by_length[: options.short]}


def find_subset(folder: Path) -> list[Found]:
    """The utterances of a subset. Raises Refusal if recordings or transcripts are missing."""
    texts, files = dict[str, str](), dict[str, Path]()
    for path in sorted(folder.glob("*/*/*")):
        if path.suffix in audio.SUFFIXES:
            files[path.stem] = path
        elif path.name.endswith(".trans.txt"):
            texts |= read_transcripts(path)
    unspoken, unwritten = sorted(texts.keys() - files.keys()), sorted(files.keys() - texts.keys())
    if unspoken or unwritten:
        first = (unspoken or unwritten)[0]
        raise Refusal(
            "the subset is half downloaded",
            where=folder,
            expected="a recording of every transcript and a transcript of every recording",
            found=f"{len(unspoken)} of {len(texts)} transcripts and {len(unwritten)} of {len(files)} recordings alone,"
            f" the first {first}",
            do="unpack its archive again",
        )
    validate.expect_count(f"librispeech {folder.name}", SUBSETS[folder.name].num_utterances, len(files))
    return [Found(id, id.split("-")[0], texts[id], files[id]) for id in sorted(files)]


def read_transcripts(path: Path) -> dict[str, str]:
    """Utterance id -> words, from the `ID WORDS` lines of a chapter."""
    lines = (line.partition(" ") for line in io.read_text(path, "file of transcripts").splitlines() if line.strip())
    return {id: words for id, _, words in lines}


def choose_dev(names: set[str], count: int, speakers: Path) -> list[str]:
    """The development speakers, by the rule of `held_out.choose`. Raises Refusal if none would be left to train on."""
    if count >= len(names):
        raise Refusal(
            "too few speakers to hold out some for development",
            where="librispeech.train",
            expected=f"more than {count}",
            found=len(names),
            do="lower --set librispeech.dev_speakers=N",
        )
    text = io.read_text(speakers, "list of speakers") if speakers.exists() else ""
    rows = [line.split("|") for line in text.splitlines() if not line.startswith(";")]
    women = {row[0].strip() for row in rows if len(row) > 1 and row[1].strip() == "F"} & names
    return held_out.choose(women, names - women, count)


def _expect_apart(sets: Mapping[str, Sequence[Found]]) -> None:
    """Refuses a test or development speaker who is trained on, e.g. of dev-2spk beside train-clean-100."""
    trained = {found.speaker for found in sets["train"]}
    for name in NAMED_SETS[1:]:
        if both := sorted(trained & {found.speaker for found in sets[name]}):
            raise Refusal(
                f"speakers of train are in {name} too",
                where="librispeech",
                found=", ".join(both[:5]),
                do=f"name other subsets: --set librispeech.{name}=[...]",
            )
