"""What a folder of soft targets holds, and what it lost of the teachers' own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from kdasr import io, log
from kdasr.data.examples import Examples
from kdasr.distill.cross_fit import Teachers
from kdasr.distill.ensemble import Ensemble
from kdasr.distill.soft_targets import BATCH_NUMBERS, SoftTargets
from kdasr.distill.store import SAMPLED, shard_path
from kdasr.refusal import Refusal

SAMPLE = 4096  # frames that entropy and divergence are taken over


@dataclass(frozen=True)
class Content:
    """Stored soft targets in numbers.

    Attributes:
        frames: rows.
        states: S.
        size: bytes of all shards.
        kept: entries a frame: mean, median, most.
        mass: of the kept entries, drawn ones left out: mean, least of a frame.
        sampled: whether drawn ones stand for the rest.
        entropy: of what is stored, at the stored temperature, nats a frame, over a sample.
    """

    frames: int
    states: int
    size: int
    kept: tuple[float, int, int]
    mass: tuple[float, float]
    sampled: bool
    entropy: float

    def __str__(self) -> str:
        frame, (mean, median, most) = self.size / self.frames, self.kept
        return (
            f"{self.frames} frames, {self.states} states\n"
            f"size: {self.size / 1e6:.1f} MB, {frame:.1f} bytes a frame, "
            f"{25 * frame / self.states:.2f} % of dense float32\n"
            f"kept: {mean:.1f} states a frame (median {median}, most {most}), "
            f"mass {self.mass[0]:.5f} (least {self.mass[1]:.5f}){', for the rest stand drawn ones' * self.sampled}\n"
            f"entropy: {self.entropy:.3f} nats, of what is stored"
        )


def content(targets: SoftTargets) -> Content:
    """Counts up all that is stored; compares each shard with its checksum.

    Raises:
        Refusal: a shard is not what was written.
    """
    store = targets.store
    counts, mass, least, size = np.zeros(store.options.keep + 1, np.int64), 0.0, 1.0, 0
    for number, shard in log.progress(enumerate(store.shards), str(store.folder), len(store.shards)):
        record = store.records[number]
        path = shard_path(store.folder, number)
        found = io.file_hash(path)
        if found != record["hash"]:
            raise Refusal("damaged shard", where=path, expected=record["hash"], found=found, do=io.AGAIN)
        each = shard.kept_mass(len(store.tail))
        counts += np.bincount(np.diff(shard.heads["begin"].astype(np.int64)), minlength=len(counts))
        mass, least, size = mass + float(each.sum()), min(least, float(each.min())), size + path.stat().st_size
    frames, sizes = len(store), np.arange(len(counts))
    mean = float(counts @ sizes) / frames
    median, most = int(np.searchsorted(counts.cumsum(), frames / 2)), int(sizes[counts > 0].max())
    kept, sampled = (mean, median, most), store.options.tail == SAMPLED
    return Content(frames, len(store.tail), size, kept, (mass / frames, least), sampled, _entropy(targets))


def _entropy(targets: SoftTargets) -> float:
    store = targets.store
    rows = _spread(len(store))
    batches = rows.split(max(1, BATCH_NUMBERS // len(store.tail)))
    p = (store.read(some.numpy()).dense().double().clamp_min(0) for some in batches)
    return sum(float(torch.special.entr(each).sum()) for each in p) / len(rows)


def divergence(targets: SoftTargets, ensemble: Ensemble, examples: Examples) -> tuple[float, float]:
    """KL(teachers || stored) at the stored temperature: its mean over a sample of examples, and the most of one, nats.

    It is endless where a sampled tail leaves states out; `variance` tells of those.

    Args:
        targets: of these examples.
        ensemble: the teachers that they are of, by the same mean.
        examples: the transfer set.

    Raises:
        Refusal: other teachers made the targets.
    """
    found = []
    for log_p, stored in _compared(targets, ensemble, examples):
        log_q = stored.clamp_min(torch.finfo(torch.float32).tiny).log()
        found.append((log_p.exp() * (log_p - log_q)).sum(1))
    each = torch.cat(found)
    return float(each.mean()), float(each.max())


def variance(targets: SoftTargets, ensemble: Ensemble, examples: Examples) -> tuple[float, float]:
    """Squared distance of what is stored from the teachers' p, and that of labels drawn by p, 1 - sum_i p_i^2.

    Means over a sample of examples; arguments and errors are those of `divergence`.
    """
    stored, drawn = [], []
    for log_p, q in _compared(targets, ensemble, examples):
        p = log_p.exp()
        stored.append((p - q).square().sum(1))
        drawn.append(1 - p.square().sum(1))
    return float(torch.cat(stored).mean()), float(torch.cat(drawn).mean())


def _compared(
    targets: SoftTargets, ensemble: Ensemble, examples: Examples
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """The teachers' log p, and q that is stored, float64, of a sample of examples, in batches."""
    stored = [teacher["fingerprint"] for teacher in targets.info["teachers"]]
    io.expect_same("the teachers", stored, ensemble.fingerprints, targets.folder, "name those that made it")
    teachers = Teachers(ensemble, examples)
    for some in _spread(len(examples)).split(max(1, BATCH_NUMBERS // examples.num_classes)):
        log_p = teachers.log_probabilities(some, examples.batch(some)[0], targets.temperature)
        yield log_p.double().cpu(), targets.batch(some).dense().double()


def _spread(number: int) -> torch.Tensor:
    """Numbers from 0 to `number` - 1, evenly spread, (at most SAMPLE,) int64."""
    return torch.linspace(0, number - 1, min(number, SAMPLE), dtype=torch.float64).long()
