"""Which classes a generalist confuses (section 5.3): covariance of its predictions, and subsets of it by k-means."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from kdasr.refusal import Refusal
from kdasr.train.accuracy import expect_numbers


@dataclass(frozen=True)
class SubsetOptions:
    """How classes are put into subsets; the paper has 61 of 300 classes each, of 15,000.

    Attributes:
        number: of subsets, one a specialist.
        size: classes of each, those whose columns are nearest to its centroid; some are in several subsets.
        partition: take the clusters themselves in place of it, each class in one subset.
        correlation: of the predictions in place of their covariance, so that frequent classes do not decide alone.
        cosine: compare the directions of columns, each without its class's own variance, so that it counts what a class
            is confused with, not how much; false: columns as they are, whose rare classes all lie near zero.
        temperature: of the predictions. At 1 a net that has learnt its training examples by heart confuses few of them;
            at a higher one it still tells what is like what (section 2).
        fraction: part of the transfer set, above 0 to 1.
        limit: most classes whose whole matrix is kept, S x S float64 (128 MiB at 4096); above, a sketch of its columns.
        sketch: numbers of each column in a sketch; distances are then right to about 1 / sqrt of it.
        seed: of sample, sketch and k-means.
        batch: columns that on-line k-means looks at in a step.
        starts: of k-means from other centroids; the best is taken.
    """

    number: int = 10
    size: int = 100
    partition: bool = False
    correlation: bool = True
    cosine: bool = True
    temperature: float = 4.0
    fraction: float = 1.0
    limit: int = 4096
    sketch: int = 256
    seed: int = 0
    batch: int = 1024
    starts: int = 3

    def __post_init__(self) -> None:
        if min(self.number, self.size, self.limit, self.sketch, self.batch, self.starts) < 1:
            raise ValueError("number, size, limit, sketch, batch and starts are at least 1")
        if not 0 < self.fraction <= 1:
            raise ValueError("fraction lies in 0 < fraction <= 1")
        if not self.temperature > 0:
            raise ValueError("temperature is above 0")


class Confusion:
    """Covariance of predictions, added up in one pass, in float64.

    Beyond the limit the columns are kept as their products with `sketch` random vectors of normal numbers, which keep
    distances between columns (Johnson and Lindenstrauss): S x sketch in place of S x S.

    Args:
        num_classes: S.
        options: limit, sketch, correlation, seed.

    Raises:
        Refusal: a correlation is wanted of more classes than the limit.
    """

    def __init__(self, num_classes: int, options: SubsetOptions) -> None:
        self.options, self.count = options, 0
        self.basis: Tensor | None = None  # (S, r)
        if num_classes > options.limit:
            if options.correlation:
                do = "raise subsets.limit, or set subsets.correlation to false"
                what = "a correlation wants the whole matrix"
                raise Refusal(what, expected=f"at most {options.limit} classes", found=num_classes, do=do)
            generator = torch.Generator().manual_seed(options.seed)
            drawn = torch.randn(num_classes, options.sketch, generator=generator, dtype=torch.float64)
            self.basis = drawn / options.sketch**0.5
        width = num_classes if self.basis is None else options.sketch
        self.total = torch.zeros(num_classes, dtype=torch.float64)
        self.squares = torch.zeros(num_classes, dtype=torch.float64)
        self.products = torch.zeros(num_classes, width, dtype=torch.float64)

    def add(self, p: Tensor) -> None:
        """Adds predictions (B, S), where they are.

        Raises:
            Refusal: some are not finite.
        """
        expect_numbers(p)
        p = p.double()
        self.count += len(p)
        self.total += p.sum(0).cpu()
        self.squares += p.square().sum(0).cpu()
        self.products = self.products.to(p.device).addmm_(p.t(), p if self.basis is None else p @ self.basis.to(p))

    def matrix(self) -> Tensor:
        """Covariance or correlation, a row for each class, (S, S), or the sketch of it, (S, r); float64."""
        if not self.count:
            raise Refusal("no predictions", expected="one example at least")
        mean = self.total / self.count
        product = mean if self.basis is None else mean @ self.basis
        found = self.products.cpu().div(self.count).addr_(mean, product, alpha=-1)
        if not self.options.correlation:
            return found
        deviation = self._variance().sqrt()
        return found.div_(deviation).div_(deviation[:, None])

    def columns(self) -> Tensor:
        """What k-means looks at, a row for each class: the matrix, or without its diagonal and of length 1."""
        found = self.matrix()
        if not self.options.cosine:
            return found
        if self.basis is None:
            found.fill_diagonal_(0)
        else:
            found -= self._variance()[:, None] * self.basis
        return F.normalize(found, dim=1, eps=1e-30)

    def _variance(self) -> Tensor:
        return (self.squares / self.count - (self.total / self.count).square()).clamp_min(1e-30)


@dataclass(frozen=True)
class Clusters:
    """Classes by what they are confused with.

    Attributes:
        label: cluster of each class, (S,).
        subsets: of each cluster, classes, the nearest to its centroid first.
    """

    label: tuple[int, ...]
    subsets: tuple[tuple[int, ...], ...]

    @property
    def order(self) -> list[int]:
        """All classes, cluster by cluster."""
        return sorted(range(len(self.label)), key=lambda number: (self.label[number], number))


def cluster(columns: Tensor, options: SubsetOptions) -> Clusters:
    """Subsets by on-line k-means on the columns of a confusion matrix.

    Args:
        columns: a row for each class, (S, D) float64.
        options: number, size, partition, seed.

    Raises:
        Refusal: more clusters than classes, or a subset that is empty or of all classes.
    """
    from sklearn.cluster import MiniBatchKMeans

    num_classes = len(columns)
    if options.number > num_classes:
        what, do = "more clusters than classes", "set subsets.number lower"
        raise Refusal(what, expected=f"at most {num_classes}", found=options.number, do=do)
    if not options.partition and options.size >= num_classes:
        what, do = "subsets of all classes", "set subsets.size lower"
        raise Refusal(what, expected=f"fewer than {num_classes} classes", found=options.size, do=do)
    means = MiniBatchKMeans(
        options.number, random_state=options.seed, batch_size=options.batch, n_init=options.starts
    ).fit(columns.numpy())
    distances = torch.cdist(columns, torch.from_numpy(means.cluster_centers_).double()).numpy()  # (S, M)
    label = distances.argmin(1)
    subsets = []
    for number, order in enumerate(distances.argsort(0, kind="stable").T):
        kept = order[label[order] == number] if options.partition else order[: options.size]
        subsets.append(tuple(int(one) for one in kept))
    _expect_some(subsets, num_classes)
    return Clusters(tuple(int(one) for one in label), tuple(subsets))


def _expect_some(subsets: Iterable[tuple[int, ...]], num_classes: int) -> None:
    for number, subset in enumerate(subsets):
        if not 0 < len(subset) < num_classes:
            what = "a subset without a class" if not subset else "a subset of all classes"
            do = "set subsets.number to another value, or subsets.partition to false"
            raise Refusal(what, where=f"cluster {number}", expected="some of them", found=len(subset), do=do)
