"""CMU AN4: 948 training and 130 test utterances, 16 kHz, as .sph, .flac, .wav or big-endian .raw.

No checksum of the public archive is vouched for: what was unpacked is validated by counts and lengths.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from kdasr import io
from kdasr.corpora import audio, held_out, locate, manifests, validate
from kdasr.corpora.validate import Found
from kdasr.refusal import Refusal

HOME = locate.Home("http://www.speech.cs.cmu.edu/databases/an4/an4_raw.bigendian.tar.gz")
SETS = ("train", "dev", "train_all", "test")
PARTS = {
    "train": ("an4_clstk", 948),
    "test": ("an4test_clstk", 130),
}  # folder of wav/, utterances of the complete corpus


@dataclass(frozen=True)
class An4Options:
    """Options of AN4.

    Attributes:
        dev_speakers: whole speakers of the training part that become `dev`.
        max_bad: utterances that may be set aside: a share below 1, a count from 1 on.
        max_clipped: largest share of samples at full scale.
    """

    dev_speakers: int = 8
    max_bad: float = 0.01
    max_clipped: float = 0.01


def prepare(out: Path, options: An4Options, corpus: Path | None, num_jobs: int = 1, overwrite: bool = False) -> None:
    """Writes the sets and the lexicon; see `corpora.prepare`.

    `train` is without dev, `train_all` has all 948 training utterances, `test` 130. The given unigram
    goes along as `lexicon/an4.ug.arpa`.
    """
    root = locate.locate("an4", corpus, holds, HOME, out / "download")
    made = io.Made("corpus an4", validate.shaping(options), {"corpus": io.folder_hash(root)})
    rules = validate.Rules(16000, options.max_clipped, out / "audio")
    manifests.write(
        out, made, SETS, lambda: find(root, options.dev_speakers), rules, options.max_bad, num_jobs, overwrite
    )
    manifests.write_language(out, made, lambda: language(root), overwrite)


def holds(folder: Path) -> bool:
    """Whether a folder is AN4."""
    return (folder / "etc" / "an4.dic").exists() and (folder / "wav").is_dir()


def find(root: Path, dev_speakers: int) -> dict[str, list[Found]]:
    """The utterances of each set."""
    parts = {part: _find_part(root, part, folder) for part, (folder, _) in PARTS.items()}
    for part, (_, count) in PARTS.items():
        validate.expect_count(f"an4 {part}", count, len(parts[part]))
    dev = choose_dev({utterance.speaker for utterance in parts["train"]}, dev_speakers)
    return {
        "train": [utterance for utterance in parts["train"] if utterance.speaker not in dev],
        "dev": [utterance for utterance in parts["train"] if utterance.speaker in dev],
        "train_all": parts["train"],
        "test": parts["test"],
    }


def choose_dev(speakers: Iterable[str], count: int) -> list[str]:
    """The development speakers, by the rule of `held_out.choose`.

    A name begins with f (female) or m (male); a digit at its end tells namesakes apart, who may be one person.
    """
    names = set(speakers)
    women = {name for name in names if name.startswith("f")}
    return held_out.choose(women, names - women, count, lambda name: re.sub(r"\d+$", "", name))


def language(root: Path) -> dict[str, str]:
    """Files of the folder `lexicon`: `lexicon.txt`, and `an4.ug.arpa` where the corpus has the unigram."""
    files = {"lexicon.txt": manifests.plain_lexicon(io.read_text(root / "etc" / "an4.dic", "lexicon"))}
    unigram = root / "etc" / "an4.ug.lm"
    return {**files, "an4.ug.arpa": clean_arpa(unigram)} if unigram.exists() else files


def clean_arpa(path: Path) -> str:
    r"""An ARPA file without the prose before `\data\`, which itself holds lines that look like ARPA's."""
    text = io.read_text(path, "ARPA file")
    begins = [match.start() for match in re.finditer(r"^\\data\\\s*$", text, re.MULTILINE)]
    if not begins:
        do = "fetch the corpus again"
        raise Refusal("not an ARPA file", where=path, expected="a line \\data\\", found="none", do=do)
    return text[begins[-1] :].rstrip() + "\n"


def _find_part(root: Path, part: str, folder: str) -> list[Found]:
    """All utterances that have a transcript or a recording."""
    texts = read_transcripts(root / "etc" / f"an4_{part}.transcription")
    listed = _read_list(root / "etc" / f"an4_{part}.fileids")
    files = {path.stem: path for path in sorted((root / "wav" / folder).rglob("*")) if path.suffix in audio.SUFFIXES}
    ids = sorted({*texts, *files, *listed})
    return [Found(id, id.split("-")[1] if id.count("-") else id, texts.get(id), files.get(id)) for id in ids]


def read_transcripts(path: Path) -> Mapping[str, str]:
    """Utterance id -> upper-case words, from `<s> WORDS </s> (id)` lines; sentence marks are dropped."""
    texts = {}
    for line in io.read_text(path, "transcription").splitlines() if path.exists() else ():
        words, _, id = line.rpartition("(")
        texts[id.rstrip(") ")] = " ".join(word for word in words.upper().split() if word not in ("<S>", "</S>"))
    return texts


def _read_list(path: Path) -> Sequence[str]:
    return [line.rpartition("/")[2] for line in io.read_text(path, "list").split()] if path.exists() else []
