"""Small tables for the tests of the core."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from kdasr import io
from kdasr.data.table import FrameTableWriter


def write_features(
    folder: Path, utterances: dict[str, np.ndarray], shard_bytes: int = 1 << 30, **facts: object
) -> Path:
    """A finished feature table of the given utterances."""
    io.begin(folder, io.Made("features", {}))
    writer = FrameTableWriter(folder, shard_bytes)
    for name, frames in utterances.items():
        writer.add(name, name[:1], frames)
    writer.close()
    dim = next(iter(utterances.values())).shape[1]
    io.finish(folder, dim=dim, frame_shift=0.01, **facts)
    return folder


def write_alignment(
    folder: Path,
    utterances: dict[str, np.ndarray],
    num_pdfs: int,
    topology: str = "topo",
    silence: Sequence[int] = (0,),
) -> Path:
    """A finished alignment of pdfs; two transition ids for each pdf, of which the labels use both."""
    io.begin(folder, io.Made("align", {}))
    io.save_array(folder / "transition_pdfs.npy", np.repeat(np.arange(num_pdfs, dtype=np.int32), 2))
    writer = FrameTableWriter(folder)
    for name, pdfs in utterances.items():
        writer.add(name, name[:1], (2 * pdfs + np.arange(len(pdfs)) % 2).astype(np.int32))
    writer.close()
    io.finish(folder, num_pdfs=num_pdfs, topology=topology, silence_pdfs=list(silence))
    return folder


def speech(
    num_utterances: int, seed: int, num_pdfs: int = 8, dim: int = 5, prefix: str = "u"
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Features that tell their state: each pdf is held some frames and shows its own noisy pattern."""
    patterns = np.random.default_rng(99).normal(size=(num_pdfs, dim)) * 1.5
    rng = np.random.default_rng(seed)
    features, pdfs = {}, {}
    for number in range(num_utterances):
        states = np.repeat(rng.integers(0, num_pdfs, 12), rng.integers(2, 7, 12))
        features[f"{prefix}{number}"] = (patterns[states] + rng.normal(size=(len(states), dim)) + 3).astype(np.float32)
        pdfs[f"{prefix}{number}"] = states
    return features, pdfs


def write_set(folder: Path, num_utterances: int, seed: int, num_pdfs: int = 8) -> tuple[Path, Path]:
    """Features and alignment of random speech."""
    features, pdfs = speech(num_utterances, seed, num_pdfs)
    return write_features(folder / "feats", features), write_alignment(folder / "ali", pdfs, num_pdfs)
