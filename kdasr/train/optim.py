"""Optimisers over one flat vector of weights, in pieces that stay in the cache, and learning rates."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from kdasr.models import Model, cast
from kdasr.refusal import unknown_name

PIECE = 1 << 18  # numbers updated at once: 1 MiB each of weights, gradient and state
ALIGN = 32  # numbers; each parameter begins on a cache line


class Weights:
    """The float32 weights of a model in one vector, and the copy that computes.

    The model's own parameters become views of `flat`. In bf16 the copy's parameters are views of a second
    vector, written once a step, where torch's autocast would convert the weights at every use.

    Args:
        model: float32, on its device.
        dtype: of the matrix products.
    """

    def __init__(self, model: Model, dtype: torch.dtype) -> None:
        self.model = model
        self.computing = model if dtype == torch.float32 else cast(model, dtype)
        sizes = [-(-parameter.numel() // ALIGN) * ALIGN for parameter in model.parameters()]
        self.flat = _flatten(model, sizes)
        self.copied = None if self.computing is model else _flatten(self.computing, sizes)
        self.gradient = torch.zeros_like(self.flat)
        views = _views(self.gradient, model, sizes)
        self._gradients = list(zip(views, self.computing.parameters(), strict=True))

    def take_gradient(self, share: float = 1.0, add: Callable[[Tensor], None] = lambda gradient: None) -> float:
        """Moves the gradients of the computing copy into `gradient`, float32; returns its norm.

        Args:
            share: of the batch that they are of.
            add: adds up the gradients of all processes, each times its share.
        """
        for view, parameter in self._gradients:
            assert parameter.grad is not None
            view.copy_(parameter.grad)
            parameter.grad = None
        if share != 1:
            self.gradient.mul_(share)
        add(self.gradient)
        return math.sqrt(float(torch.dot(self.gradient, self.gradient)))

    def refresh(self) -> None:
        """Brings the computing copy up to date."""
        if self.copied is not None:
            self.copied.copy_(self.flat)

    def pieces(self, vector: Tensor) -> list[Tensor]:
        """A vector as long as `flat` in pieces, small enough for the cache; one on a GPU."""
        return list(vector.split(PIECE if vector.device.type == "cpu" else len(vector)))

    def limit_norms(self, max_norm: float) -> None:
        """Scales down each unit whose incoming weights have a greater norm (section 3: weight constraint)."""
        for parameter in self.model.parameters():
            if parameter.ndim == 2:
                norms = parameter.data.norm(dim=1, keepdim=True)
                parameter.data.mul_((max_norm / norms).clamp_max(1))
        self.refresh()


def _flatten(model: Model, sizes: list[int]) -> Tensor:
    first = next(model.parameters())
    flat = torch.zeros(sum(sizes), dtype=first.dtype, device=first.device)
    for view, parameter in zip(_views(flat, model, sizes), model.parameters(), strict=True):
        parameter.data = view.copy_(parameter.data)
    return flat


def _views(flat: Tensor, model: Model, sizes: list[int]) -> list[Tensor]:
    stretches = zip(flat.split(sizes), model.parameters(), strict=True)
    return [stretch[: parameter.numel()].view_as(parameter) for stretch, parameter in stretches]


class Optimizer:
    """Updates weights by their gradient.

    Args:
        weights: what is trained.
        clip: largest norm of the gradient; 0 is none.
        max_norm: largest norm of a unit's incoming weights; 0 is none.
    """

    def __init__(self, weights: Weights, clip: float = 0.0, max_norm: float = 0.0) -> None:
        self.weights, self.clip, self.max_norm = weights, clip, max_norm
        copied = weights.flat if weights.copied is None else weights.copied
        self._pieces = list(zip(*map(weights.pieces, (weights.flat, weights.gradient, copied)), strict=True))

    @torch.no_grad()
    def step(self, rate: float, norm: float) -> None:
        """One update with a learning rate, by the gradient that `weights` took, of norm `norm`."""
        scale = min(1.0, self.clip / norm) if self.clip and norm > 0 else 1.0
        copies = self.weights.copied is not None and not self.max_norm
        for number, (weights, gradient, copied) in enumerate(self._pieces):
            self.update(number, weights, gradient if scale == 1 else gradient.mul_(scale), rate)
            if copies:
                copied.copy_(weights)
        if self.max_norm:
            self.weights.limit_norms(self.max_norm)

    @abstractmethod
    def update(self, number: int, weights: Tensor, gradient: Tensor, rate: float) -> None:
        """Updates one piece in place, the `number`-th."""

    @abstractmethod
    def state(self) -> dict[str, Tensor]:
        """Its tensors, by name; copying into them restores it."""


class Sgd(Optimizer):
    """Stochastic gradient descent with Nesterov's momentum."""

    def __init__(self, weights: Weights, momentum: float, clip: float = 0.0, max_norm: float = 0.0) -> None:
        super().__init__(weights, clip, max_norm)
        self.momentum, self.velocity = momentum, torch.zeros_like(weights.flat)
        self._velocities = weights.pieces(self.velocity)

    def update(self, number: int, weights: Tensor, gradient: Tensor, rate: float) -> None:
        """One step: v = m v + g; w -= rate (g + m v)."""
        velocity = self._velocities[number]
        torch.add(gradient, velocity, alpha=self.momentum, out=velocity)
        weights.add_(gradient, alpha=-rate).add_(velocity, alpha=-rate * self.momentum)

    def state(self) -> dict[str, Tensor]:
        """The velocity."""
        return {"velocity": self.velocity}


