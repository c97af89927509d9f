"""What a specialist knows and sees: its subset S^m, all other classes in one dustbin, half its examples from S^m.

Half and half is not how often the classes are. A logit that is right for these examples is too low for the dustbin by
log((1 - pi) / pi), pi being the share of S^m in the training examples (section 5.2). Here that is added from the first
step on, and taken off again where the loss looks at the logits: the trained net is the one to whose dustbin bias it is
added after training, and the development set is scored in between as the net will be used.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from kdasr.data.examples import Examples, Sampler, Source
from kdasr.distill.loss import DistillOptions, soft_cross_entropy
from kdasr.models import Model
from kdasr.refusal import Refusal, unknown_name
from kdasr.train.loop import TrainOptions

DUSTBIN, FULL = "dustbin", "full"
KINDS = (DUSTBIN, FULL)


@dataclass(frozen=True)
class SpecialistOptions(TrainOptions):
    """How a specialist is trained; an epoch is once through the examples of its subset, and as many of the others.

    Attributes:
        largest_epoch: an epoch at most, as a part of all training examples; it holds a random part of a subset that is
            larger, so that no specialist trains much longer than the others.
        kind: `dustbin`, a softmax over the subset and one class for all others; or `full` (section 6.1), over all
            classes, and the generalist's soft targets for those outside of the subset.
    """

    kind: str = DUSTBIN
    largest_epoch: float = 0.2

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.kind not in KINDS:
            raise unknown_name("kind", self.kind, KINDS, "specialist.kind")
        if self.batch_size < 2 or self.largest_epoch <= 0:
            raise ValueError(
                "batch_size is at least 2, one example of the subset and one of the others; largest_epoch above 0"
            )


def expect_subset(subset: Sequence[int], num_classes: int, where: object = None) -> None:
    """Refuses a subset that is empty, of all classes, or of others than the classes 0 to `num_classes` - 1."""
    place, some = None if where is None else str(where), f"some of the {num_classes} classes, each once"
    if not isinstance(subset, Sequence) or not all(type(one) is int for one in subset):
        raise Refusal("no subset of the classes", where=place, expected=f"numbers, {some}", found=str(subset)[:80])
    if not subset:
        raise Refusal("a subset without a class", where=place, expected=some)
    if len(set(subset)) < len(subset) or min(subset) < 0 or max(subset) >= num_classes:
        raise Refusal("no subset of the classes", where=place, expected=some, found=", ".join(map(str, subset[:20])))
    if len(subset) == num_classes:
        what = "a subset of all classes, which leaves no dustbin"
        raise Refusal(what, where=place, expected=some, do="make it smaller")


def expect_examples(counts: Tensor, subset: Sequence[int], where: object = None) -> None:
    """Refuses a subset of which no training example is, or all; `counts` are those of all classes, (S,)."""
    inside, every = int(counts[list(subset)].sum()), int(counts.sum())
    if not 0 < inside < every:
        what, found = "the training examples are all of the subset, or none", f"{inside} of {every}"
        do = "find subsets of another number or size, or leave it out (--only)"
        raise Refusal(what, where=None if where is None else str(where), expected="some", found=found, do=do)


class HalfAndHalf(Sampler):
    """Batches of which one half is of the subset, the other drawn at random from the rest.

    An epoch is a permutation of the subset's examples, or the beginning of one; a smaller last batch is left out.
    Batches are of an even size.

    Args:
        inside: numbers of the subset's examples, (I,) int64 or int32.
        outside: numbers of the others, (O,) of the same type.
        batch_size: examples a batch, of all ranks together; one fewer if it is odd.
        most: examples an epoch, at most; one batch at least.
        seed: of the permutations and draws.
        rank: which slice of every batch this process takes, out of `world`.
        world: number of processes that train one model together.
    """

    def __init__(
        self, inside: Tensor, outside: Tensor, batch_size: int, most: int, seed: int, rank: int = 0, world: int = 1
    ) -> None:
        super().__init__(inside, batch_size, seed, rank, world)
        half = min(batch_size // 2, len(inside))
        self.outside, self.batch_size = outside, 2 * half
        self.batches_per_epoch = max(1, min(len(inside) // half, most // self.batch_size))

    def _draw(self, generator: torch.Generator) -> Tensor:
        half = self.batch_size // 2
        inside = super()._draw(generator)[: half * self.batches_per_epoch]
        outside = self.outside[torch.randint(len(self.outside), inside.shape, generator=generator)]
        return torch.stack([inside.view(-1, half), outside.view(-1, half)], 1).flatten()


class SpecialistExamples(Examples):
    """A set as a specialist sees it: another column of labels, drawn half and half.

    Args:
        examples: of all classes.
        subset: S^m, some of the classes.
        kind: `dustbin`: labels are positions in the subset, or its length for the dustbin; `full`: all classes.
        largest_epoch: an epoch at most, as a part of the examples it is drawn from.
    """

    def __init__(
        self, examples: Examples, subset: Sequence[int], kind: str = DUSTBIN, largest_epoch: float = 1.0
    ) -> None:
        expect_subset(subset, examples.num_classes)
        self.largest_epoch = largest_epoch
        self.examples, self.subset = examples, torch.tensor(subset)
        self.inside = torch.zeros(examples.num_classes, dtype=torch.bool)
        self.inside[self.subset] = True
        self.column = torch.arange(examples.num_classes)  # class -> label
        if kind == DUSTBIN:
            self.column = self.column.new_full((examples.num_classes,), len(subset))
            self.column[self.subset] = torch.arange(len(subset))
        self.num_classes = int(self.column.max()) + 1
        self.input_shape, self.fingerprint = examples.input_shape, examples.fingerprint
        self.labelling, self.parts, self.identity = examples.labelling, examples.parts, examples.identity
        self.extractor, self.movable, self.labelled = examples.extractor, examples.movable, examples.labelled
        kept = [number for number in examples.background if kind == FULL or self.inside[number]]
        self.background = tuple(int(self.column[number]) for number in kept)

    def batch(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """Inputs (B, *input_shape) float32 and the specialist's labels (B,) int64 of the examples `index` (B,)."""
        x, y = self.examples.batch(index)
        return x, self.column[y]

    def labels(self) -> Tensor:
        """The specialist's labels of all examples, (N,) int64."""
        return self.column[self.examples.labels().long()]

    def statistics(self) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of all inputs."""
        return self.examples.statistics()

    def facts(self) -> dict[str, Any]:
        """What the set itself records."""
        return self.examples.facts()

    def pool(self, fraction: float, seed: int) -> Tensor:
        """Numbers of a random part of the examples, of all classes, ascending."""
        return self.examples.pool(fraction, seed)

    def share(self, pool: Tensor) -> float:
        """pi, the share of the subset in the examples `pool`.

        Raises:
            Refusal: all of them are of the subset, or none.
        """
        counts = self.examples.label_counts(pool)
        expect_examples(counts, self.subset.tolist())
        return int(counts[self.subset].sum()) / len(pool)

    def _inside(self, pool: Tensor) -> Tensor:
        """Which of the examples `pool` are of the subset, (M,) bool."""
        return self.inside[self.examples.labels().index_select(0, pool).long()]

    def sampler(self, pool: Tensor, batch_size: int, seed: int, rank: int = 0, world: int = 1) -> HalfAndHalf:
        """Batches of the examples in `pool`, half of the subset."""
        of_subset = self._inside(pool)
        return HalfAndHalf(
            pool[of_subset], pool[~of_subset], batch_size, round(self.largest_epoch * len(pool)), seed, rank, world
        )


@dataclass(frozen=True)
class SpecialistSource:
    """Where a specialist's set comes from; travels to worker processes and opens there."""

    source: Source
    subset: tuple[int, ...]
    kind: str = DUSTBIN
    largest_epoch: float = 1.0

    @property
    def options(self) -> Any:
        """What shapes the examples."""
        return self.source.options

    @property
    def section(self) -> str:
        """Section of the settings that `options` are."""
        return self.source.section

    def open(self) -> SpecialistExamples:
        """The examples."""
        return SpecialistExamples(self.source.open(), self.subset, self.kind, self.largest_epoch)

    def fingerprints(self) -> dict[str, str]:
        """Name of each input -> its content hash."""
        return self.source.fingerprints()


