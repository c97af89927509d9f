"""Soft targets (section 2): made from an ensemble, stored per frame, read by the examples' own index."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from kdasr import io, jobs, log
from kdasr.data.examples import Examples, RowMap, Source
from kdasr.data.table import read_utterances, write_utterances
from kdasr.distill import store
from kdasr.distill.cross_fit import Teachers
from kdasr.distill.ensemble import Ensemble, fingerprints, model_folders
from kdasr.distill.loss import DistillOptions, distillation_loss
from kdasr.distill.sparse import Sparse
from kdasr.distill.store import Store, StoreOptions
from kdasr.refusal import Refusal

PROBABILITIES, LOGITS = "probabilities", "logits"
VERB = "soft-targets"
BATCH_NUMBERS = 1 << 20  # log probabilities packed at once


def label_hash(labels: Sequence[str]) -> str:
    """What two label sets agree in: every name, in the order of the net's outputs."""
    return hashlib.sha256("\n".join(labels).encode()).hexdigest()[:16]


class Targets(Protocol):
    """Soft targets of examples at one temperature."""

    temperature: float

    def batch(self, index: Tensor, inputs: Tensor | None = None) -> Tensor | Sparse:
        """p_T of the examples `index` (B,), seen as `inputs` (B, ...): (B, S) float32, rows sum to 1."""


class LiveTargets:
    """Soft targets computed when they are asked for, from the inputs that the student sees (augmented ones).

    Args:
        ensemble: the teachers.
        temperature: T.
        examples: where inputs are read from when a batch gives none.
        per_batch: how many teachers are asked for a batch, drawn anew for each; 0: all.
    """

    def __init__(
        self, ensemble: Ensemble, temperature: float, examples: Examples | None = None, per_batch: int = 0
    ) -> None:
        self.temperature, self.examples = temperature, examples
        if examples is not None:
            ensemble.expect(examples)
        self.teachers = Teachers(ensemble, examples, per_batch)

    def batch(self, index: Tensor, inputs: Tensor | None = None) -> Tensor:
        """p_T of `inputs`, (B, S) float32."""
        if inputs is None:
            assert self.examples is not None
            inputs = self.examples.batch(index)[0]
        return self.teachers.probabilities(index, inputs, self.temperature)


class SoftTargets:
    """Stored soft targets, read by example number or by utterance.

    Those of an arithmetic mean are bound to the temperature they were made at; of a geometric one, whose p_T is
    softmax(z / T) of one z, they serve any: at another T the kept states keep their logits, and the tail is spread as
    if its logits had the shape of the prior's.

    Args:
        folder: made by `kdasr soft-targets`.
        examples: whose numbers `batch` gets; None to read by utterance alone.
        temperature: T wanted; None takes the one that was stored.

    Raises:
        Refusal: they are of another alignment, of other features or classes, or at another temperature.
    """

    def __init__(self, folder: str | Path, examples: Examples | None = None, temperature: float | None = None) -> None:
        self.folder = Path(folder)
        self.info = io.read_info(self.folder, VERB)
        if "store" not in self.info:
            raise Refusal("soft targets of an older kdasr", where=folder, do=io.AGAIN)
        stored = float(self.info["temperature"])
        self.temperature = stored if temperature is None else float(temperature)
        if self.info["kind"] == PROBABILITIES or self.info["store"]["tail"] == store.SAMPLED:
            do = "make soft targets at this temperature, or store a geometric mean, its tail not sampled"
            io.expect_same("the temperature of the soft targets", self.temperature, stored, folder, do)
        self.power = stored / self.temperature
        self.store = Store(self.folder, StoreOptions(**self.info["store"]))
        self.by_id = {utterance.id: utterance for utterance in read_utterances(self.folder)}
        listed = sum(utterance.num_frames for utterance in self.by_id.values())
        if listed != len(self.store):
            raise Refusal("frames are missing", where=folder, expected=listed, found=len(self.store), do=io.AGAIN)
        if examples is not None:
            self._check(examples)
            self._rows = RowMap(examples.parts, self.by_id, str(folder))

    def _check(self, examples: Examples) -> None:
        do = "make soft targets of these examples (kdasr soft-targets)"
        expected = examples.facts()
        for fact in examples.identity:
            what = f"{fact} of soft targets and examples"
            io.expect_same(what, expected.get(fact), self.info.get(fact), self.folder, do)

    def batch(self, index: Tensor, inputs: Tensor | None = None) -> Sparse:
        """p_T of the examples `index` (B,), (B, S); `inputs` are not looked at."""
        return self.store.read(self._rows(index).numpy(), self.power)

    def utterance(self, id: str) -> Sparse:
        """p_T of an utterance's frames, (T, S)."""
        if id not in self.by_id:
            raise Refusal(f"no utterance {id!r}", where=self.folder)
        begin = self.by_id[id].begin
        return self.store.read(np.arange(begin, begin + self.by_id[id].num_frames), self.power)


