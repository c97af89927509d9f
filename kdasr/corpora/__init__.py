"""Corpora, one module each: it finds the corpus, names its utterances and sets."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

from kdasr.refusal import unknown_name

CORPORA = {  # name: what it is
    "digits": "Connected digits spoken by eSpeak NG in noise; needs no data.",
    "an4": "CMU AN4: spelled words, names and numbers of 84 speakers.",
    "kaldi": "A Kaldi data folder, or a folder of them: wav.scp, segments, text, utt2spk.",
    "librispeech": "LibriSpeech and Mini LibriSpeech: read English books.",
    "mnist": "MNIST: images of handwritten digits (no speech).",
    "own": "Your own recordings: a folder of them, and transcripts.txt.",
    "yesno": "60 recordings of one speaker who says YES or NO eight times.",
}


def prepare(name: str, out: Path, options: Any, corpus: Path | None, num_jobs: int, overwrite: bool) -> None:
    """Writes the sets and the lexicon of one corpus.

    Args:
        name: one of `CORPORA`; `kdasr/corpora/<name>.py` does the work.
        out: each set becomes the folder `out/<set>` with `cuts.jsonl.gz`; a corpus's own lexicon lies in `out/lexicon`.
        options: the options dataclass of that module.
        corpus: where the corpus lies; None looks in the usual places (`locate.py`).
        num_jobs: processes at most.
        overwrite: make again what other options or another corpus made.

    Raises:
        Refusal: no such corpus, it is not found, or too much of it is bad.
    """
    module(name).prepare(out, options, corpus, num_jobs, overwrite)


def module(name: str) -> Any:
    """The module of a corpus. Raises Refusal for an unknown name."""
    if name not in CORPORA:
        raise unknown_name("corpus", name, CORPORA)
    return importlib.import_module(f"{__name__}.{name}")
