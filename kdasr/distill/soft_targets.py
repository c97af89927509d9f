"""Soft targets (section 2): made from an ensemble, stored per frame, read by the examples' own index."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from kdasr import io, jobs, log
from kdasr.data.examples import Examples, RowMap
from kdasr.data.table import FrameTable, FrameTableWriter, Utterance
from kdasr.distill.ensemble import Ensemble
from kdasr.distill.loss import DistillOptions, distillation_loss
from kdasr.refusal import Refusal
from kdasr.train.accuracy import BATCH

PROBABILITIES, LOGITS = "probabilities", "logits"


class Targets(Protocol):
    """Soft targets of examples at one temperature."""

    temperature: float

    def batch(self, index: Tensor, inputs: Tensor | None = None) -> Tensor:
        """p_T of the examples `index` (B,), seen as `inputs` (B, ...): (B, S) float32, rows sum to 1."""


class LiveTargets:
    """Soft targets computed when they are asked for, from the inputs that the student sees (augmented ones).

    Args:
        ensemble: the teachers.
        temperature: T.
        examples: where inputs are read from when a batch gives none.
    """

    def __init__(self, ensemble: Ensemble, temperature: float, examples: Examples | None = None) -> None:
        self.ensemble, self.temperature, self.examples = ensemble, temperature, examples
        if examples is not None:
            ensemble.expect(examples)

    def batch(self, index: Tensor, inputs: Tensor | None = None) -> Tensor:
        """p_T of `inputs`, (B, S) float32."""
        if inputs is None:
            assert self.examples is not None
            inputs = self.examples.batch(index)[0]
        return self.ensemble.probabilities(inputs, self.temperature)


class SoftTargets:
    """Stored soft targets, read by example number or by utterance.

    Probabilities (arithmetic mean) are bound to the temperature they were made at; logits (geometric) serve any.

    Args:
        folder: made by `make`.
        examples: whose numbers `batch` gets; None to read by utterance alone.
        temperature: T wanted; None takes the one that was stored.

    Raises:
        Refusal: they are of another alignment, of other features or classes, or at another temperature.
    """

    def __init__(self, folder: str | Path, examples: Examples | None = None, temperature: float | None = None) -> None:
        self.table = FrameTable(folder, "soft-targets")
        info = self.table.info
        self.kind, stored = info["kind"], float(info["temperature"])
        self.temperature = stored if temperature is None else float(temperature)
        if self.kind == PROBABILITIES:
            do = "make soft targets at this temperature, or store a geometric mean"
            io.expect_same("the temperature of the soft targets", self.temperature, stored, folder, do)
        if examples is not None:
            self._check(examples)
            self._rows = RowMap(examples.parts, self.table.by_id, str(folder))

    def _check(self, examples: Examples) -> None:
        do = "make soft targets of these examples (kdasr soft-targets)"
        expected = examples.facts()
        for fact in examples.identity:
            io.expect_same(
                f"{fact} of soft targets and examples",
                expected.get(fact),
                self.table.info.get(fact),
                self.table.folder,
                do,
            )

    def batch(self, index: Tensor, inputs: Tensor | None = None) -> Tensor:
        """p_T of the examples `index` (B,): (B, S) float32, rows sum to 1; `inputs` are not looked at."""
        return self._probabilities(self.table.rows(self._rows(index).numpy()))

    def utterance(self, id: str) -> Tensor:
        """p_T of an utterance's frames, (T, S) float32."""
        return self._probabilities(np.array(self.table.frames(id)))

    def _probabilities(self, rows: np.ndarray) -> Tensor:
        stored = torch.from_numpy(rows).float()
        if self.kind == LOGITS:
            return F.softmax(stored / self.temperature, dim=1)
        return stored / stored.sum(1, keepdim=True)  # float16 rounded them


def make(folder: Path, ensemble: Ensemble, examples: Examples, temperature: float) -> dict[str, Any]:
    """Writes the ensemble's soft targets of all examples, float16, into a begun folder, and finishes it.

    Args:
        folder: the output.
        ensemble: the teachers; an arithmetic mean stores probabilities at T, a geometric one its mean logits
            (each row with mean 0), which serve any T.
        examples: the transfer set.
        temperature: T.

    Returns:
        The folder's info.
    """
    ensemble.expect(examples)

    def rows(part: Utterance) -> np.ndarray:
        index = torch.arange(part.begin, part.begin + part.num_frames)
        found = [_rows(ensemble, examples.batch(some)[0], temperature) for some in index.split(BATCH)]
        return torch.cat(found).numpy()

    writer, parts = FrameTableWriter(folder), examples.parts
    for part, found in zip(log.progress(parts, str(folder)), jobs.in_threads(rows, parts), strict=True):
        writer.add(part.id, part.speaker, found)
    num_utterances = writer.close()
    return io.finish(
        folder,
        **examples.facts(),
        temperature=temperature,
        mean=ensemble.mean,
        kind=LOGITS if ensemble.mean == "geometric" else PROBABILITIES,
        teachers=[
            {"folder": name, "fingerprint": print}
            for name, print in zip(ensemble.names, ensemble.fingerprints, strict=False)
        ],
        num_utterances=num_utterances,
        num_frames=len(examples),
    )


def _rows(ensemble: Ensemble, x: Tensor, temperature: float) -> Tensor:
    if ensemble.mean == "arithmetic":
        return ensemble.probabilities(x, temperature).half().cpu()
    logits = ensemble.mean_logits(x)
    centred = logits - logits.mean(1, keepdim=True)
    limit = torch.finfo(torch.float16).max
    if float(centred.abs().max()) > limit:
        raise Refusal(
            "teacher logits do not fit float16",
            where=ensemble.names[0],
            expected=f"at most {limit}",
            found=float(centred.abs().max()),
        )
    return centred.half().cpu()


class Distillation:
    """A student's objective: the distillation loss, its targets fetched by the batch's own example numbers.

    Args:
        targets: the teacher's, at the options' temperature.
        options: temperature and weights.
    """

    def __init__(self, targets: Targets, options: DistillOptions) -> None:
        self.targets, self.options = targets, options

    def __call__(self, logits: Tensor, labels: Tensor, index: Tensor, inputs: Tensor) -> Tensor:
        """Mean loss a frame."""
        soft = self.targets.batch(index, inputs).to(logits.device)
        return distillation_loss(logits, soft, labels, self.options)
