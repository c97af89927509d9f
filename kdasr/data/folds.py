"""Folds of a training set: its speakers dealt out by their names, so that whoever deals finds the same ones."""

from __future__ import annotations

import hashlib
import re

import torch
from torch import Tensor

from kdasr import log
from kdasr.data.examples import Examples
from kdasr.refusal import Refusal

COPY = re.compile(r"^(?:sp[\d.]+-)+")  # how copies at another speed name a speaker
UNSEEN = -1  # fold of an example that no model is trained on


def original(speaker: str) -> str:
    """The speaker of whom one at another speed (`sp0.9-anna`) is a copy."""
    return COPY.sub("", speaker)


def fold(name: str, number: int) -> int:
    """The fold, of 0 to `number` - 1, that a speaker is in."""
    return int(hashlib.sha256(original(name).encode()).hexdigest(), 16) % number


class Folds:
    """The fold of each example: its speaker's, or that of its part where parts have none.

    A transfer set's speakers who are in no labelled part either are in no fold: no model learns from them.

    Args:
        examples: the training set.
        number: how many folds.
    """

    def __init__(self, examples: Examples, number: int) -> None:
        parts, trained_on = examples.parts, examples.num_labelled_parts
        speakers = [original(part.speaker) or part.id for part in parts]
        seen = set(speakers[:trained_on])
        folds = [fold(speaker, number) if speaker in seen else UNSEEN for speaker in speakers]
        self._of_part, self._parts_of = torch.tensor(folds), examples.parts_of

    @property
    def present(self) -> set[int]:
        """The folds that have examples."""
        return set(self._of_part.tolist())

    def __call__(self, index: Tensor) -> Tensor:
        """Folds of the examples `index` (B,), (B,) int64; `UNSEEN` of those in none."""
        return self._of_part[self._parts_of(index)]


def without(examples: Examples, pool: Tensor, left_out: int, number: int) -> Tensor:
    """The examples of a pool that are not in the fold `left_out` of `number`.

    Raises:
        Refusal: all are in it.
    """
    kept = pool[Folds(examples, number)(pool) != left_out]
    if len(pool) and not len(kept):
        raise Refusal(
            "all speakers are in the fold that is left out",
            where="folds",
            expected="speakers of several folds",
            found=f"those of fold {left_out} of {number} alone",
            do="set another number of folds, or 0 for none",
        )
    if len(kept) == len(pool):
        log.event(f"no speaker is in fold {left_out} of {number}: none is left out")
    return kept
