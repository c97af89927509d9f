"""Frames of phones in context, few enough to be looked at one by one, and plain likelihoods of them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from kdasr.lang.lexicon import LangOptions, Lexicon, Pronunciation
from kdasr.lang.statistics import ContextStatistics
from kdasr.lang.topology import Topology, make_topology
from kdasr.lang.tree import Window

Row = tuple[Window, int]  # window and state


@dataclass(frozen=True)
class Seen:
    """Frames (n, D) of each window and state of a small language that were seen."""

    topology: Topology
    frames: dict[Row, np.ndarray]

    def statistics(self) -> ContextStatistics:
        """Their sums, row by row."""
        rows = sorted(self.frames)
        sums = [[len(x), *x.sum(0), *(x**2).sum(0)] for x in (self.frames[row].astype(float) for row in rows)]
        windows, states = zip(*rows, strict=True)
        return ContextStatistics(np.array(windows), np.array(states), np.array(sums))

    def of_phone(self, phone: int) -> list[Row]:
        """The rows of a phone."""
        return [row for row in sorted(self.frames) if row[0][len(row[0]) // 2] == phone]


def topology(phones: str = "abcd", states: int = 2) -> Topology:
    """SIL and SPN (1 and 2) with two states each, and one letter for each phone."""
    options = LangOptions(states=states, silence_states=2)
    pronunciations: dict[str, list[Pronunciation]] = {"<UNK>": [("SPN",)], **{phone: [(phone,)] for phone in phones}}
    return make_topology(Lexicon(pronunciations, options))


def speak(num_phones: int = 150, dim: int = 2, width: int = 3, seed: int = 0, phones: str = "abcd") -> Seen:
    """Random phones, silence among them, each frame drawn about a point of its phone, state and neighbours."""
    rng, language = np.random.default_rng(seed), topology(phones)
    spoken = [0, 1, *(int(phone) for phone in rng.choice([1, 3, 4, 5, 6][: len(phones) + 1], num_phones)), 1, 0]
    point = rng.normal(size=(3, 7, 2, dim))  # of each neighbour or phone, by state
    frames: dict[Row, list[np.ndarray]] = {}
    for left, phone, right in zip(spoken, spoken[1:], spoken[2:], strict=False):
        window = (left, phone, right) if phone != 1 else (0, phone, 0)
        for state in range(2):
            centre = 2 * point[1, phone, state] + (point[0, left, state] if width > 1 else 0) + point[2, right, state]
            x = centre + rng.normal(size=(int(rng.integers(1, 5)), dim)) * rng.uniform(0.3, 1, dim)
            frames.setdefault((window[:width], state), []).append(x)
    return Seen(language, {row: np.concatenate(parts) for row, parts in frames.items()})


def log_likelihood(x: np.ndarray, floor: float) -> float:
    """Of frames (n, D) under the Gaussian that fits them: each frame's density taken by itself."""
    total = 0.0
    for column in x.T.tolist():
        mean = math.fsum(column) / len(column)
        variance = max(math.fsum((value - mean) ** 2 for value in column) / len(column), floor)
        total += math.fsum(
            -0.5 * math.log(2 * math.pi * variance) - (value - mean) ** 2 / (2 * variance) for value in column
        )
    return total
