"""Random numbers of training: numpy's SFC64 on a processor, torch's own generator on CUDA."""

from __future__ import annotations

import math
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

    def bits(self, like: Tensor, more_rows: int = 0) -> Tensor:
        """Random integers, every bit pattern as likely, of the dtype (int16 or int32) and device of `like`.

        Their shape is that of `like`, (R, ...), with rows added: (R + more_rows, ...).
        """
        shape = (len(like) + more_rows, *like.shape[1:])
        if like.device.type != "cpu":
            limits = torch.iinfo(like.dtype)
            return torch.randint(limits.min, limits.max + 1, shape, dtype=like.dtype, device=like.device)
        number = torch.Size(shape).numel()
        words = self._numpy.bit_generator.random_raw(-(-number * like.element_size() // 8))
        return torch.from_numpy(words.view(WORDS[like.dtype]))[:number].view(shape)

    def normal(self, like: Tensor) -> Tensor:
        """Gaussian numbers of mean 0 and variance 1, float32, of the shape and device of `like`.

        By Box and Muller (1958) on whole tensors: numpy's own numbers, one after another, take 2.5 times as long.
        """
        if like.device.type != "cpu":
            return torch.randn(like.shape, device=like.device)
        pairs = -(-like.numel() // 2)
        length, angle = self.bits(torch.empty(2, pairs, dtype=torch.int32)).unbind(0)
        uniform = length.bitwise_and_(2**31 - 1).float().add_(1).mul_(2**-31)  # above 0, to 1
        radius, angle = uniform.log_().mul_(-2).sqrt_(), angle.float().mul_(math.pi / 2**31)
        return torch.cat([radius * angle.cos(), radius * angle.sin()])[: like.numel()].view(like.shape)

    def state_dict(self) -> dict[str, Any]:
        """The state, as JSON types."""
        state = self._numpy.bit_generator.state
        return {**state, "state": [int(word) for word in state["state"]["state"]]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes on where `state_dict` was taken."""
        words = {"state": np.array(state["state"], dtype=np.uint64)}
        self._numpy.bit_generator.state = {**state, "state": words}


class Stochastic:
    """What draws random numbers of its own, and goes on from their state.

    Args:
        key: of its stream, as `Generator`'s.
    """

    def __init__(self, *key: int) -> None:
        self._generator = Generator(*key)

    def state_dict(self) -> dict[str, Any]:
        """The generator's state, as JSON types."""
        return self._generator.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes on where `state_dict` was taken."""
        self._generator.load_state_dict(state)
