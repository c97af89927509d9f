"""A convolutional CTC net: 100 frames a second of filterbanks to 25 a second of log posteriors of word pieces."""

from __future__ import annotations

import torch
from lhotse.dataset import GlobalMVN
from options import NetOptions
from torch import Tensor, nn

SUBSAMPLING = 4


class Block(nn.Module):
    """x + dropout(relu(norm(convolution(x)))), of (N, C, T)."""

    def __init__(self, width: int, dilation: int, dropout: float) -> None:
        super().__init__()
        self.convolution = nn.Conv1d(width, width, 5, padding=2 * dilation, dilation=dilation)
        self.norm, self.dropout = nn.BatchNorm1d(width), nn.Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Next activations, 0 where `mask` (N, 1, T) is."""
        return (x + self.dropout(self.norm(self.convolution(x)).relu())) * mask


class Net(nn.Module):
    """Two convolutions of stride 2, blocks, a layer of pieces; piece 0 is blank."""

    def __init__(self, bins: int, pieces: int, options: NetOptions) -> None:
        super().__init__()
        width = options.width
        self.input = GlobalMVN(bins)
        self.first = nn.Conv1d(bins, width, 5, stride=2, padding=2)
        self.second = nn.Conv1d(width, width, 5, stride=2, padding=2)
        self.blocks = nn.ModuleList(Block(width, dilation, options.dropout) for dilation in options.dilations)
        self.output = nn.Conv1d(width, pieces, 1)

    def forward(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (N, T / 4 rounded up, pieces) of features (N, T, bins), and the lengths of both."""
        x, mask = self.input(features).transpose(1, 2), _mask(lengths, features.shape[1])
        for convolution in (self.first, self.second):
            x, lengths = convolution(x * mask).relu(), (lengths + 1) // 2
            mask = _mask(lengths, x.shape[2])
        for block in self.blocks:
            x = block(x, mask)
        return self.output(x).transpose(1, 2), lengths


def _mask(lengths: Tensor, longest: int) -> Tensor:
    """1 within each utterance, 0 in its padding: (N, 1, T)."""
    return (torch.arange(longest) < lengths[:, None]).float()[:, None]
