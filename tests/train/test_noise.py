"""Noise as large as asked, in units of the inputs' own deviation; masks, images moved and bent; nothing when 0."""

from __future__ import annotations

import pytest
import torch

from kdasr.refusal import Refusal
from kdasr.train.noise import InputNoise, Jitter, Masks


def test_noise_is_a_share_of_each_inputs_deviation():
    deviation = torch.tensor([[1.0, 5.0], [0.0, 0.1]])  # the third input never varies
    x = torch.randn(20_000, 2, 2)
    before = x.clone()
    noise = InputNoise(0.3, deviation, seed=1)(x) - x
    assert torch.equal(x, before)  # other readers of the batch see what they saw
    torch.testing.assert_close(noise.std(0), 0.3 * deviation, rtol=0.03, atol=1e-6)
    assert float(noise.mean(0).div(deviation.clamp_min(0.1)).abs().max()) < 0.02


def test_varied_noise_has_a_level_of_each_inputs_own():
    x = torch.zeros(5_000, 40, 30)
    levels = InputNoise(0.8, torch.ones(40, 30), varied=True, seed=1)(x).std((1, 2))
    quarters = levels.quantile(torch.tensor([0.25, 0.5, 0.75]))
    torch.testing.assert_close(quarters, torch.tensor([0.2, 0.4, 0.6]), rtol=0, atol=0.03)  # uniform
    assert float(levels.min()) < 0.01 and 0.79 < float(levels.max()) < 0.85


@pytest.mark.parametrize("varied", [False, True])
def test_no_noise_costs_nothing(varied):
    x = torch.randn(5, 3)
    assert InputNoise(0.0, torch.ones(3), varied)(x) is x


@pytest.mark.parametrize("varied", [False, True])
def test_noise_goes_on_from_its_state(varied):
    one, other = (InputNoise(1.0, torch.ones(3), varied, seed) for seed in (1, 2))
    x = torch.zeros(4, 3)
    first = one(x)
    other.load_state_dict(one.state_dict())
    again = one(x)
    assert torch.equal(again, other(x)) and not torch.equal(again, first)


def test_masks_hide_one_stretch_of_frames_and_one_band_of_bins_behind_the_mean():
    mean, x = torch.full((6, 9), 7.0), torch.zeros(20_000, 6, 9)
    seen = Masks(2, 3, mean, seed=1)(x)
    hidden = seen == 7
    assert torch.equal(x, torch.zeros_like(x)) and set(seen.unique().tolist()) == {0.0, 7.0}
    frames, bins = hidden.all(2), hidden.all(1)
    assert torch.equal(hidden, frames[:, :, None] | bins[:, None])  # nothing else
    for places, most in ((frames, 2), (bins, 3)):
        widths = places.sum(1)
        starts = places.int().diff(dim=1, prepend=torch.zeros(len(x), 1, dtype=torch.int32)).eq(1).sum(1)
        assert torch.equal(starts, widths.clamp(max=1))  # in one piece
        shares = torch.bincount(widths, minlength=most + 1) / len(x)
        torch.testing.assert_close(shares, torch.full((most + 1,), 1 / (most + 1)), rtol=0, atol=0.015)
        only = places[widths == most]
        first = torch.bincount(only.int().argmax(1)) / len(only)  # every place as often
        torch.testing.assert_close(first, torch.full_like(first, 1 / len(first)), rtol=0, atol=0.02)
        assert len(first) == places.shape[1] - most + 1


def test_masks_of_frames_alone_leave_all_bins_elsewhere():
    seen = Masks(2, 0, torch.ones(4, 3), seed=1)(torch.zeros(100, 4, 3))
    assert set(seen.sum((1, 2)).tolist()) == {0.0, 3.0, 6.0}


def test_no_masks_cost_nothing():
    x = torch.randn(5, 3, 4)
    assert Masks(0, 0, torch.zeros(3, 4))(x) is x


def test_masks_go_on_from_their_state():
    one, other, x = (Masks(3, 3, torch.zeros(6, 6), 1), Masks(3, 3, torch.zeros(6, 6), 2), torch.randn(50, 6, 6))
    first = one(x)
    other.load_state_dict(one.state_dict())
    again = one(x)
    assert torch.equal(again, other(x)) and not torch.equal(again, first)


