"""Soft targets of which most states have next to nothing: an excess on few states over a background on all."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Sparse:
    """p_T of B frames, p = background x shape + excess, where only the kept states have an excess.

    So the tail, which is what is not kept, has the shape's proportions, and each row sums to 1.

    Attributes:
        background: how much of the shape each frame has, (B,) float32.
        shape: over all states, (S,) float32, sums to 1.
        index: b x S + state of each kept state, (E,) int64; none twice.
        excess: its probability less the background's, (E,) float32.
    """

    background: Tensor
    shape: Tensor
    index: Tensor
    excess: Tensor

    def __len__(self) -> int:
        return len(self.background)

    def to(self, device: torch.device | str) -> Sparse:
        """The same on a device."""
        return Sparse(*(part.to(device) for part in (self.background, self.shape, self.index, self.excess)))

    def dense(self) -> Tensor:
        """p_T, (B, S)."""
        p = self.excess.new_zeros(len(self) * len(self.shape)).index_add_(0, self.index, self.excess)
        return p.view(len(self), len(self.shape)).addr_(self.background, self.shape)