def correction(share: float) -> float:
    """What the dustbin's logit lacks after training half and half: log((1 - pi) / pi), pi being the subset's share."""
    return math.log1p(-share) - math.log(share)


@torch.no_grad()
def cut(generalist: Model, subset: Sequence[int], prior: Tensor) -> Model:
    """A copy of the generalist whose output layer is cut to a subset and a dustbin.

    The dustbin's logit ought to be log sum_c exp z_c over the other classes, which no linear unit is. Of any weights
    r_c that sum to 1, sum_c r_c z_c + H(r) is a bound below it, and linear: equal to it where r is the softmax of the
    z_c. So r is how probable the classes are on the whole, and the dustbin starts as their mean by r, plus H(r).

    Args:
        generalist: over all classes.
        subset: S^m.
        prior: how probable the generalist finds each class on average, (S,), above 0.

    Returns:
        A model of len(subset) + 1 classes, the dustbin last.
    """
    rest = torch.ones(generalist.num_classes, dtype=torch.bool)
    rest[list(subset)] = False
    r = F.normalize(prior[rest].double().clamp_min(1e-12), p=1, dim=0).float()
    weight, bias = generalist.output_weight(), generalist.output_bias()
    dustbin = r @ weight[rest], r @ bias[rest] + torch.special.entr(r).sum()
    model = copy.deepcopy(generalist)
    kept = list(subset)
    model.replace_output(torch.cat([weight[kept], dustbin[0][None]]), torch.cat([bias[kept], dustbin[1][None]]))
    return model


