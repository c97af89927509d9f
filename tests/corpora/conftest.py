"""A corpus in AN4's layout, small enough to be written by a test."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

DICTIONARY = "A            AH\nA(2)         EY\nAND          AE N D\nYES          Y EH S\n"
UNIGRAM = "\\data\\\nngram 1=1\n\n\\1-grams:\n-1 A\n\n\\end\\\n"


def noise(seconds: float = 0.5, rate: int = 16000, seed: int = 0) -> np.ndarray:
    """16-bit samples of moderate level, float64."""
    samples = np.random.default_rng(seed).normal(0, 0.05, round(seconds * rate))
    return np.asarray(np.round(np.clip(samples, -0.9, 0.9) * 32768) / 32768)


class TinyAn4:
    """Writes utterances into a corpus of AN4's layout."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.lines: dict[str, list[str]] = {"train": [], "test": []}
        (root / "etc").mkdir(parents=True)
        (root / "etc" / "an4.dic").write_text(DICTIONARY)
        (root / "etc" / "an4.ug.lm").write_text(f"prose\nBeginning of data mark: \\data\\\nngram 1=nr\n\n{UNIGRAM}")

    def path(self, id: str, part: str, suffix: str) -> Path:
        folder = {"train": "an4_clstk", "test": "an4test_clstk"}[part]
        path = self.root / "wav" / folder / id.split("-")[1] / f"{id}{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def add(
        self,
        id: str,
        text: str | None = "YES",
        samples: np.ndarray | None = None,
        rate: int = 16000,
        part: str = "train",
    ) -> Path:
        """Adds a .wav (float, so that it can hold NaN) and a transcript, unless `text` is None."""
        import soundfile

        path = self.path(id, part, ".wav")
        soundfile.write(path, noise(seed=len(self.lines[part])) if samples is None else samples, rate, subtype="FLOAT")
        if text is not None:
            self.transcript(id, text, part)
        return path

    def transcript(self, id: str, text: str, part: str = "train") -> None:
        marked = f"<s> {text} </s> ({id})" if part == "train" else f"{text} ({id})"
        self.lines[part].append(marked)
        (self.root / "etc" / f"an4_{part}.transcription").write_text("\n".join(self.lines[part]) + "\n")


@pytest.fixture
def tiny_an4(tmp_path: Path) -> TinyAn4:
    """Two men, two women, two utterances each, and one test speaker."""
    corpus = TinyAn4(tmp_path / "an4")
    for speaker in ("mabc", "mdef", "fghi", "fjkl"):
        corpus.add(f"an1-{speaker}-b", "YES AND A")
        corpus.add(f"an2-{speaker}-b", "yes")
    corpus.add("an3-mxyz-b", "A YES", part="test")
    return corpus


@pytest.fixture
def events(capsys: pytest.CaptureFixture[str]) -> Callable[[], str]:
    """What was logged since the last call."""
    return lambda: capsys.readouterr().err
