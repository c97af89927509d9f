"""MLLT: its statistics against plain sums, its optimum against autograd, its gain against the mixtures themselves."""

from __future__ import annotations

import itertools

import pytest
import torch

from kdasr.align import mllt
from kdasr.align.gmm import Gmm, accumulate, maximise
from kdasr.align.mllt import MlltStatistics, mllt_matrix, objective, with_means
from kdasr.refusal import Refusal

DIM = 4


@pytest.fixture(scope="module")
def data() -> tuple[Gmm, torch.Tensor, torch.Tensor]:
    """Frames correlated within their Gaussians, and mixtures of two Gaussians fitted to them."""
    torch.manual_seed(0)
    pdfs = torch.arange(3000) % 3
    frames = torch.randn(3000, DIM) @ torch.randn(DIM, DIM).T + torch.randn(3, DIM)[pdfs] * 2
    gmm = Gmm(torch.tensor([0, 0, 1, 1, 2, 2]), torch.full((6,), 0.5), torch.randn(6, DIM), torch.ones(6, DIM) * 4)
    for _ in range(5):
        gmm, _ = maximise(gmm, accumulate(gmm, frames, pdfs), 10.0, 1e-3)
    return gmm, frames, pdfs


def plain_scatter(gmm: Gmm, frames: torch.Tensor, pdfs: torch.Tensor) -> torch.Tensor:
    """sum_t,g posterior / var_gi (x - m_g)(x - m_g)^T with m_g the posterior's own mean, Gaussian by Gaussian."""
    normal = torch.distributions.Normal(gmm.mean.double(), gmm.variance.double().sqrt())
    joint = normal.log_prob(frames.double()[:, None]).sum(2) + gmm.weight.double().log()
    posterior = joint.masked_fill(gmm.pdf != pdfs[:, None], -torch.inf).softmax(1)
    scatter = torch.zeros(DIM, DIM, DIM).double()
    for g in range(len(gmm)):
        mean = (posterior[:, g, None] * frames).sum(0) / posterior[:, g].sum()
        x = frames.double() - mean
        scatter += (x * posterior[:, g, None]).T @ x / gmm.variance[g].double()[:, None, None]
    return scatter


def test_the_scatter_is_the_plain_sum(data):
    gmm, frames, pdfs = data
    found = MlltStatistics.of(gmm, frames, pdfs).scatter(gmm.variance)
    assert torch.allclose(found, plain_scatter(gmm, frames, pdfs), rtol=1e-3, atol=0.2)


def test_statistics_of_parts_add_up(data):
    gmm, frames, pdfs = data
    first, second = (MlltStatistics.of(gmm, frames[p], pdfs[p]) for p in (slice(900), slice(900, None)))
    together, whole = first + second, MlltStatistics.of(gmm, frames, pdfs)
    for name in ("occupancy", "first", "second"):
        assert torch.allclose(getattr(together, name), getattr(whole, name), rtol=1e-4, atol=0.1)


def test_at_the_optimum_no_direction_rises(data):
    """By autograd of the objective as it stands in the docstring."""
    gmm, frames, pdfs = data
    scatter = plain_scatter(gmm, frames, pdfs)
    matrix = mllt_matrix(MlltStatistics.of(gmm, frames, pdfs), gmm)[0].double().requires_grad_()
    value = len(frames) * torch.linalg.slogdet(matrix).logabsdet
    for i in range(DIM):
        value = value - 0.5 * matrix[i] @ scatter[i] @ matrix[i]
    value.backward()
    assert matrix.grad is not None and float(matrix.grad.abs().max()) < 1e-3 * len(frames)
    assert objective(matrix.detach(), scatter, len(frames)) == pytest.approx(float(value), rel=1e-9)


def test_every_sweep_gains(data, monkeypatch):
    gmm, frames, pdfs = data
    statistics, gains = MlltStatistics.of(gmm, frames, pdfs), []
    for sweeps in range(6):
        monkeypatch.setattr(mllt, "SWEEPS", sweeps)
        gains.append(mllt_matrix(statistics, gmm)[1])
    assert gains[0] == 0 and gains[1] > 0.05
    assert all(later >= earlier - 1e-9 for earlier, later in itertools.pairwise(gains))


def test_the_frames_become_likelier_by_what_is_told(data):
    """EM's bound: the log-likelihood rises by no less than the auxiliary function, the determinant counted."""
    gmm, frames, pdfs = data
    before = accumulate(gmm, frames, pdfs)
    at_means, _ = maximise(gmm, before, 0.0, 1e-3)
    fitted = Gmm(gmm.pdf, gmm.weight, at_means.mean, gmm.variance)  # the means that the statistics imply
    matrix, gain = mllt_matrix(MlltStatistics.of(gmm, frames, pdfs), gmm)
    after = accumulate(with_means(fitted, matrix), frames @ matrix.T, pdfs)
    rise = (after.log_likelihood - before.log_likelihood) / len(frames) + float(torch.linalg.slogdet(matrix).logabsdet)
    assert rise >= gain - 1e-3 and gain > 0.05


def test_what_is_already_uncorrelated_stays(data):
    torch.manual_seed(1)
    frames, pdfs = torch.randn(20000, DIM), torch.zeros(20000, dtype=torch.long)
    gmm = Gmm(torch.tensor([0]), torch.ones(1), frames.mean(0)[None], frames.var(0, unbiased=False)[None])
    matrix, gain = mllt_matrix(MlltStatistics.of(gmm, frames, pdfs), gmm)
    assert torch.allclose(matrix, torch.eye(DIM), atol=0.03) and 0 <= gain < 1e-3


def test_frames_that_span_no_space_are_refused():
    frames = torch.randn(200, DIM)
    frames[:, 3] = 0
    gmm = Gmm(torch.tensor([0]), torch.ones(1), torch.zeros(1, DIM), torch.ones(1, DIM))
    told = "MLLT: the scatter within the Gaussians is singular .found 200 frames of 4 numbers.; train on more"
    with pytest.raises(Refusal, match=told):
        mllt_matrix(MlltStatistics.of(gmm, frames, torch.zeros(200).long()), gmm)
