"""Classes whose p float32 lets vanish had one log q, so at a high temperature they had too much of the mass."""

from __future__ import annotations

import torch

from kdasr.specialists.infer import Collected, Cover, InferOptions, joint


def test_it_is_the_generalist_s():
    log_p = torch.randn(5, 400, generator=torch.Generator().manual_seed(0)).sub(130)
    log_p[:, 0] = 0.0
    log_p = log_p.log_softmax(1)
    p, subset = log_p.exp(), torch.tensor([0, 1])
    collected = Collected(p, 1)
    agreed = torch.cat([p[:, subset], (1 - p[:, subset].sum(1, keepdim=True)).clamp_min(0)], 1)
    collected.add(0, subset, torch.arange(5), agreed)
    log_q = joint(collected.evidence(), Cover([[0, 1]], 400), InferOptions(), log_p)
    halved = log_p - torch.tensor([0.0, *[2.0] * 399]).clamp_min(1).log()  # the specialist gives them nothing
    for temperature in (1.0, 10.0, 20.0):
        q, expected = ((logits / temperature).softmax(1) for logits in (log_q, halved))
        torch.testing.assert_close(q, expected, atol=1e-4, rtol=1e-3)
