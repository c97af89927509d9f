"""Dropout fast enough for a processor: random bits of numpy's SFC64, and no mask is stored.

torch's own takes 9 ns a number on one core, as long as a small net's matrix products; this takes 0.5 ns.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

# A random word, its top exponent bit cleared, is a finite float in (-2, 2): sign and lower bits are uniform.
WORD_BITS = {torch.bfloat16: 16, torch.float32: 32}
FINITE = {torch.bfloat16: np.uint64(0xBFFFBFFFBFFFBFFF), torch.float32: np.uint64(0xBFFFFFFFBFFFFFFF)}


class Dropout:
    """Rates of dropout and the generator that decides; a training option, no part of a model.

    Args:
        hidden: share of the hidden units set to 0; the rest is scaled by 1 / (1 - share).
        input: share of the inputs set to 0, likewise.
        seed: seed of the generator; on CUDA torch's own generator decides.
    """

    def __init__(self, hidden: float, input: float = 0.0, seed: int = 0) -> None:
        self.hidden, self.input = hidden, input
        self._generator = np.random.Generator(np.random.SFC64(seed))

    def on_input(self, x: Tensor) -> Tensor:
        """Drops inputs (B, D), which take no gradient."""
        return self._keep(x, self.input).mul_(1 / (1 - self.input)) if self.input else x

    def relu(self, z: Tensor) -> Tensor:
        """ReLU and dropout of one hidden layer (B, D); overwrites `z`."""
        if not self.hidden:
            return torch.relu(z)
        out: Tensor = _ReluDropout.apply(z, self)
        return out

    def _keep(self, x: Tensor, rate: float) -> Tensor:
        """`x` with numbers set to 0 at random."""
        if x.device.type != "cpu":
            return torch.where(torch.rand(x.shape, device=x.device).ge(rate), x, x.new_zeros(()))
        bits = WORD_BITS[x.dtype]
        words = self._generator.integers(0, 1 << 64, -(-x.numel() * bits // 64), dtype=np.uint64)
        words &= FINITE[x.dtype]
        noise = torch.from_numpy(words.view(np.int64)).view(x.dtype)[: x.numel()].view(x.shape)
        return _where_above(x, noise, _quantile(rate, bits))

    def state_dict(self) -> dict[str, Any]:
        """The generator's state, as JSON types."""
        state = self._generator.bit_generator.state
        return {**state, "state": [int(word) for word in state["state"]["state"]]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes on where `state_dict` was taken."""
        words = {"state": np.array(state["state"], dtype=np.uint64)}
        self._generator.bit_generator.state = {**state, "state": words}


def _quantile(rate: float, bits: int) -> float:
    """The value that a share `rate` of the random floats of `bits` bits does not exceed."""
    half = 1 << (bits - 2)  # magnitudes
    rank = round(rate * 2 * half) - 1  # from the most negative float upwards
    magnitude = half - 1 - rank if rank < half else rank - half
    value: float = struct.unpack("f", struct.pack("I", magnitude << (32 - bits)))[0]
    return -value if rank < half else value


def _where_above(x: Tensor, score: Tensor, threshold: float) -> Tensor:
    """`x` where `score` is above the threshold, else 0: the one such operation that is vectorised for bf16."""
    passed: Tensor = torch.ops.aten.threshold_backward(x, score, threshold)  # type: ignore[attr-defined]
    return passed


class _ReluDropout(torch.autograd.Function):
    """Its output alone tells where the gradient passes: only a kept and positive unit is above 0."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, dropout: Dropout) -> Tensor:
        out = dropout._keep(z.clamp_min_(0), dropout.hidden)
        ctx.scale = 1 / (1 - dropout.hidden)
        out.mul_(ctx.scale)
        ctx.save_for_backward(out)
        return out

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (out,) = ctx.saved_tensors
        return _where_above(gradient, out, 0).mul_(ctx.scale), None
