"""What training does to its inputs, noise and jitter: a student and its live teachers see the same altered input."""

from __future__ import annotations

import functools
import math

import torch
import torch.nn.functional as F
from torch import Tensor

from kdasr.models.generator import Stochastic
from kdasr.refusal import Refusal

GRID = 5  # points a side at which an image is distorted, the rest of it between them


class Jitter(Stochastic):
    """Moves each image by whole pixels, in any direction (section 3), turns it, changes its width and height, bends it.

    What comes in at the edges is background, 0. Moves, turns, sizes and distortions are independent and uniform up to
    the limits, sizes on a logarithmic scale.

    Args:
        pixels: most that an image is moved up or down, and left or right; 0 is none.
        rotation: most that an image is turned about its centre either way, in degrees; 0 is none.
        scaling: most that height and width grow, each on its own, as a share; they shrink as much. 0 is none.
        distortion: most that each of 5 x 5 points is moved right or left, and up or down, in pixels; a cubic goes
            through them (elastic distortion). 0 is none.
        seed: seed of the generator; on CUDA torch's own generator decides.
    """

    def __init__(
        self, pixels: int, rotation: float = 0.0, scaling: float = 0.0, distortion: float = 0.0, seed: int = 0
    ) -> None:
        self.pixels, self.rotation, self.scaling, self.distortion = pixels, rotation, scaling, distortion
        super().__init__(seed, 2)  # another stream than dropout's and noise's

    def __call__(self, x: Tensor) -> Tensor:
        """Images (B, height, width) float32, each changed on its own."""
        moved = self._move(x) if self.pixels else x
        return self._bend(moved) if self.rotation or self.scaling or self.distortion else moved

    def _move(self, x: Tensor) -> Tensor:
        reach = 2 * self.pixels + 1
        height, width = x.shape[1:]
        windows = F.pad(x, (self.pixels,) * 4).unfold(1, height, 1).unfold(2, width, 1)  # (B, reach, reach, H, W) view
        down, right = self._draw(x, 2).long().remainder(reach).unbind(1)
        return windows[torch.arange(len(x), device=x.device), down, right]

    def _bend(self, x: Tensor) -> Tensor:
        """The image at each place that turning, scaling and distorting it back leads to, between pixels bilinear."""
        height, width = x.shape[1:]
        angle, *growth = (self._draw(x, 3) / 2**31).unbind(1)  # each of -1 to 1
        sine, cosine = (angle := angle * math.radians(self.rotation)).sin(), angle.cos()
        across, down = (torch.exp(share * math.log1p(self.scaling)) for share in growth)
        aspect = height / width  # grid_sample's coordinates are of -1 to 1 on both sides
        right = torch.stack([cosine / across, sine / across * aspect], 1)
        below = torch.stack([-sine / down / aspect, cosine / down], 1)
        weights = torch.stack([right, below], 1)  # (B, 2, 2)
        if self.distortion:
            pixel = 2 / torch.tensor([[width], [height]], device=x.device)
            moves = self._draw(x, 2 * GRID**2).view(len(x), 2, GRID**2) / 2**31
            weights = torch.cat([weights, moves * pixel * self.distortion], 2)
        fields = _fields(height, width, x.device)[: weights.shape[2]]
        places = torch.einsum("bcn,nhw->bhwc", weights, fields)
        return F.grid_sample(x[:, None], places, align_corners=False)[:, 0]

    def _draw(self, x: Tensor, numbers: int) -> Tensor:
        """Random integers of 32 bits, (B, numbers)."""
        return self._generator.bits(torch.empty(len(x), numbers, dtype=torch.int32, device=x.device))


@functools.cache
def _fields(height: int, width: int, device: torch.device) -> Tensor:
    """Of each pixel the coordinates x and y, and how far each of the 5 x 5 points takes it along: (2 + 25, H, W)."""
    places = F.affine_grid(torch.eye(2, 3)[None], [1, 1, height, width], align_corners=False)[0].movedim(2, 0)
    points = torch.eye(GRID**2).view(-1, 1, GRID, GRID)
    taken = F.interpolate(points, (height, width), mode="bicubic", align_corners=True)[:, 0]
    return torch.cat([places, taken]).to(device)


class Masks(Stochastic):
    """Hides a stretch of frames and a band of bins of each input behind the mean (SpecAugment: Park et al. 2019).

    Widths are uniform from 0 up to the limits, places uniform among those where a stretch of that width fits.

    Args:
        frames: most that are hidden of an input's F frames; 0 is none.
        bins: most that are hidden of its D bins; 0 is none.
        mean: what is seen in their place, (F, D), on the device of the inputs.
        seed: seed of the generator; on CUDA torch's own generator decides.

    Raises:
        Refusal: inputs have fewer frames or bins, or are no windows of frames.
    """

    def __init__(self, frames: int, bins: int, mean: Tensor, seed: int = 0) -> None:
        for name, limit, axis in (("time_mask", frames, 0), ("frequency_mask", bins, 1)):
            if limit and not (mean.ndim == 2 and limit < mean.shape[axis]):
                most = f"less than the {mean.shape[axis]} of an input" if mean.ndim == 2 else "windows of frames"
                raise Refusal("no mask for these inputs", where=name, expected=most, found=limit, do=f"lower {name}")
        self.frames, self.bins, self.mean = frames, bins, mean
        super().__init__(seed, 3)  # another stream than dropout's, noise's and jitter's

    def __call__(self, x: Tensor) -> Tensor:
        """Inputs (B, F, D), each with hidden parts of its own."""
        if not (self.frames or self.bins):
            return x
        hidden = self._stretch(x, 1, self.frames)[:, :, None] | self._stretch(x, 2, self.bins)[:, None]
        return torch.where(hidden, self.mean, x)

    def _stretch(self, x: Tensor, axis: int, most: int) -> Tensor:
        """Which places along an axis are hidden, (B, size) bool."""
        size = x.shape[axis]
        draws = self._generator.bits(torch.empty(len(x), 2, dtype=torch.int32, device=x.device)).long()
        width = draws[:, 0].remainder(most + 1)
        begin = draws[:, 1].remainder(size - width + 1)
        place = torch.arange(size, device=x.device)
        return (place >= begin[:, None]) & (place < (begin + width)[:, None])


class InputNoise(Stochastic):
    """Gaussian noise added to inputs.

    Args:
        share: standard deviation of the noise, in units of `deviation`; 0 is none.
        deviation: the training inputs' own standard deviation, `input_shape`, on the device of the inputs.
        varied: each input has a level of its own, uniform from 0 to `share`.
        seed: seed of the generator; on CUDA torch's own generator decides.
    """

    def __init__(self, share: float, deviation: Tensor, varied: bool = False, seed: int = 0) -> None:
        self.deviation = share * deviation if share else None
        self.varied = varied
        super().__init__(seed, 1)  # another stream than dropout's

    def __call__(self, x: Tensor) -> Tensor:
        """Inputs (B, *input_shape) float32 with noise of their own each."""
        if self.deviation is None:
            return x
        noise = self._generator.normal(x)
        if self.varied:
            draws = self._generator.bits(torch.empty(len(x), dtype=torch.int32, device=x.device))
            noise *= draws.float().mul_(2**-32).add_(0.5).view(-1, *[1] * (x.ndim - 1))
        return torch.addcmul(x, noise, self.deviation)
