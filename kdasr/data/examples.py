"""The example index: a training set is a table of examples 0..N-1, and all its columns are read by number.

Inputs, hard labels and soft targets are columns. A subset is a pool of numbers, an epoch a permutation of it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, Protocol

import torch
from torch import Tensor

from kdasr import io
from kdasr.data.table import Utterance
from kdasr.refusal import Refusal


def number_type(count: int) -> torch.dtype:
    """The smallest type that numbers so many examples; a sampler holds two numbers an example in memory."""
    return torch.int32 if count <= torch.iinfo(torch.int32).max else torch.int64


class Examples(ABC):
    """A training or test set, read by example number.

    Attributes:
        num_classes: S, number of classes.
        input_shape: shape of one input.
        fingerprint: content hash of everything that `batch` returns.
        labelling: says what the classes mean; models and targets of another labelling are refused.
        background: classes left out of the second accuracy (silence states of speech).
        parts: the stretches in which columns are stored (utterances for speech), in the examples' order.
        labelled: content hashes of what has labels, without transfer sets, by the names that a model's inputs have.
        identity: names of the facts in which a stored column of these examples must agree with them.
        extractor: settings that made the inputs, as far as a model must know them; None if they are not recorded.
        movable: whether a shifted input is still one of its class, as an image's is.
    """

    num_classes: int
    input_shape: tuple[int, ...]
    fingerprint: str
    labelling: str
    background: tuple[int, ...] = ()
    parts: Sequence[Utterance]
    labelled: Mapping[str, str]
    identity: tuple[str, ...]
    extractor: Any = None
    movable: bool = False

    def __len__(self) -> int:
        return self.parts[-1].begin + self.parts[-1].num_frames if self.parts else 0

    @property
    def num_labelled_parts(self) -> int:
        """How many of the parts, from the first, have labels; the others are transfer sets."""
        return len(self.parts)

    @abstractmethod
    def batch(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """Inputs (B, *input_shape) float32 and hard labels (B,) int64, -1 for none, of examples `index` (B,) int64."""

    @abstractmethod
    def labels(self) -> Tensor:
        """Hard labels of all examples, (N,) of an integer type; -1 where there is none."""

    @abstractmethod
    def statistics(self) -> tuple[Tensor, Tensor]:
        """Global mean and standard deviation of the inputs, each `input_shape`, float32."""

    @abstractmethod
    def facts(self) -> dict[str, Any]:
        """What a model trained on these examples records: dimensions, context, labelling, fingerprints."""

    def expect_model(self, info: Mapping[str, Any], where: str) -> None:
        """Refuses a model of another labelling, another window or features made otherwise than these examples'.

        Args:
            info: what the model's folder says of it.
            where: the folder's name.
        """
        expected = (self.labelling, tuple(self.input_shape), self.extractor)
        found = (info["labelling"], tuple(info["model"]["input_shape"]), info.get("extractor"))
        do = ("name alignments by one GMM", "set frames.left and frames.right as theirs", "make the features as theirs")
        for what, theirs, own, way in zip(("labelling", "input shape", "extractor"), expected, found, do, strict=True):
            io.expect_same(f"the {what} of models and examples", theirs, own, where, way)

    def pool(self, fraction: float, seed: int) -> Tensor:
        """Numbers of a random part of the examples, ascending, (M,) of `number_type`; section 6 trains on 3 %."""
        dtype = number_type(len(self))
        if fraction >= 1:
            return torch.arange(len(self), dtype=dtype)
        order = torch.randperm(len(self), generator=torch.Generator().manual_seed(seed), dtype=dtype)
        return order[: max(1, round(fraction * len(self)))].sort().values

    def sampler(self, pool: Tensor, batch_size: int, seed: int, rank: int = 0, world: int = 1) -> Sampler:
        """Batches of the examples in `pool`, in training's order."""
        return Sampler(pool, batch_size, seed, rank, world)

    def class_names(self) -> list[str]:
        """A name for each class, its number where it has none."""
        return [str(number) for number in range(self.num_classes)]

    def label_counts(self, pool: Tensor | None = None) -> Tensor:
        """How often each class is the label, (S,) int64, of the examples in `pool` or of all."""
        labels = (self.labels() if pool is None else self.labels().index_select(0, pool)).cpu()
        return torch.bincount(labels[labels >= 0], minlength=self.num_classes)

    def names(self, index: Tensor) -> list[str]:
        """Names of the parts that the examples `index` lie in, each once."""
        return [self.parts[number].id for number in self.parts_of(index).unique().tolist()]

    def parts_of(self, index: Tensor) -> Tensor:
        """Position in `parts` of the part that each of the examples `index` (B,) lies in, (B,) int64."""
        return torch.bucketize(index.cpu().contiguous(), self._ends, right=True)

    @cached_property
    def _ends(self) -> Tensor:
        return torch.tensor([part.begin + part.num_frames for part in self.parts])


