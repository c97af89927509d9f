"""The one distillation loss (section 2): w_soft T^2 CE(p_T, q_T) + w_hard CE(y, q), mean per frame."""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

from kdasr.distill.sparse import Sparse
from kdasr.refusal import unknown_name

MEANS = ("arithmetic", "geometric")


@dataclass(frozen=True)
class DistillOptions:
    """Temperature and weights; section 4 of the paper: T in {1, 2, 5, 10}, soft 1, hard 0.5."""

    temperature: float = 2.0  # T, above 0, of teacher and student
    soft_weight: float = 1.0  # of the cross-entropy with the soft targets
    hard_weight: float = 0.5  # of the cross-entropy with the hard labels
    mean: str = "arithmetic"  # of the teachers: arithmetic (probabilities at T) or geometric (logits)

    def __post_init__(self) -> None:
        if self.temperature <= 0 or min(self.soft_weight, self.hard_weight) < 0:
            raise ValueError("temperature must be above 0, soft_weight and hard_weight not below")
        if not self.soft_weight and not self.hard_weight:
            raise ValueError("soft_weight and hard_weight must not both be 0")
        if self.mean not in MEANS:
            raise unknown_name("mean", self.mean, MEANS, "distill.mean")


def soft_cross_entropy(logits: Tensor, soft_targets: Tensor | Sparse, temperature: float) -> Tensor:
    """CE(p_T, q_T) = - sum_i p_i log q_i with q = softmax(z / T) (eq. 1), mean per frame, a scalar.

    Args:
        logits: z, (B, S).
        soft_targets: p_T, (B, S), each row sums to 1, at the same temperature.
        temperature: T.
    """
    log_q = F.log_softmax(logits.float() / temperature, dim=1)  # (B, S)
    if isinstance(soft_targets, Sparse):
        return -sparse_sum(soft_targets, log_q).div(len(log_q))
    return -(soft_targets * log_q).sum(dim=1).mean()


def sparse_sum(p: Sparse, log_q: Tensor) -> Tensor:
    """sum_i p_i log q_i of all frames, a scalar, without a dense p: the excess on the kept states alone.

    Args:
        p: p_T of B frames.
        log_q: (B, S).
    """
    return p.background @ (log_q @ p.shape) + p.excess @ log_q.reshape(-1).index_select(0, p.index)


def distillation_loss(logits: Tensor, soft_targets: Tensor | Sparse, labels: Tensor, options: DistillOptions) -> Tensor:
    """w_soft T^2 CE(p_T, q_T) + w_hard CE(y, q), mean per frame, a scalar.

    The soft term's gradient scales as 1 / T^2 (section 2), so T^2 is always there, whichever weight is 0.

    Args:
        logits: the student's z, (B, S).
        soft_targets: the teacher's p_T, (B, S).
        labels: y, (B,) int64; not looked at when the hard weight is 0.
        options: T, w_soft, w_hard.
    """
    loss = logits.new_zeros(())
    if options.soft_weight:
        scale = options.soft_weight * options.temperature**2
        loss = loss + scale * soft_cross_entropy(logits, soft_targets, options.temperature)
    if options.hard_weight:
        loss = loss + options.hard_weight * F.cross_entropy(logits.float(), labels)
    return loss
