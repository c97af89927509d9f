"""Noise on the inputs of training: a student and its live teachers see the same noisy input."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from kdasr.models.generator import Generator


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
