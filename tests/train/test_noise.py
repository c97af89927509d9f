"""Noise as large as asked, in units of the inputs' own deviation; jitter by whole pixels; nothing when 0."""

from __future__ import annotations

import torch

from kdasr.train.noise import InputNoise, Jitter


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


def test_jitter_moves_each_image_by_whole_pixels_all_ways_as_often():
    image = torch.zeros(1, 9, 9)
    image[0, 3:6, 3:6] = torch.arange(1.0, 10).view(3, 3)
    moved = Jitter(2, seed=1)(image.expand(5000, 9, 9))
    seen = [tuple((picture == 1).nonzero()[0].tolist()) for picture in moved]
    counts = {place: seen.count(place) for place in set(seen)}
    assert set(counts) == {(down, right) for down in range(1, 6) for right in range(1, 6)}
    assert min(counts.values()) > 130 and max(counts.values()) < 270  # 200 expected, standard deviation 14
    for picture, (down, right) in zip(moved[:50], seen, strict=False):
        assert torch.equal(picture[down : down + 3, right : right + 3], image[0, 3:6, 3:6]) and picture.sum() == 45


def test_what_comes_in_is_black_and_what_goes_out_is_lost():
    moved = Jitter(1, seed=1)(torch.ones(200, 4, 4))
    assert sorted(set(moved.sum((1, 2)).tolist())) == [9.0, 12.0, 16.0]


def test_no_jitter_costs_nothing():
    x = torch.randn(5, 3, 3)
    assert Jitter(0)(x) is x


def test_jitter_goes_on_from_its_state():
    one, other, x = Jitter(2, 1), Jitter(2, 2), torch.randn(50, 6, 6)
    first = one(x)
    other.load_state_dict(one.state_dict())
    again = one(x)
    assert torch.equal(again, other(x)) and not torch.equal(again, first)
