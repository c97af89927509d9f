"""Front-ends against plain loops; their dimensions both ways."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from kdasr.align.frontend import DELTAS, Projection, splice


@pytest.mark.parametrize("num_frames", [1, 2, 9])
def test_splicing_puts_frames_side_by_side_and_repeats_the_edges(num_frames):
    frames = np.random.default_rng(0).normal(size=(num_frames, 3)).astype(np.float32)
    spliced = splice(frames, 2)
    assert spliced.shape == (num_frames, 15) and spliced.dtype == np.float32
    for t in range(num_frames):
        for place, step in enumerate((-2, -1, 0, 1, 2)):
            expected = frames[min(max(t + step, 0), num_frames - 1)]
            assert np.array_equal(spliced[t, 3 * place : 3 * place + 3], expected)


def test_no_frames_splice_to_none():
    assert splice(np.empty((0, 3), np.float32), 2).shape == (0, 15)


def test_a_projection_is_its_matrix_times_spliced_frames():
    rng = np.random.default_rng(1)
    frames, matrix = rng.normal(size=(7, 3)).astype(np.float32), torch.randn(4, 9)
    projection = Projection(matrix, 1)
    expected = [matrix.numpy() @ row for row in splice(frames, 1)]
    assert np.allclose(projection(frames).numpy(), expected, atol=1e-5)
    further = torch.randn(4, 4)
    both = projection.then(further)
    assert both.context == 1 and torch.allclose(both(frames), projection(frames) @ further.T, atol=1e-4)


def test_a_front_end_knows_its_cepstra():
    frames = np.zeros((5, 13), np.float32)
    assert DELTAS(frames).shape == (5, 39) and DELTAS.num_cepstra(39) == 13
    assert Projection(torch.zeros(40, 91), 3).num_cepstra(40) == 13
