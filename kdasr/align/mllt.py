"""Maximum-likelihood linear transform (MLLT, or global semi-tied covariances) of the frames that mixtures see.

Diagonal covariances fit frames whose numbers are uncorrelated within a Gaussian; the transform makes them so. Source:
M. Gales, Semi-tied covariance matrices for hidden Markov models, IEEE Trans. Speech and Audio Processing 7(3), 1999.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from kdasr.align.gmm import Gmm, share_out
from kdasr.align.products import unpacked, weighted_products
from kdasr.refusal import Refusal

SWEEPS = 200  # over the rows, at most (Kaldi's)
ENOUGH = 1e-7  # gain per frame of a sweep, after which no other follows


@dataclass
class MlltStatistics:
    """Sums over frames, float64.

    Attributes:
        occupancy: of each Gaussian, (G,).
        first: sum of x by Gaussian, (G, D).
        second: for every dimension i the sum of x x^T / var_i, packed, (D, D (D + 1) / 2).
    """

    occupancy: torch.Tensor
    first: torch.Tensor
    second: torch.Tensor

    @classmethod
    def of(cls, gmm: Gmm, frames: torch.Tensor, pdfs: torch.Tensor) -> MlltStatistics:
        """The sums over frames `(N, D)` aligned to pdfs `(N,)`."""
        dim, inverse = frames.shape[1], 1 / gmm.variance
        occupancy, first = torch.zeros(len(gmm)).double(), torch.zeros(len(gmm), dim).double()
        weights = torch.empty_like(frames)
        for shared in share_out(gmm, frames, pdfs):
            occupancy[shared.gaussians] = shared.posterior.double().sum(0)
            first[shared.gaussians] = (shared.posterior.T @ shared.moments[:, :dim]).double()
            weights[shared.rows] = shared.posterior @ inverse[shared.gaussians]
        return cls(occupancy, first, weighted_products(weights, frames))

    def __add__(self, other: MlltStatistics) -> MlltStatistics:
        return MlltStatistics(self.occupancy + other.occupancy, self.first + other.first, self.second + other.second)

    def scatter(self, variance: torch.Tensor) -> torch.Tensor:
        """For every dimension i the sum over Gaussians of their scatter about their mean, over var_i: (D, D, D)."""
        dim = self.first.shape[1]
        mean, inverse = self.first / self.occupancy.clamp(min=1e-10)[:, None], 1 / variance.double()
        of_means = torch.stack([self.first.T @ (mean * inverse[:, i, None]) for i in range(dim)])
        return unpacked(self.second, dim) - of_means


def objective(matrix: torch.Tensor, scatter: torch.Tensor, count: float) -> float:
    """Log-likelihood, but for a constant, of frames transformed by A: `n log |det A| - 1/2 sum_i a_i G_i a_i^T`.

    Args:
        matrix: A, (D, D) float64.
        scatter: G, (D, D, D) float64.
        count: n, frames.
    """
    quadratic = torch.einsum("ij,ijk,ik->", matrix, scatter, matrix)
    return float(count * torch.linalg.slogdet(matrix).logabsdet - 0.5 * quadratic)


def mllt_matrix(statistics: MlltStatistics, gmm: Gmm) -> tuple[torch.Tensor, float]:
    """The transform that makes the frames likeliest, the variances as they are and the means following it.

    Row by row, each at its optimum given the others: `a_i` is along `c_i G_i^-1`, of length so that
    `a_i G_i a_i^T = n`, where `c_i` are the cofactors of row i.

    Args:
        statistics: sums over the training set.
        gmm: the mixtures that they were gathered with.

    Returns:
        A, (D, D) float32, and what it gains in log-likelihood per frame.

    Raises:
        Refusal: the frames do not span the space.
    """
    scatter, count = statistics.scatter(gmm.variance), float(statistics.occupancy.sum())
    _, failed = torch.linalg.cholesky_ex(scatter)
    if bool(failed.any()):
        raise Refusal(
            "the scatter within the Gaussians is singular",
            where="MLLT",
            found=f"{count:.0f} frames of {scatter.shape[0]} numbers",
            do="train on more utterances, or take fewer Gaussians: --set tri.gaussians=N",
        )
    inverse, matrix = torch.linalg.inv(scatter), torch.eye(scatter.shape[0]).double()
    first = now = objective(matrix, scatter, count)
    for _ in range(SWEEPS):
        for row in range(len(matrix)):
            direction = torch.linalg.inv(matrix)[:, row]  # the cofactors, but for the determinant
            along = inverse[row] @ direction
            matrix[row] = along * (count / (direction @ along)) ** 0.5
        last, now = now, objective(matrix, scatter, count)
        if now - last < ENOUGH * count:
            break
    return matrix.float(), (now - first) / count


def with_means(gmm: Gmm, matrix: torch.Tensor) -> Gmm:
    """The mixtures with their means transformed by A, (D, D)."""
    return replace(gmm, mean=gmm.mean @ matrix.T)
