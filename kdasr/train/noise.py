"""What training does to its inputs, noise and jitter: a student and its live teachers see the same altered input."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from kdasr.models.generator import Generator


class Jitter:
    """Moves each image by whole pixels, in any direction (section 3); what comes in at the edges is background, 0.

    Args:
        pixels: most that an image is moved up or down, and left or right; 0 is none.
        seed: seed of the generator; on CUDA torch's own generator decides.
    """

    def __init__(self, pixels: int, seed: int = 0) -> None:
        self.pixels = pixels
        self._generator = Generator(seed, 2)  # another stream than dropout's and noise's

    def __call__(self, x: Tensor) -> Tensor:
        """Images (B, height, width) float32, each moved on its own; all moves are as likely."""
        if not self.pixels:
            return x
        reach = 2 * self.pixels + 1
        height, width = x.shape[1:]
        windows = F.pad(x, (self.pixels,) * 4).unfold(1, height, 1).unfold(2, width, 1)  # (B, reach, reach, H, W) view
        bits = self._generator.bits(torch.empty(len(x), 2, dtype=torch.int32, device=x.device)).long()
        down, right = bits.remainder(reach).unbind(1)
        return windows[torch.arange(len(x), device=x.device), down, right]

    def state_dict(self) -> dict[str, Any]:
        """The generator's state, as JSON types."""
        return self._generator.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes on where `state_dict` was taken."""
        self._generator.load_state_dict(state)


class InputNoise:
    """Gaussian noise added to inputs.

    Args:
        share: standard deviation of the noise, in units of `deviation`; 0 is none.
        deviation: the training inputs' own standard deviation, `input_shape`, on the device of the inputs.
        seed: seed of the generator; on CUDA torch's own generator decides.
    """

    def __init__(self, share: float, deviation: Tensor, seed: int = 0) -> None:
        self.deviation = share * deviation if share else None
        self._generator = Generator(seed, 1)  # another stream than dropout's

    def __call__(self, x: Tensor) -> Tensor:
        """Inputs (B, *input_shape) float32 with noise of their own each."""
        return x if self.deviation is None else torch.addcmul(x, self._generator.normal(x), self.deviation)

    def state_dict(self) -> dict[str, Any]:
        """The generator's state, as JSON types."""
        return self._generator.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes on where `state_dict` was taken."""
        self._generator.load_state_dict(state)
