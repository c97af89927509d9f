"""LDA: what its matrix makes of the covariances, and against scipy's generalised eigenvalues."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from kdasr.align.lda import LdaStatistics, lda_matrix
from kdasr.refusal import Refusal

linalg = pytest.importorskip("scipy.linalg")
NUM_CLASSES, DIM = 6, 5


@pytest.fixture(scope="module")
def data() -> tuple[torch.Tensor, torch.Tensor]:
    """Frames of 6 classes, one of them without any, whose covariance within is far from diagonal; not centred."""
    torch.manual_seed(0)
    classes = torch.randint(0, NUM_CLASSES - 1, (4000,))
    centres = torch.randn(NUM_CLASSES, DIM) * torch.tensor([3.0, 1.0, 0.3, 2.0, 0.1])
    mixing = torch.randn(DIM, DIM)
    return (torch.randn(4000, DIM) @ mixing.T + centres[classes] + 7.0), classes


def covariances(frames: torch.Tensor, classes: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Within and between classes, by a loop over classes."""
    x, mean = frames.double().numpy(), frames.double().mean(0).numpy()
    within, between = np.zeros((x.shape[1],) * 2), np.zeros((x.shape[1],) * 2)
    for number in classes.unique().tolist():
        own = x[classes.numpy() == number]
        within += (own - own.mean(0)).T @ (own - own.mean(0)) / len(x)
        between += len(own) * np.outer(own.mean(0) - mean, own.mean(0) - mean) / len(x)
    return within, between


@pytest.mark.parametrize("dim", [1, 3, DIM])
def test_within_classes_the_covariance_is_1_and_between_them_diagonal_largest_first(data, dim):
    frames, classes = data
    matrix = lda_matrix(LdaStatistics.of(frames, classes, NUM_CLASSES), dim)
    assert matrix.shape == (dim, DIM) and matrix.dtype == torch.float32
    within, between = covariances(frames @ matrix.T, classes)
    assert np.allclose(within, np.eye(dim), atol=2e-3)
    spread = np.diag(between)
    assert np.allclose(between, np.diag(spread), atol=2e-3 * spread.max()) and (np.diff(spread) <= 1e-6).all()


def test_directions_are_the_generalised_eigenvectors(data):
    frames, classes = data
    matrix = lda_matrix(LdaStatistics.of(frames, classes, NUM_CLASSES), 3).double().numpy()
    within, between = covariances(frames, classes)
    _, vectors = linalg.eigh(between, within)
    for row, expected in zip(matrix, vectors.T[::-1], strict=False):
        assert np.allclose(row, expected * np.sign(row @ expected), atol=1e-3 * np.abs(row).max())


def test_statistics_of_parts_add_up(data):
    frames, classes = data
    whole = LdaStatistics.of(frames, classes, NUM_CLASSES)
    parts = [LdaStatistics.of(frames[p], classes[p], NUM_CLASSES) for p in (slice(1300), slice(1300, None))]
    total = parts[0] + parts[1]
    for name in ("occupancy", "first", "second"):
        assert torch.allclose(getattr(total, name), getattr(whole, name))


def test_more_directions_than_the_frames_have_are_refused(data):
    told = "LDA: more directions than the frames have .expected at most 5, found 6.; lower tri.dim or raise tri.context"
    frames, classes = data
    with pytest.raises(Refusal, match=told):
        lda_matrix(LdaStatistics.of(frames, classes, NUM_CLASSES), 6)


def test_frames_that_span_no_space_are_refused():
    frames = torch.randn(50, 4)
    frames[:, 3] = frames[:, 0]
    told = "LDA: the covariance within the classes is singular .found 50 frames of 4 numbers.; train on more utterances"
    with pytest.raises(Refusal, match=told):
        lda_matrix(LdaStatistics.of(frames, torch.arange(50) % 2, 2), 2)
