"""yesno (OpenSLR 1): 60 recordings of one speaker, 8 kHz; file names tell the eight words (1 YES, 0 NO)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from kdasr import io
from kdasr.corpora import locate, manifests, validate
from kdasr.corpora.validate import Found

HOME = locate.Home(
    "https://www.openslr.org/resources/1/waves_yesno.tar.gz",
    (  # the archive was packed again once; both are in circulation
        "c3f49e0cca421f96b75b41640749167b52118f232498667ca7a5f9416aef8e73",
        "30301975fd8c5cac4040c261c0852f57cfa8adbbad2ce78e77e4986957445f27",
    ),
)
SETS = ("train", "dev", "train_all", "test")
WORDS = {"0": "NO", "1": "YES"}
LEXICON = "NO N\nYES Y\n"  # as in Kaldi's recipe: the words are Hebrew, one phone stands for each


@dataclass(frozen=True)
class YesnoOptions:
    """Options of yesno.

    Attributes:
        dev_every: of the 31 training recordings in sorted order, each of this number becomes `dev` (5: six).
        max_bad: utterances that may be set aside: a share below 1, a count from 1 on.
        max_clipped: largest share of samples at full scale.
    """

    dev_every: int = 5
    max_bad: float = 0.05
    max_clipped: float = 0.01

    def __post_init__(self) -> None:
        if self.dev_every < 2:
            raise ValueError(f"dev_every must be at least 2, found {self.dev_every}")


def prepare(out: Path, options: YesnoOptions, corpus: Path | None, num_jobs: int = 1, overwrite: bool = False) -> None:
    """Writes `train`, `dev`, `train_all` (those two: 31), `test` (29), the lexicon; see `corpora.prepare`."""
    root = locate.locate("yesno", corpus, holds, HOME, out / "download")
    made = io.Made("corpus yesno", validate.shaping(options), {"corpus": io.folder_hash(root)})
    rules = validate.Rules(8000, options.max_clipped, out / "audio")
    manifests.write(out, made, SETS, lambda: find(root, options.dev_every), rules, options.max_bad, num_jobs, overwrite)
    manifests.write_language(out, made, lambda: {"lexicon.txt": LEXICON}, overwrite)


def holds(folder: Path) -> bool:
    """Whether a folder is yesno."""
    return bool(_waves(folder))


def find(root: Path, dev_every: int) -> dict[str, list[Found]]:
    """The utterances of each set; Kaldi trains on the first 31 in sorted order: those that begin with NO."""
    found = [
        Found(path.stem, "global", " ".join(WORDS[digit] for digit in path.stem.split("_")), path)
        for path in _waves(root)
    ]
    train_all = [utterance for utterance in found if utterance.id.startswith("0")]
    test = [utterance for utterance in found if not utterance.id.startswith("0")]
    validate.expect_count("yesno train", 31, len(train_all))
    validate.expect_count("yesno test", 29, len(test))
    dev = train_all[dev_every - 1 :: dev_every]
    return {
        "train": [utterance for utterance in train_all if utterance not in dev],
        "dev": dev,
        "train_all": train_all,
        "test": test,
    }


def _waves(root: Path) -> list[Path]:
    return sorted(path for path in root.glob("**/*.wav") if re.fullmatch(r"[01](_[01]){7}", path.stem))
