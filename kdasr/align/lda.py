"""Linear discriminant analysis of spliced cepstra, with pdfs as classes.

As in Kaldi the within-class covariance becomes the identity and the between-class covariance diagonal, largest first.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from kdasr.refusal import Refusal


@dataclass
class LdaStatistics:
    """Sums over frames, float64.

    Attributes:
        occupancy: frames of each class, (S,).
        first: sum of x by class, (S, D).
        second: sum of x x^T over all, (D, D).
    """

    occupancy: torch.Tensor
    first: torch.Tensor
    second: torch.Tensor

    @classmethod
    def of(cls, frames: torch.Tensor, classes: torch.Tensor, num_classes: int) -> LdaStatistics:
        """The sums over frames `(N, D)` of classes `(N,)` long."""
        x = frames.double()
        first = torch.zeros(num_classes, x.shape[1]).double().index_add_(0, classes, x)
        return cls(torch.bincount(classes, minlength=num_classes).double(), first, x.T @ x)

    def __add__(self, other: LdaStatistics) -> LdaStatistics:
        return LdaStatistics(self.occupancy + other.occupancy, self.first + other.first, self.second + other.second)


def lda_matrix(statistics: LdaStatistics, dim: int) -> torch.Tensor:
    """The `dim` directions in which the classes differ most, of unit variance within them.

    Args:
        statistics: sums over the frames of a training set.
        dim: directions wanted, at most D.

    Returns:
        (dim, D) float32: with it the within-class covariance is the identity, and the between-class covariance
        diagonal, its entries falling. The mean is not taken out (Kaldi's default).

    Raises:
        Refusal: more directions are wanted than there are, or the frames within the classes do not span the space.
    """
    largest = statistics.second.shape[0]
    if dim > largest:
        raise Refusal(
            "more directions than the frames have",
            where="LDA",
            expected=f"at most {largest}",
            found=dim,
            do="lower tri.dim or raise tri.context",
        )
    num_frames, seen = statistics.occupancy.sum(), statistics.occupancy.clamp(min=1)[:, None]
    mean = statistics.first.sum(0) / num_frames
    of_means = statistics.first.T @ (statistics.first / seen) / num_frames
    within = statistics.second / num_frames - of_means
    between = of_means - torch.outer(mean, mean)
    root, failed = torch.linalg.cholesky_ex(within)
    if int(failed) or not bool(torch.isfinite(root).all()):
        raise Refusal(
            "the covariance within the classes is singular",
            where="LDA",
            found=f"{int(num_frames)} frames of {largest} numbers",
            do="train on more utterances, or lower tri.context",
        )
    whitening = torch.linalg.inv(root)
    _, directions = torch.linalg.eigh(whitening @ between @ whitening.T)  # smallest first
    return (directions.T.flip(0)[:dim] @ whitening).float()
