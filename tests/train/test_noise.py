"""Noise on inputs: as large as asked, in units of the inputs' own deviation, and nothing when 0."""

from __future__ import annotations

import torch

from kdasr.train.noise import InputNoise


def test_noise_is_a_share_of_each_inputs_deviation():
    deviation = torch.tensor([[1.0, 5.0], [0.0, 0.1]])  # the third input never varies
    x = torch.randn(20_000, 2, 2)
    before = x.clone()
    noise = InputNoise(0.3, deviation, seed=1)(x) - x
    assert torch.equal(x, before)  # other readers of the batch see what they saw
    torch.testing.assert_close(noise.std(0), 0.3 * deviation, rtol=0.03, atol=1e-6)
    assert float(noise.mean(0).div(deviation.clamp_min(0.1)).abs().max()) < 0.02


def test_no_noise_costs_nothing():
    x = torch.randn(5, 3)
    assert InputNoise(0.0, torch.ones(3))(x) is x


def test_noise_goes_on_from_its_state():
    one, other, x = InputNoise(1.0, torch.ones(3), 1), InputNoise(1.0, torch.ones(3), 2), torch.zeros(4, 3)
    first = one(x)
    other.load_state_dict(one.state_dict())
    again = one(x)
    assert torch.equal(again, other(x)) and not torch.equal(again, first)
