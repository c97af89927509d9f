"""A state that a sampled tail leaves as it is may be a little less probable than drawn ones; its code wrapped round."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from kdasr.distill.store import PAIR, Rows, StoreOptions, pack, tail_shape, unpack


def row(share: float, ratio: float, num_states: int = 4000) -> torch.Tensor:
    """p of which 4 are kept: two alike, a third of 1 by `ratio` of them and `share` of the step of what is left."""
    third = share / (2 + 2 * share * ratio)
    p = torch.full((1, num_states), (1 - (2 * ratio + 1) * third) / (num_states - 3))
    p[0, :2], p[0, 2] = ratio * third, third
    return p


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("ratio", [1.0, 1.0003, 1.01, 1.3])
@pytest.mark.parametrize("share", [0.99991, 0.99997, 1.0, 1.0002])
def test_it_keeps_its_probability(share, ratio, bits):
    p, options = row(share, ratio), StoreOptions(4, 1.0, bits, "sampled")
    packed = pack(p.log(), options)
    heads = np.zeros(1, PAIR)
    for name in packed.heads.dtype.names:
        heads[name] = packed.heads[name][:1]
    heads["end"] = packed.heads["begin"][1:]
    found = unpack(Rows(heads, packed.entries), tail_shape(torch.ones(p.shape[1]), options, 1.0), bits).dense()
    torch.testing.assert_close(found[0, :3], p[0, :3], rtol=5e-3, atol=0)