class Adam(Optimizer):
    """Kingma and Ba 2015, with their constants."""

    BETAS, EPSILON = (0.9, 0.999), 1e-8

    def __init__(self, weights: Weights, clip: float = 0.0, max_norm: float = 0.0) -> None:
        super().__init__(weights, clip, max_norm)
        self.sum, self.square_sum = torch.zeros_like(weights.flat), torch.zeros_like(weights.flat)
        self._sums = list(zip(weights.pieces(self.sum), weights.pieces(self.square_sum), strict=True))
        self._scratch = torch.empty_like(self._sums[0][0])
        self.steps, self.epsilon = torch.zeros((), dtype=torch.int64), self.EPSILON

    def step(self, rate: float, norm: float) -> None:
        """One update; that the moments are sums here, and began at 0, is corrected in the rate.

        A moment is (1 - beta) / (1 - beta^steps) times its sum.
        """
        self.steps.add_(1)
        first, second = ((1 - beta) / (1 - float(beta) ** int(self.steps)) for beta in self.BETAS)
        self.epsilon = self.EPSILON / math.sqrt(second)
        super().step(rate * first / math.sqrt(second), norm)

    def update(self, number: int, weights: Tensor, gradient: Tensor, rate: float) -> None:
        """One step: w -= rate m / (sqrt(v) + epsilon), with fading sums m of g and v of g^2.

        Sums in place of means: torch 1.13's lerp, not vectorised, took as long as all the rest.
        """
        total, square = self._sums[number]
        torch.add(gradient, total, alpha=self.BETAS[0], out=total)
        square.mul_(self.BETAS[1]).addcmul_(gradient, gradient)
        root = torch.sqrt(square, out=self._scratch[: len(square)])
        weights.addcdiv_(total, root.add_(self.epsilon), value=-rate)

    def state(self) -> dict[str, Tensor]:
        """Both sums and the number of steps."""
        return {"sum": self.sum, "square_sum": self.square_sum, "steps": self.steps}


OPTIMIZERS = ("sgd", "adam")


def optimizer(name: str, weights: Weights, momentum: float, clip: float, max_norm: float) -> Optimizer:
    """The optimiser of that name."""
    if name not in OPTIMIZERS:
        raise unknown_name("optimizer", name, OPTIMIZERS, "train.optimizer")
    return Sgd(weights, momentum, clip, max_norm) if name == "sgd" else Adam(weights, clip, max_norm)


class Linear:
    """The learning rate rises over the warm-up, then falls linearly to zero at the last step."""

    def __init__(self, peak: float, total_steps: int, warmup_steps: int = 0) -> None:
        self.peak, self.total_steps, self.warmup_steps = peak, total_steps, warmup_steps

    def rate(self, step: int) -> float:
        """Learning rate of step number `step`, from 0."""
        if step < self.warmup_steps:
            return self.peak * (step + 1) / self.warmup_steps
        return self.peak * (self.total_steps - step) / max(1, self.total_steps - self.warmup_steps)

    def epoch_end(self, cross_entropy: float | None) -> None:
        """Nothing depends on the development set."""

    def state_dict(self) -> dict[str, Any]:
        """Nothing beside the step."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Nothing beside the step."""


class Halving(Linear):
    """The learning rate halves after each epoch whose held-out cross-entropy has not fallen.

    The cross-entropy is the one with the hard labels at T = 1, never the soft loss: that one's constant,
    T^2 times the targets' entropy, would hide progress.
    """

    LEAST_GAIN = 1e-3  # relative to the best so far

    def __init__(self, peak: float, warmup_steps: int = 0) -> None:
        super().__init__(peak, 1, warmup_steps)
        self.factor, self.best = 1.0, math.inf

    def rate(self, step: int) -> float:
        """Learning rate of step number `step`."""
        return self.peak * self.factor * min(1.0, (step + 1) / max(1, self.warmup_steps))

    def epoch_end(self, cross_entropy: float | None) -> None:
        """Takes the development set's cross-entropy with hard labels at T = 1."""
        assert cross_entropy is not None
        if not cross_entropy < self.best * (1 - self.LEAST_GAIN):
            self.factor /= 2
        self.best = min(self.best, cross_entropy)

    def state_dict(self) -> dict[str, Any]:
        """Factor and best cross-entropy."""
        return {"factor": self.factor, "best": self.best}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes on where `state_dict` was taken."""
        self.factor, self.best = state["factor"], state["best"]


SCHEDULES = ("linear", "halving")


def schedule(name: str, peak: float, total_steps: int, warmup_steps: int) -> Linear:
    """The schedule of that name."""
    if name not in SCHEDULES:
        raise unknown_name("schedule", name, SCHEDULES, "train.schedule")
    return Linear(peak, total_steps, warmup_steps) if name == "linear" else Halving(peak, warmup_steps)
