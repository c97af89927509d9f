"""Where a generalist leaves hardly anything outside of a subset, Newton stopped where the dual is flat and q wrong."""

from __future__ import annotations

import pytest
import torch

from kdasr.specialists.infer import Collected, Cover, InferOptions, joint


@pytest.mark.parametrize("dustbin", [0.9, 0.5, 0.05])
@pytest.mark.parametrize("outside", [1e-3, 1e-6, 1e-8, 1e-9, 1e-10, 1e-12, 1e-20, 0.0])
def test_one_specialist_has_its_closed_form(outside, dustbin):
    p = torch.tensor([[1 - outside - 1e-3, 1e-3, outside / 2, outside / 2]] * 2)
    collected = Collected(p, 1)
    own = torch.tensor([[1 - dustbin - 1e-3, 1e-3, dustbin], [0.2, 0.3, 0.5]])
    collected.add(0, torch.tensor([0, 1]), torch.arange(2), own)
    q = joint(collected.evidence(), Cover([[0, 1]], 4), InferOptions()).exp()
    expected = (outside + own[:, 2]) / 2
    torch.testing.assert_close(q[:, 2:].sum(1), expected, atol=2e-6, rtol=0)
    torch.testing.assert_close(q[:, :2], (p[:, :2] + own[:, :2]) / 2, atol=2e-6, rtol=0)
