"""Random numbers of training: numpy's SFC64 on a processor, torch's own generator on CUDA."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

WORDS = {torch.int16: np.int16, torch.int32: np.int32}


class Generator:
    """A stream of random numbers whose state is JSON; on CUDA torch's generator holds the state.

    Args:
        key: seed, and whatever else tells this stream from others.
    """

    def __init__(self, *key: int) -> None:
        self._numpy = np.random.Generator(np.random.SFC64(key))

    def bits(self, like: Tensor) -> Tensor:
        """Integers of the shape, dtype (int16 or int32) and device of `like`, every bit pattern as likely."""
        if like.device.type != "cpu":
            limits = torch.iinfo(like.dtype)
            return torch.randint(limits.min, limits.max + 1, like.shape, dtype=like.dtype, device=like.device)
        number = -(-like.numel() * like.element_size() // 8)
        words = self._numpy.integers(0, 1 << 64, number, dtype=np.uint64).view(WORDS[like.dtype])
        return torch.from_numpy(words)[: like.numel()].view(like.shape)

    def normal(self, like: Tensor) -> Tensor:
        """Gaussian numbers of mean 0 and variance 1, float32, of the shape and device of `like`."""
        if like.device.type != "cpu":
            return torch.randn(like.shape, device=like.device)
        return torch.from_numpy(self._numpy.standard_normal(like.shape, dtype=np.float32))

    def state_dict(self) -> dict[str, Any]:
        """The state, as JSON types."""
        state = self._numpy.bit_generator.state
        return {**state, "state": [int(word) for word in state["state"]["state"]]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes on where `state_dict` was taken."""
        words = {"state": np.array(state["state"], dtype=np.uint64)}
        self._numpy.bit_generator.state = {**state, "state": words}
