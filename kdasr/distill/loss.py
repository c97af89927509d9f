"""The one distillation loss (section 2): w_soft T^2 CE(p_T, q_T) + w_hard CE(y, q), mean per frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from kdasr.distill.sparse import Sparse
from kdasr.refusal import unknown_name

MEANS = ("arithmetic", "geometric")
STARTS = ("random", "teacher")


@dataclass(frozen=True)
class DistillOptions:
    """Temperature and weights; section 4 of the paper: T in {1, 2, 5, 10}, soft 1, hard 0.5."""

    temperature: float = 2.0  # T, above 0, of teacher and student
    soft_weight: float = 1.0  # of the cross-entropy with the soft targets
    hard_weight: float = 0.5  # of the cross-entropy with the hard labels
    mean: str = "arithmetic"  # of the teachers: arithmetic (probabilities at T) or geometric (logits)
    teachers_per_batch: int = 0  # teachers on the fly that a batch asks, drawn anew for each; 0: all
    start: str = "random"  # first weights: random, or teacher (number seed modulo teachers); --start wins

    def __post_init__(self) -> None:
        if self.temperature <= 0 or min(self.soft_weight, self.hard_weight) < 0:
            raise ValueError("temperature must be above 0, soft_weight and hard_weight not below")
        if not self.soft_weight and not self.hard_weight:
            raise ValueError("soft_weight and hard_weight must not both be 0")
        if self.mean not in MEANS:
            raise unknown_name("mean", self.mean, MEANS, "distill.mean")
        if self.start not in STARTS:
            raise unknown_name("start", self.start, STARTS, "distill.start")
        if self.teachers_per_batch < 0:
            raise ValueError("teachers_per_batch is at least 0")
        if self.teachers_per_batch and self.mean != "arithmetic":
            raise ValueError("teachers_per_batch is for the arithmetic mean alone")


def soft_cross_entropy(logits: Tensor, soft_targets: Tensor | Sparse, temperature: float) -> Tensor:
    """CE(p_T, q_T) = - sum_i p_i log q_i with q = softmax(z / T) (eq. 1), mean per frame, a scalar.

    Args:
        logits: z, (B, S).
        soft_targets: p_T, (B, S), each row sums to 1, at the same temperature.
        temperature: T.
    """
    return _CrossEntropies.of(logits, [(1.0, soft_targets, temperature)])


def soft_loss(logits: Tensor, soft_targets: Tensor | Sparse, options: DistillOptions) -> Tensor:
    """w_soft T^2 CE(p_T, q_T), mean per frame, a scalar: for losses whose hard term is none of frames, as CTC's.

    Args:
        logits: the student's z, (B, S).
        soft_targets: the teacher's p_T, (B, S).
        options: T and w_soft; w_hard is the caller's to use.
    """
    return _CrossEntropies.of(logits, [_soft_term(soft_targets, options)])


def distillation_loss(logits: Tensor, soft_targets: Tensor | Sparse, labels: Tensor, options: DistillOptions) -> Tensor:
    """w_soft T^2 CE(p_T, q_T) + w_hard CE(y, q), mean per frame, a scalar.

    The soft term's gradient scales as 1 / T^2 (section 2), so T^2 is always there, whichever weight is 0.

    Args:
        logits: the student's z, (B, S).
        soft_targets: the teacher's p_T, (B, S).
        labels: y, (B,) int64; -1 of a frame without a label, which has no hard term; not looked at when the hard
            weight is 0.
        options: T, w_soft, w_hard.
    """
    soft: Term = _soft_term(soft_targets, options)
    hard: Term = (options.hard_weight, labels, 1.0)
    return _CrossEntropies.of(logits, [term for term in (soft, hard) if term[0]])


Term = tuple[float, Tensor | Sparse, float]  # weight, p (or labels, int64), T


def _soft_term(soft_targets: Tensor | Sparse, options: DistillOptions) -> Term:
    return options.soft_weight * options.temperature**2, soft_targets, options.temperature


class _CrossEntropies(torch.autograd.Function):
    """sum w CE(p, q) of q = softmax(z / T), mean per frame, and its gradient sum w (q - p) / T, in one go.

    Exponentials of (B, S) numbers take a good part of a small net's step. Here each is taken once, and p is never dense
    unless it is given so: - sum_i p_i log q_i = log sum_i exp(z_i / T) - sum_i p_i z_i / T.
    """

    @staticmethod
    def of(logits: Tensor, terms: Sequence[Term]) -> Tensor:
        """The sum of the terms, a scalar."""
        loss: Tensor = _CrossEntropies.apply(logits, terms)
        return loss

    @staticmethod
    def forward(ctx: Any, logits: Tensor, terms: Sequence[Term]) -> Tensor:
        precisions = [p.excess.dtype if isinstance(p, Sparse) else p.dtype for _, p, _ in terms]
        values = logits.to(reduce(torch.promote_types, precisions, torch.float32))
        top = values.amax(1)
        loss, gradient = values.new_zeros((), dtype=torch.float64), None
        for weight, p, temperature in terms:
            z = values if temperature == 1 else values / temperature
            q = z.softmax(1)
            log_sum = (top / temperature).double() - q.amax(1).log()  # of the largest z, q = exp(z) / sum
            if not isinstance(p, Sparse) and p.ndim == 1:
                log_sum = log_sum[p >= 0]  # the others have no label
            loss += weight * (log_sum.sum() - _expected(p, z))
            part, scale = _minus(q, p), weight / (temperature * len(z))
            gradient = part.mul_(scale) if gradient is None else gradient.add_(part, alpha=scale)
        ctx.save_for_backward(gradient)
        return loss.div_(len(values)).to(values.dtype)

    @staticmethod
    @once_differentiable  # type: ignore[misc]
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return ctx.saved_tensors[0] * gradient, None


def _expected(p: Tensor | Sparse, z: Tensor) -> Tensor:
    """sum_i p_i z_i of all frames, a scalar, float64: it nearly cancels what it is taken from."""
    if isinstance(p, Sparse):
        tail = p.background.double() @ (z @ p.shape).double()
        return tail + p.excess.double() @ z.flatten().index_select(0, p.index).double()
    if p.ndim == 1:
        return z.gather(1, p.clamp(min=0)[:, None])[p >= 0].double().sum()
    return (p * z).double().sum()


def _minus(q: Tensor, p: Tensor | Sparse) -> Tensor:
    """In place of q: q - p."""
    if isinstance(p, Sparse):
        q.view(-1).index_add_(0, p.index, p.excess, alpha=-1.0)
        return q.addr_(p.background, p.shape, alpha=-1.0)
    if p.ndim == 1:
        q.scatter_add_(1, p.clamp(min=0)[:, None], q.new_full((len(p), 1), -1.0))
        return q.index_fill_(0, torch.nonzero(p < 0)[:, 0], 0.0)
    return q.sub_(p)
