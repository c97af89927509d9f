"""Random bits and Gaussian numbers: their laws, and that a stream goes on from its state."""

from __future__ import annotations

import json

import pytest
import torch

from kdasr.models.generator import Generator


@pytest.mark.parametrize(("dtype", "size"), [(torch.int16, 16), (torch.int32, 32)])
def test_every_bit_is_set_half_of_the_time(dtype: torch.dtype, size: int):
    bits = Generator(1).bits(torch.empty(300, 33, dtype=dtype), more_rows=3)
    assert bits.shape == (303, 33) and bits.dtype == dtype
    for place in range(size):
        share = (bits.long() >> place & 1).float().mean().item()
        assert abs(share - 0.5) < 5 * 0.5 / bits.numel() ** 0.5


def test_gaussian_numbers_have_their_moments():
    numbers = Generator(1).normal(torch.empty(400, 250))
    assert numbers.dtype == torch.float32 and abs(float(numbers.mean())) < 0.02 and abs(float(numbers.std()) - 1) < 0.01
    assert abs(float((numbers**4).mean()) - 3) < 0.15
    for deviations, share in ((1, 0.3173), (2, 0.0455), (3, 0.0027)):
        assert float((numbers.abs() > deviations).float().mean()) == pytest.approx(share, rel=0.15)
    first, second = numbers.flatten().view(2, -1)  # the two that come of one pair of random integers
    assert abs(float((first * second).mean())) < 0.02 and abs(float((first**2 * second**2).mean()) - 1) < 0.05


def test_gaussian_numbers_of_the_least_and_largest_integers_are_finite(monkeypatch):
    extremes = torch.tensor([[-(2**31), -1, 0, 2**31 - 1]] * 2, dtype=torch.int32)
    monkeypatch.setattr(Generator, "bits", lambda self, like, more_rows=0: extremes.clone())
    numbers = Generator(1).normal(torch.empty(8))
    assert torch.isfinite(numbers).all() and 6 < float(numbers.abs().max()) < 7


@pytest.mark.parametrize("shape", [(3, 3), (1,), (0, 4)])
def test_as_many_gaussian_numbers_as_asked(shape: tuple[int, ...]):
    assert Generator(1).normal(torch.empty(shape)).shape == shape


def test_keys_are_streams_of_their_own():
    like = torch.empty(50, 50, dtype=torch.int16)
    streams = [Generator(*key).bits(like) for key in ((0,), (1,), (1, 1), (1, 2))]
    assert len({tuple(stream.flatten().tolist()) for stream in streams}) == 4
    assert torch.equal(Generator(1, 2).bits(like), streams[-1])


def test_a_stream_goes_on_from_its_state():
    one, other = Generator(1), Generator(2)
    one.normal(torch.empty(7)), one.bits(torch.empty(3, 3, dtype=torch.int16))
    other.load_state_dict(json.loads(json.dumps(one.state_dict())))
    assert torch.equal(one.normal(torch.empty(9)), other.normal(torch.empty(9)))
    like = torch.empty(9, 5, dtype=torch.int32)
    assert torch.equal(one.bits(like), other.bits(like))
