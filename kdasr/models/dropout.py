"""ReLU and dropout fast enough for a processor: a few passes over the bits of the numbers, and no mask is stored.

torch's own dropout takes 9 ns a number on one core, as long as a small net's matrix products; this takes 0.7 ns.
Half of that are the random bits. As an integer of its own size a float is above 0 just when the float is, and
integers are compared without a detour by float32. The factor 1 / (1 - rate) costs nothing: matrix products apply it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from kdasr.models.generator import Generator

INTEGERS = {torch.bfloat16: torch.int16, torch.float32: torch.int32}


class Dropout:
    """Rates of dropout and the generator that decides; a training option, no part of a model.

    Args:
        hidden: share of the hidden units set to 0; the rest is scaled by 1 / (1 - share).
        input: share of the inputs set to 0, likewise.
        seed: seed of the generator; on CUDA torch's own generator decides.
    """

    def __init__(self, hidden: float, input: float = 0.0, seed: int = 0) -> None:
        self.hidden, self.input = hidden, input
        self._generator = Generator(seed)

    def on_input(self, x: Tensor) -> Tensor:
        """Drops inputs (B, D), which take no gradient; overwrites `x`."""
        if self.input:
            self._drop(_bits(x), self.input)
            x.mul_(1 / (1 - self.input))
        return x

    def relu(self, z: Tensor) -> Tensor:
        """ReLU of one hidden layer (B, D), units dropped, the rest yet to be scaled; overwrites `z`."""
        out: Tensor = _ReluDropout.apply(z, self)
        return out

    def linear(self, h: Tensor, layer: nn.Linear) -> Tensor:
        """What `layer` makes of the units that `relu` left, (B, D), scaled by 1 / (1 - share)."""
        out: Tensor = _ScaledLinear.apply(h, layer.weight, layer.bias, 1 / (1 - self.hidden))
        return out

    def _drop(self, bits: Tensor, rate: float) -> None:
        lowest, numbers = torch.iinfo(bits.dtype).min, 1 << 8 * bits.element_size()
        _zero_unless_above(lowest + round(rate * numbers) - 1, self._generator.bits(bits), bits)

    def state_dict(self) -> dict[str, Any]:
        """The generator's state, as JSON types."""
        return self._generator.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes on where `state_dict` was taken."""
        self._generator.load_state_dict(state)


def _bits(x: Tensor) -> Tensor:
    return x.view(INTEGERS[x.dtype])


def _zero_unless_above(threshold: int, score: Tensor, x: Tensor) -> None:
    """Sets `x` to 0 in place unless `score` is above the threshold: the one such operation that is vectorised."""
    torch.ops.aten.threshold_backward.grad_input(x, score, threshold, grad_input=x)  # type: ignore[attr-defined]


class _ReluDropout(torch.autograd.Function):
    """Its output alone tells where the gradient passes: only a kept and positive unit is above 0."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, dropout: Dropout) -> Tensor:
        bits = _bits(z).clamp_min_(0)
        if dropout.hidden:
            dropout._drop(bits, dropout.hidden)
        ctx.mark_dirty(z)
        ctx.save_for_backward(z)
        return z

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (out,) = ctx.saved_tensors
        gradient = gradient.clone()
        _zero_unless_above(0, _bits(out), _bits(gradient))
        return gradient, None


class _ScaledLinear(torch.autograd.Function):
    """scale h W^T + b, whose products, forth and back, apply the scale; torch's backward has a pass of its own."""

    @staticmethod
    def forward(ctx: Any, h: Tensor, weight: Tensor, bias: Tensor, scale: float) -> Tensor:
        ctx.save_for_backward(h, weight)
        ctx.scale = scale
        return torch.addmm(bias, h, weight.t(), alpha=scale)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        h, weight = ctx.saved_tensors
        on_h, on_weight = (_scaled_product(ctx.scale, gradient, weight), _scaled_product(ctx.scale, gradient.t(), h))
        return on_h, on_weight, gradient.sum(0), None


def _scaled_product(scale: float, a: Tensor, b: Tensor) -> Tensor:
    return torch.addmm(a.new_zeros(()), a, b, beta=0, alpha=scale)
