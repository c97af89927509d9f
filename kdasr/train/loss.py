"""What training minimises; the loss of hard labels. That of soft targets is in `distill`."""

from __future__ import annotations

from typing import Protocol

import torch.nn.functional as F
from torch import Tensor


class Objective(Protocol):
    """What training minimises."""

    def __call__(self, logits: Tensor, labels: Tensor, index: Tensor, inputs: Tensor) -> Tensor:
        """Mean loss a frame, a scalar.

        Args:
            logits: (B, S) float32.
            labels: (B,) int64; -1 where there is none.
            index: numbers of the examples, (B,) int64, on the CPU.
            inputs: (B, ...) float32, as the model got them.
        """


def hard_labels(logits: Tensor, labels: Tensor, index: Tensor, inputs: Tensor) -> Tensor:
    """Cross-entropy with the hard labels at T = 1."""
    return F.cross_entropy(logits, labels)
