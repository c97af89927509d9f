"""Cross-fitting: who left out a fold of the training set teaches that fold, which it has never seen.

Members know the frames that they were trained on by heart: their soft targets of these say little more than the labels.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from kdasr import io
from kdasr.data.examples import Examples
from kdasr.data.folds import UNSEEN, Folds
from kdasr.distill.ensemble import Ensemble, combine
from kdasr.refusal import Refusal


def folds(info: Mapping[str, Any]) -> int:
    """How many folds a model's training set had, of which it left out one; 0: it left out none."""
    return int(info.get("left_out", {}).get("of", 0))


class Teachers:
    """An ensemble as it teaches a training set: all members each example, or its fold's if they were cross-fitted.

    Unlabelled examples of speakers that no member was trained on are taught by all.

    Args:
        ensemble: the members.
        examples: what is taught; None: something else, by all members.
        per_batch: how many members `probabilities` asks for a batch, of those that may teach it; 0: all.

    Raises:
        Refusal: members left out folds of different numbers, or were trained on another set than the examples' labelled
            ones; or a fold of these was left out by none.
    """

    def __init__(self, ensemble: Ensemble, examples: Examples | None, per_batch: int = 0) -> None:
        self.ensemble, self.per_batch = ensemble, per_batch
        self._of: dict[int, list[int]] = {UNSEEN: list(range(len(ensemble)))}
        self._folds: Folds | None = None
        if examples is None or not (number := self._number()):
            return
        self._folds = Folds(examples, number)
        what, do = "the training set of a cross-fitted member", "teach the set that the members were trained on"
        for member, info in enumerate(ensemble.infos):
            theirs = {name: info["inputs"].get(name) for name in examples.labelled}
            io.expect_same(what, examples.labelled, theirs, ensemble.names[member], do)
            self._of.setdefault(int(info["left_out"]["fold"]), []).append(member)
        missing = sorted(self._folds.present - self._of.keys())
        if missing:
            raise Refusal(
                "no teacher for a part of the training set",
                where=", ".join(ensemble.names),
                expected=f"a member that left out each of {number} folds",
                found=f"none that left out {', '.join(map(str, missing))}",
                do=f"train members of more seeds: member-s leaves out fold s % {number}",
            )

    def _number(self) -> int:
        infos = self.ensemble.infos
        for name, info in zip(self.ensemble.names, infos, strict=False):
            do = "train all members with one train.folds"
            io.expect_same("folds of the ensemble's members", folds(infos[0]), folds(info), name, do)
        return folds(infos[0]) if infos else 0

    def log_probabilities(self, index: Tensor, x: Tensor, temperature: float) -> Tensor:
        """Log p_T of the examples `index` (B,), seen as `x` (B, ...): (B, S) float32."""
        ensemble = self.ensemble
        return self._taught(index, x, lambda x, of: combine(ensemble.logits(x, of), temperature, ensemble.mean))

    def probabilities(self, index: Tensor, x: Tensor, temperature: float) -> Tensor:
        """p_T of the examples `index` (B,), seen as `x` (B, ...): (B, S) float32.

        Of some members it is right in the mean over draws: the loss is linear in p_T, and so is its gradient. Teachers
        that take turns: Fukuda et al., "Efficient knowledge distillation from an ensemble of teachers" (2017).
        """
        return self._taught(index, x, lambda x, of: self.ensemble.probabilities(x, temperature, self._drawn(of, index)))

    def _drawn(self, of: Sequence[int], index: Tensor) -> Sequence[int]:
        """Draws by the batch's first example: a run that goes on draws the same members, with nothing to keep."""
        if not 0 < self.per_batch < len(of):
            return of
        return random.Random(int(index[0])).sample(of, self.per_batch)

    def _taught(self, index: Tensor, x: Tensor, predict: Callable[[Tensor, Sequence[int]], Tensor]) -> Tensor:
        if self._folds is None:
            return predict(x, self._of[UNSEEN])
        found = x.new_empty(len(x), self.ensemble.num_pdfs, device=self.ensemble.device)
        which = self._folds(index)
        for fold in which.unique().tolist():
            rows = torch.nonzero(which == fold)[:, 0].to(x.device)
            found.index_copy_(0, rows.to(found.device), predict(x.index_select(0, rows), self._of[fold]))
        return found
