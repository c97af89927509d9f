"""Ensembles: several models of one labelling that predict together."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from kdasr import io, jobs, models
from kdasr.data.examples import Examples
from kdasr.data.frames import windows
from kdasr.models import Model
from kdasr.refusal import Refusal, unknown_name
from kdasr.train import precision
from kdasr.train.accuracy import BATCH, Tally, in_order
from kdasr.train.job import TRAINED

MEANS = ("arithmetic", "geometric")
SHARED = ("labelling", "num_pdfs", "dim", "left", "right", "extractor")  # facts in which all members agree
VERBS = (*TRAINED, "joint")  # those that make models


def model_folders(folders: str | Path | Sequence[str | Path]) -> list[Path]:
    """The model folders that `folders` name: themselves, or their `member-<seed>` or `student-<seed>`, by seed."""
    found: list[Path] = []
    for folder in [folders] if isinstance(folders, (str, Path)) else folders:
        members = [path for path in Path(folder).glob("*-*") if re.fullmatch(r"(member|student)-\d+", path.name)]
        found += sorted(members, key=lambda path: int(path.name.rpartition("-")[2])) or [Path(folder)]
    return found


def fingerprints(role: str, folders: Sequence[Path]) -> dict[str, str]:
    """`<role>_<number>` -> content hash of each model folder. Raises Refusal where a folder holds no DNN."""
    return {f"{role}_{number}": io.fingerprint(folder, *VERBS) for number, folder in enumerate(folders)}


class Ensemble:
    """K models; an ensemble of one is that model.

    Args:
        members: the models.
        infos: what their folders say, one a member.
        mean: `arithmetic`, mean_k softmax(z_k / T), or `geometric`, softmax(mean_k z_k / T).
        names: the members' names for tables.
        compute: `fp32`, `bf16` or `auto`: arithmetic of the matrix products.
        device: `auto`, `cpu`, `cuda`, ...
    """

    def __init__(
        self,
        members: Sequence[Model],
        infos: Sequence[dict[str, Any]] = (),
        mean: str = "arithmetic",
        names: Sequence[str] = (),
        compute: str = "fp32",
        device: str = "cpu",
    ) -> None:
        if mean not in MEANS:
            raise unknown_name("mean", mean, MEANS, "Ensemble")
        self.device = precision.compute_device(device)
        dtype = precision.compute_dtype(compute, self.device)
        self.members = [models.cast(member.to(self.device), dtype).eval() for member in members]
        self.infos, self.mean = list(infos), mean
        self.names = list(names) or [f"member-{number}" for number in range(len(members))]
        self.counts: Tensor | None = None
        self.mean_posterior: Tensor | None = None

    @classmethod
    def load(
        cls,
        folders: str | Path | Sequence[str | Path],
        mean: str = "arithmetic",
        compute: str = "fp32",
        device: str = "cpu",
    ) -> Ensemble:
        """Reads models from their folders, or from folders of `member-<seed>` folders.

        Raises:
            Refusal: a folder is unfinished, or members disagree in labelling, classes or inputs.
        """
        paths = model_folders(folders)
        if not paths:
            raise Refusal("no model named", expected="one model folder at least")
        infos = [io.read_info(path, *VERBS) for path in paths]
        for path, info in zip(paths, infos, strict=True):
            for fact in SHARED:
                io.expect_same(
                    f"{fact} of the ensemble's members",
                    infos[0].get(fact),
                    info.get(fact),
                    path,
                    f"leave it out beside {paths[0]}",
                )
        ensemble = cls(
            [models.load(path / "model.safetensors") for path in paths],
            infos,
            mean,
            [str(path) for path in paths],
            compute,
            device,
        )
        priors = [io.load_tensors(path / "priors.safetensors")[0] for path in paths]
        ensemble.counts = torch.stack([prior["counts"] for prior in priors]).sum(0)
        ensemble.mean_posterior = torch.stack([prior["mean_posterior"] for prior in priors]).mean(0)
        return ensemble

    def __len__(self) -> int:
        return len(self.members)

    @property
    def num_pdfs(self) -> int:
        """S, number of classes (HMM states)."""
        return self.members[0].num_classes

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one input."""
        return self.members[0].input_shape

    @property
    def labelling(self) -> str:
        """What the classes mean: for speech the fingerprint of topology and tree."""
        return str(self.infos[0]["labelling"]) if self.infos else ""

    @property
    def topology(self) -> str:
        """The labelling, by its name in speech."""
        return self.labelling

    @property
    def fingerprints(self) -> list[str]:
        """Content hash of each member."""
        return [str(info["fingerprint"]) for info in self.infos]

    def expect(self, examples: Examples) -> None:
        """Refuses examples of another labelling, another window or features made otherwise than the models'."""
        if not self.infos:  # models of no folder
            return
        examples.expect_model(self.infos[0], self.names[0])

    @torch.no_grad()
    def logits(self, x: Tensor, members: Sequence[int] | None = None) -> Tensor:
        """Each member's logits, or those of some, (K, B, S) float32, of inputs (B, *input_shape)."""
        x = x.to(self.device)
        return torch.stack([member(x).float() for member in self._asked(members)])

    def _asked(self, members: Sequence[int] | None) -> list[Model]:
        return self.members if members is None else [self.members[number] for number in members]

    def mean_logits(self, x: Tensor) -> Tensor:
        """mean_k z_k, (B, S) float32: the dense logits of the geometric mean, good for any temperature."""
        return self.logits(x).mean(0)

    @torch.no_grad()
    def probabilities(self, x: Tensor, temperature: float = 1.0, members: Sequence[int] | None = None) -> Tensor:
        """The p_T of all members, or of some, (B, S) float32, by the ensemble's mean.

        Members are added up as they come: (K, B, S) logits would leave the cache before they are looked at again.
        """
        x, asked = x.to(self.device), self._asked(members)
        logits = (member(x).float() for member in asked)
        if self.mean == "geometric":
            return torch.softmax(reduce(torch.add, logits) / (len(asked) * temperature), 1)
        return reduce(torch.add, (torch.softmax(z / temperature, 1) for z in logits)) / len(asked)

    def log_probabilities(self, x: Tensor) -> Tensor:
        """The log of the prediction at T = 1, (B, S) float32."""
        return combine(self.logits(x), 1.0, self.mean)

    def log_posteriors(self, frames: Tensor | np.ndarray) -> Tensor:
        """Log posteriors of an utterance's frames, for decoding.

        Args:
            frames: features as in the feature table, (T, F), float32 or float16.

        Returns:
            (T, S) float32 on the CPU; exp of each row sums to 1. Posteriors are averaged before the log.
        """
        left, right = int(self.infos[0]["left"]), int(self.infos[0]["right"])
        column = torch.as_tensor(frames if isinstance(frames, Tensor) else np.array(frames)).float()
        if column.ndim != 2 or column.shape[1] != self.input_shape[-1]:
            expected = f"(T, {self.input_shape[-1]})"
            raise Refusal("frames of another dimension than the model's", expected=expected, found=tuple(column.shape))
        if not len(column):
            return column.new_zeros(0, self.num_pdfs)
        seen = windows(column, left, right)
        return torch.cat([self.log_probabilities(part).cpu() for part in seen.split(BATCH)])