@dataclass(frozen=True)
class SoftTargetsJob:
    """Soft targets to make and store; travels to worker processes."""

    folder: Path
    source: Source
    teachers: tuple[Path, ...]
    distill: DistillOptions
    store: StoreOptions
    overwrite: bool = False

    @property
    def made(self) -> io.Made:
        """What makes the folder."""
        mean = self.distill.mean
        options = {"temperature": self.distill.temperature, "mean": mean, "store": self.store.of_mean(mean)}
        inputs = {**self.source.fingerprints(), **fingerprints("teacher", model_folders(self.teachers))}
        return io.Made(VERB, {**options, self.source.section: self.source.options}, inputs)

    def open(self) -> Maker:
        """Teachers and examples."""
        ensemble = Ensemble.load(self.teachers, self.distill.mean, device="auto")
        return Maker(self.folder, ensemble, self.source.open(), self.distill.temperature, self.store)


def make(job: SoftTargetsJob, num_jobs: int = 1) -> dict[str, Any]:
    """Writes an ensemble's soft targets of all examples, or goes on with them; returns the folder's info.

    Args:
        job: what to make.
        num_jobs: processes at most; each writes whole shards, the same ones as a single process would.
    """
    if io.begin(job.folder, job.made, job.overwrite):
        maker = job.open()
        numbers = range(maker.num_shards)
        if jobs.here(num_jobs):
            records = maker.write(numbers)
        else:
            pieces = [numbers[first::num_jobs] for first in range(min(num_jobs, len(numbers)))]
            written = jobs.run(_write, [(job, piece) for piece in pieces], num_jobs, title=str(job.folder))
            records = [written[number % len(pieces)][number // len(pieces)] for number in numbers]
        maker.finish(records)
    return io.read_info(job.folder)


def _write(piece: tuple[SoftTargetsJob, Sequence[int]]) -> list[dict[str, Any]]:
    job, numbers = piece
    return job.open().write(numbers)


class Maker:
    """Writes an ensemble's soft targets into a begun folder; shards that are there already are kept.

    Args:
        folder: the output.
        ensemble: the teachers.
        examples: the transfer set.
        temperature: T.
        options: what is kept of each frame.

    Raises:
        Refusal: the examples are none of the teachers', or have more states than 16 bits can name.
    """

    def __init__(
        self, folder: Path, ensemble: Ensemble, examples: Examples, temperature: float, options: StoreOptions
    ) -> None:
        ensemble.expect(examples)
        if examples.num_classes > store.MOST_STATES:
            expected = f"{store.MOST_STATES} at most"
            raise Refusal("too many states to store", where=folder, expected=expected, found=examples.num_classes)
        self.folder, self.ensemble, self.examples = folder, ensemble, examples
        self.temperature, self.options = temperature, options.of_mean(ensemble.mean)
        self.teachers = Teachers(ensemble, examples)

    @property
    def num_shards(self) -> int:
        """Files in all."""
        return -(-len(self.examples) // self.options.shard)

    def write(self, numbers: Sequence[int]) -> list[dict[str, Any]]:
        """Writes the shards `numbers`; returns what each holds."""
        return [self._shard(number) for number in log.progress(numbers, str(self.folder))]

    def _shard(self, number: int) -> dict[str, Any]:
        path, begin = store.shard_path(self.folder, number), number * self.options.shard
        index = torch.arange(begin, min(begin + self.options.shard, len(self.examples)))
        if not path.exists():
            batch = max(64, BATCH_NUMBERS // self.examples.num_classes)
            pieces = log.progress(index.split(batch), path.name)
            store.write_shard(path, list(jobs.in_threads(self._pack, pieces)))
        return store.Shard(path, len(index), self.options).record(self.examples.num_classes)

    def _pack(self, index: Tensor) -> store.Rows:
        try:
            inputs = self.examples.batch(index)[0]
            log_p = self.teachers.log_probabilities(index, inputs, self.temperature)
            return store.pack(log_p, self.options, int(index[0]))
        except Refusal as refusal:
            of = f"{self.ensemble.names[0]}, examples from {int(index[0])}"
            raise Refusal(refusal.what, where=of, expected=refusal.expected, found=refusal.found) from None

    def list_shards(self, records: Sequence[dict[str, Any]]) -> None:
        """Writes what a reader of the shards needs: their list, and the shape of the tail."""
        prior = self.examples.label_counts() + 1
        io.save_array(self.folder / store.TAIL, store.tail_shape(prior, self.options, self.temperature))
        io.write_json(self.folder / store.SHARDS, records)

    def finish(self, records: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """Finishes the folder, whose shards are all there; returns its info."""
        self.list_shards(records)
        write_utterances(self.folder, self.examples.parts)
        ensemble, num_frames = self.ensemble, len(self.examples)
        return io.finish(
            self.folder,
            **self.examples.facts(),
            temperature=self.temperature,
            mean=ensemble.mean,
            kind=LOGITS if ensemble.mean == "geometric" else PROBABILITIES,
            store=self.options,
            labels=label_hash(self.examples.class_names()),
            teachers=[
                {"folder": name, "fingerprint": print}
                for name, print in zip(ensemble.names, ensemble.fingerprints, strict=False)
            ],
            num_utterances=len(self.examples.parts),
            num_frames=num_frames,
            **store.totals(self.folder, records, self.options),
        )


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
