"""Weighted products against a loop over frames."""

from __future__ import annotations

import torch

from kdasr.align import products
from kdasr.align.products import unpacked, weighted_products


def test_products_are_sums_over_frames(monkeypatch):
    monkeypatch.setattr(products, "FRAMES_AT_ONCE", 7)  # several blocks, the last one smaller
    weights, frames = torch.rand(30, 3), torch.randn(30, 5)
    expected = sum(w.double()[:, None, None] * torch.outer(x, x).double() for w, x in zip(weights, frames, strict=True))
    found = weighted_products(weights, frames)
    assert found.shape == (3, 15) and found.dtype == torch.float64
    assert torch.allclose(unpacked(found, 5), expected, atol=1e-5)


def test_no_frames_sum_to_zero():
    assert torch.equal(weighted_products(torch.empty(0, 2), torch.empty(0, 3)), torch.zeros(2, 6).double())