def combine(logits: Tensor, temperature: float, mean: str) -> Tensor:
    """Log of the mean prediction of K models at temperature T.

    Args:
        logits: z, (K, B, S) float32.
        temperature: T.
        mean: `arithmetic` or `geometric`.

    Returns:
        (B, S) float32, normalised: log mean_k softmax(z_k / T), or log softmax(mean_k z_k / T).
    """
    if mean == "geometric":
        return F.log_softmax(logits.mean(0).div(temperature), dim=1)
    return torch.logsumexp(F.log_softmax(logits.div(temperature), dim=2), dim=0).sub(math.log(len(logits)))


def tally(ensemble: Ensemble, examples: Examples) -> tuple[Tally, list[Tally]]:
    """Counts up the ensemble's score and each member's, in one pass.

    Raises:
        Refusal: the examples are none that the models can be asked about.
    """
    ensemble.expect(examples)

    def predicted(batch: tuple[Tensor, Tensor]) -> tuple[list[Tensor], Tensor]:
        logits = ensemble.logits(batch[0])
        return [combine(logits, 1.0, ensemble.mean), *logits], batch[1]

    tallies = [Tally(examples.background) for _ in range(1 + len(ensemble))]
    for each_logits, y in jobs.in_threads(predicted, in_order(examples, ensemble.device)):
        for each, values in zip(tallies, each_logits, strict=True):
            each.add(values, y)
    return tallies[0], tallies[1:]