class Source(Protocol):
    """Where a set's examples come from; travels to worker processes and opens there."""

    @property
    def options(self) -> Any:
        """What shapes the examples."""

    @property
    def section(self) -> str:
        """Section of the settings that `options` are."""

    def open(self) -> Examples:
        """The examples."""

    def fingerprints(self) -> dict[str, str]:
        """Name of each input -> its content hash."""


class RowMap:
    """Example number -> row of a table that holds the same parts, in whatever order.

    Args:
        parts: parts of the examples, in the examples' order.
        stored: part id -> where the table holds it.
        where: the table's name for the refusal.

    Raises:
        Refusal: the table lacks a part, or holds another number of frames of it.
    """

    def __init__(self, parts: Sequence[Utterance], stored: Mapping[str, Utterance], where: str) -> None:
        for part in parts:
            if part.id not in stored:
                raise Refusal(
                    f"no utterance {part.id!r}",
                    where=where,
                    do="make it again for these features and alignment",
                )
            found = stored[part.id].num_frames
            if found != part.num_frames:
                raise Refusal(
                    f"utterance {part.id!r} has another number of frames",
                    where=where,
                    expected=part.num_frames,
                    found=found,
                )
        self._ends = torch.tensor([part.begin + part.num_frames for part in parts])
        self._shifts = torch.tensor([stored[part.id].begin - part.begin for part in parts])

    def part(self, index: Tensor) -> Tensor:
        """Position in `parts` of the part that each example lies in, (B,) int64."""
        return torch.bucketize(index.contiguous(), self._ends, right=True)

    def __call__(self, index: Tensor) -> Tensor:
        """Rows of the examples `index`, (B,) int64."""
        return index + self._shifts[self.part(index)]


class Sampler:
    """Batches of example numbers without end: each epoch a permutation of the pool, seeded by (seed, epoch).

    A last batch that would be smaller is left out (other examples each epoch), so all steps weigh the same.

    Args:
        pool: the numbers to draw from, (M,) int64 or int32.
        batch_size: examples a batch, of all ranks together.
        seed: seed of the permutations.
        rank: which slice of every batch this process takes, out of `world`.
        world: number of processes that train one model together.
    """

    def __init__(self, pool: Tensor, batch_size: int, seed: int, rank: int = 0, world: int = 1) -> None:
        self.pool, self.seed, self.rank, self.world = pool, seed, rank, world
        self.batch_size = min(batch_size, len(pool))
        self.batches_per_epoch = len(pool) // max(1, self.batch_size)
        self.epoch, self.position = 0, 0
        self._order: tuple[int, Tensor] = (-1, pool)

    def next(self) -> Tensor:
        """The next batch of example numbers, (B,) int64."""
        if self.position == self.batches_per_epoch:
            self.epoch, self.position = self.epoch + 1, 0
        begin = self.position * self.batch_size
        self.position += 1
        return self._permutation()[begin + self.rank : begin + self.batch_size : self.world].long()

    def _permutation(self) -> Tensor:
        if self._order[0] != self.epoch:
            self._order = self.epoch, self._draw(torch.Generator().manual_seed((self.seed << 20) + self.epoch))
        return self._order[1]

    def _draw(self, generator: torch.Generator) -> Tensor:
        """The examples of an epoch, in order."""
        order = torch.randperm(len(self.pool), generator=generator, dtype=number_type(len(self.pool)))
        return self.pool.index_select(0, order)

    def state_dict(self) -> dict[str, int]:
        """All that a resumed run needs."""
        return {"seed": self.seed, "epoch": self.epoch, "position": self.position}

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Goes on where `state_dict` was taken."""
        self.seed, self.epoch, self.position = state["seed"], state["epoch"], state["position"]