class Balanced:
    """Cross-entropy on examples that are half of the subset, for logits that are right for all examples.

    Args:
        others: which of the model's classes are not of the subset, (C,) bool: the dustbin, or all outside.
        share: pi, of the subset in the training examples.
    """

    def __init__(self, others: Tensor, share: float) -> None:
        self.shift = correction(share) * others.float()

    def __call__(self, logits: Tensor, labels: Tensor, index: Tensor, inputs: Tensor) -> Tensor:
        """Mean loss a frame."""
        return F.cross_entropy(logits - self.shift.to(logits.device), labels)


class Retained(Balanced):
    """The full softmax's loss: hard labels, and the generalist's soft targets among the classes outside (section 6.1).

    w_hard CE(y, q) + w_soft T^2 CE(p_T, q_T), the latter of the softmax over the classes outside of the subset alone:
    it keeps what the generalist knows of them, and leaves to the labels how much all of them get.

    Args:
        generalist: as it was, on the device.
        others: the classes outside of the subset, (S,) bool.
        share: pi.
        options: T, w_soft, w_hard.
    """

    def __init__(self, generalist: Model, others: Tensor, share: float, options: DistillOptions) -> None:
        super().__init__(others, share)
        self.generalist, self.options = generalist, options
        self.outside = others.nonzero().flatten()

    def __call__(self, logits: Tensor, labels: Tensor, index: Tensor, inputs: Tensor) -> Tensor:
        """Mean loss a frame."""
        outside, temperature = self.outside.to(logits.device), self.options.temperature
        with torch.no_grad():
            soft = self.generalist(inputs).float()[:, outside].div(temperature).softmax(1)
        hard = super().__call__(logits, labels, index, inputs)
        kept = soft_cross_entropy(logits[:, outside], soft, temperature)
        return self.options.hard_weight * hard + self.options.soft_weight * temperature**2 * kept