@pytest.mark.parametrize(("frames", "bins", "named"), [(4, 0, "time_mask"), (0, 9, "frequency_mask")])
def test_a_mask_as_wide_as_the_input_is_refused(frames: int, bins: int, named: str):
    with pytest.raises(Refusal, match=f"{named}.*less than the") as caught:
        Masks(frames, bins, torch.zeros(4, 9))
    assert str(max(frames, bins)) in str(caught.value)


def test_inputs_that_are_no_windows_have_no_masks():
    with pytest.raises(Refusal, match="windows of frames"):
        Masks(1, 0, torch.zeros(12))


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
    one, other, x = Jitter(2, 10, 0.1, seed=1), Jitter(2, 10, 0.1, seed=2), torch.randn(50, 6, 6)
    first = one(x)
    other.load_state_dict(one.state_dict())
    again = one(x)
    assert torch.equal(again, other(x)) and not torch.equal(again, first)


def spots(pictures: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Place of each picture's light, (B, 2): pixels right of and below the picture's centre; and how much there is."""
    light = pictures.sum((1, 2))
    height, width = pictures.shape[1:]
    down, right = torch.arange(height) - (height - 1) / 2, torch.arange(width) - (width - 1) / 2
    return torch.stack([pictures.sum(1) @ right, pictures.sum(2) @ down], 1) / light[:, None], light


def blob(height: int, width: int, down: int, right: int) -> torch.Tensor:
    """A spot of 3 x 3 pixels so far from the centre of a picture, (1, height, width)."""
    image = torch.zeros(1, height, width)
    y, x = height // 2 + down, width // 2 + right
    image[0, y - 1 : y + 2, x - 1 : x + 2] = torch.tensor([[1.0, 2, 1], [2, 4, 2], [1, 2, 1]])
    return image


@pytest.mark.parametrize(("height", "width"), [(31, 31), (31, 41)])
def test_turned_images_keep_their_distances_and_turn_either_way_up_to_the_limit(height, width):
    turned, light = spots(Jitter(0, rotation=30, seed=1)(blob(height, width, 0, 10).expand(3000, height, width)))
    torch.testing.assert_close(turned.norm(dim=1), torch.full((3000,), 10.0), rtol=0, atol=0.15)
    torch.testing.assert_close(light, torch.full((3000,), 16.0), rtol=0.1, atol=0)
    degrees = torch.atan2(turned[:, 1], turned[:, 0]).rad2deg()
    assert -30.5 < float(degrees.min()) < -29 and 29 < float(degrees.max()) < 30.5
    assert abs(float(degrees.mean())) < 1.5 and abs(float(degrees.std()) - 30 / 3**0.5) < 1


def test_images_grow_and_shrink_in_height_and_width_each_on_its_own():
    grown, _ = spots(Jitter(0, scaling=0.25, seed=1)(blob(31, 31, 8, 8).expand(3000, 31, 31)))
    for side in grown.unbind(1):
        assert 6.3 < float(side.min()) < 6.5 and 9.8 < float(side.max()) < 10.1  # 8 / 1.25 and 8 * 1.25
        assert 1200 < int((side > 8).sum()) < 1800
    assert abs(float(torch.corrcoef(grown.T)[0, 1])) < 0.1


def test_distorted_images_move_smoothly_up_to_the_limit_each_point_on_its_own():
    near, far = (blob(31, 31, *place) for place in ((0, 4), (0, -8)))
    one, other = Jitter(0, distortion=3, seed=1), Jitter(0, distortion=3, seed=1)
    moved = [spots(jitter(each.expand(3000, 31, 31)))[0] for jitter, each in ((one, near), (other, far))]
    for found, place in zip(moved, ([4.0, 0.0], [-8.0, 0.0]), strict=True):
        shift = found - torch.tensor(place)
        assert float(shift.abs().max()) < 4 and 0.8 < float(shift.std()) < 1.8 and float(shift.mean().abs()) < 0.1
    moves = torch.stack([found[:, 0] for found in moved])
    assert abs(float(torch.corrcoef(moves)[0, 1])) < 0.3  # twelve pixels apart
    twins = blob(31, 31, 0, 3), blob(31, 31, 0, 4)
    beside = [spots(Jitter(0, distortion=3, seed=1)(each.expand(3000, 31, 31)))[0][:, 1] for each in twins]
    assert float(torch.corrcoef(torch.stack(beside))[0, 1]) > 0.9


def test_what_turning_brings_in_is_black():
    assert float(Jitter(0, rotation=45, seed=1)(torch.ones(50, 8, 8))[:, 0, 0].min()) == 0
