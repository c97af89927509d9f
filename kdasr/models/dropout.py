"""ReLU and dropout fast enough for a processor: a few passes over the bits of the numbers, and no mask is stored.

torch's own dropout takes 9 ns a number on one core, as long as a small net's matrix products; this takes 0.4 ns.
As an integer of its own size a float is above 0 just when the float is, and integers are compared without a detour
by float32. The layers of a net share their random bits. Matrix products apply the factor 1 / (1 - rate) for nothing.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from kdasr.models.generator import Stochastic

INTEGERS = {torch.bfloat16: torch.int16, torch.float32: torch.int32}


class Dropout(Stochastic):
    """Rates of dropout and the generator that decides; a training option, no part of a model.

    Args:
        hidden: share of the hidden units set to 0; the rest is scaled by 1 / (1 - share).
        input: share of the inputs set to 0, likewise.
        seed: seed of the generator; on CUDA torch's own generator decides.
    """

    def __init__(self, hidden: float, input: float = 0.0, seed: int = 0) -> None:
        self.hidden, self.input = hidden, input
        super().__init__(seed)

    def on_input(self, x: Tensor) -> Tensor:
        """Drops inputs (B, D), which take no gradient; overwrites `x`."""
        if self.input:
            bits = _bits(x)
            _zero_unless_above(_threshold(self.input, bits), self._generator.bits(bits), bits)
            x.mul_(1 / (1 - self.input))
        return x

    def through(self, layers: list[nn.Linear], z: Tensor) -> Tensor:
        """Each layer in turn takes ReLU, dropout and scale of what the one before gave, at first of `z`.

        Layer l of example b is dropped by random row b + l. All that an example sees is thus independent, its
        layers too, at the price of little more than one layer's random bits.

        Args:
            layers: the layers behind hidden ones of equal width W.
            z: the first hidden layer before ReLU, (B, W).

        Returns:
            What the last layer gives, (B, S).
        """
        if not layers:
            return z
        parameters = [parameter for layer in layers for parameter in (layer.weight, layer.bias)]
        noise = self._generator.bits(_bits(z), len(layers) - 1) if self.hidden else None
        out: Tensor = _HiddenLayers.apply(self.hidden, noise, z, *parameters)
        return out


class _HiddenLayers(torch.autograd.Function):
    """For each layer z <- W h / (1 - rate) + b, where h is ReLU and dropout of z, which it overwrites.

    h alone tells where the gradient passes: only a kept and positive unit is above 0. A NaN whose sign is set, of an
    input that is no number, becomes 0 too, yet still shows in the norm of the gradient.
    """

    @staticmethod
    def forward(ctx: Any, rate: float, noise: Tensor | None, z: Tensor, *parameters: Tensor) -> Tensor:
        ctx.scale = 1 / (1 - rate)
        hidden = []
        for number, (weight, bias) in enumerate(zip(parameters[::2], parameters[1::2], strict=True)):
            bits = _bits(z).clamp_min_(0)
            if noise is not None:
                _zero_unless_above(_threshold(rate, bits), noise[number : number + len(z)], bits)
            hidden.append(z)
            z = torch.addmm(bias, z, weight.t(), alpha=ctx.scale)
        ctx.save_for_backward(*hidden, *parameters[::2])
        return z

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        number = len(ctx.saved_tensors) // 2
        hidden, weights = ctx.saved_tensors[:number], ctx.saved_tensors[number:]
        gradients: list[Tensor] = []  # of the last bias, the last weight, the bias before, ...
        for h, weight in zip(reversed(hidden), reversed(weights), strict=True):
            gradients += gradient.sum(0), _product(ctx.scale, gradient.t(), h)
            gradient = _product(ctx.scale, gradient, weight)
            _zero_unless_above(0, _bits(h), _bits(gradient))
        return None, None, gradient, *reversed(gradients)


def _bits(x: Tensor) -> Tensor:
    return x.view(INTEGERS[x.dtype])


def _threshold(rate: float, bits: Tensor) -> int:
    """Random integers of the type of `bits` are not above it with probability `rate`."""
    limits = torch.iinfo(bits.dtype)
    return limits.min - 1 + round(rate * (limits.max - limits.min + 1))


def _zero_unless_above(threshold: int, score: Tensor, x: Tensor) -> None:
    """Sets `x` to 0 in place unless `score` is above the threshold: the one such operation that is vectorised."""
    torch.ops.aten.threshold_backward.grad_input(x, score, threshold, grad_input=x)  # type: ignore[attr-defined]


def _product(scale: float, a: Tensor, b: Tensor) -> Tensor:
    """The product of a and b, scaled in the same pass."""
    return torch.addmm(a.new_empty(()), a, b, beta=0, alpha=scale)  # beta 0: the first is not looked at
