"""Copies of features with Gaussian noise: what live training draws anew for each batch, drawn once and kept.

Teachers that are dear to ask, such as specialists together, are so asked about each noisy input once, however often a
student learns from it. A student whose inputs are noisy wants the targets of the same noise.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from operator import add
from pathlib import Path

import numpy as np

from kdasr import io, log
from kdasr.data.table import FrameTable, FrameTableWriter
from kdasr.features.cmvn import Stats
from kdasr.refusal import Refusal

KEPT = ("type", "extractor", "dim", "frame_shift")  # of the features, which the copies' models must agree in


@dataclass(frozen=True)
class NoiseOptions:
    """Noisy copies of features.

    Attributes:
        level: most of an utterance's noise, in standard deviations of each coefficient over the set; each copy of an
            utterance has a level of its own, uniform from 0 up to it.
        copies: of each utterance, each with noise of its own.
        seed: of levels and noise.
    """

    level: float = 1.0
    copies: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.level < float("inf") or self.copies < 1 or self.seed < 0:
            raise ValueError("level is above 0, copies at least 1, seed at least 0")


def add_noise(out: Path, features: Path, options: NoiseOptions, overwrite: bool = False) -> None:
    """Writes noisy copies of a folder of features into another, as a set of utterances `<id>_noise<copy>`.

    Args:
        out: the output: features of the same kind, without the clean ones.
        features: made by `kdasr features`.
        options: level, copies, seed.
        overwrite: as `io.begin`'s.

    Raises:
        Refusal: the folder holds no features, none of an utterance, or some that are not finite.
    """
    table = FrameTable(features, "features")
    if not io.begin(out, io.Made("features noise", {"noise": options}, {"features": table.fingerprint}), overwrite):
        return
    deviation = _stats(table).deviation.astype(np.float32)
    writer = FrameTableWriter(out)
    for copy in range(options.copies):
        for number, (utterance, frames) in enumerate(log.progress(table, f"{out}, copy {copy}")):
            generator = np.random.default_rng([options.seed, copy, number])
            level = np.float32(options.level * generator.random())
            noise = generator.standard_normal(frames.shape, np.float32)
            writer.add(f"{utterance.id}_noise{copy}", utterance.speaker, _noisy(frames, level * deviation * noise))
    num_utterances = writer.close()
    kept = {name: table.info[name] for name in KEPT if name in table.info}
    io.finish(out, **kept, num_frames=options.copies * len(table), num_utterances=num_utterances)


def _noisy(frames: np.ndarray, noise: np.ndarray) -> np.ndarray:
    most = np.finfo(frames.dtype).max
    return np.clip(frames.astype(np.float32) + noise, -most, most).astype(frames.dtype)


def _stats(table: FrameTable) -> Stats:
    if not table.utterances:
        raise Refusal("no utterances to copy", where=table.folder, do="compute features of some cuts")
    found = reduce(add, (Stats.of(frames) for _, frames in table))
    if not found.finite:
        do = "compute them again, or leave the utterance out"
        raise Refusal("features that are not finite", where=table.folder, expected="numbers", found="NaN or inf", do=do)
    return found
