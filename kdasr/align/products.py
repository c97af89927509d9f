"""Sums of outer products, weighted for each dimension on its own: what MLLT and fMLLR gather from frames."""

from __future__ import annotations

import torch

FRAMES_AT_ONCE = 2048  # bounds the memory of the products


def weighted_products(weights: torch.Tensor, frames: torch.Tensor) -> torch.Tensor:
    """For every dimension i the sum over frames of `w_i x x^T`.

    Args:
        weights: (N, I) float32.
        frames: x, (N, E) float32.

    Returns:
        (I, E (E + 1) / 2) float64, the upper triangles row by row; `unpacked` gives the matrices.
    """
    row, column = torch.triu_indices(frames.shape[1], frames.shape[1])
    total = torch.zeros(weights.shape[1], len(row)).double()
    for w, x in zip(weights.split(FRAMES_AT_ONCE), frames.split(FRAMES_AT_ONCE), strict=True):
        total += w.T @ (x[:, row] * x[:, column])
    return total


def unpacked(triangles: torch.Tensor, dim: int) -> torch.Tensor:
    """Symmetric matrices `(..., dim, dim)` of their upper triangles `(..., dim (dim + 1) / 2)`."""
    row, column = torch.triu_indices(dim, dim)
    full = triangles.new_empty(*triangles.shape[:-1], dim, dim)
    full[..., row, column] = triangles
    full[..., column, row] = triangles
    return full
