"""Calibration: whether a model is right as often as it is sure (reliability diagrams; Guo et al. 2017, section 2)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

BINS = 15  # of equal width, as theirs


class Reliability:
    """Confidence, the largest posterior of a frame, beside how often the guess is right, in bins of confidence.

    Attributes:
        frames: of each bin, (BINS,) int64.
        confidence: their sum in each bin, (BINS,) float64.
        right: correct ones of each bin, (BINS,) int64.
    """

    def __init__(self) -> None:
        self.frames, self.right = (torch.zeros(BINS, dtype=torch.int64) for _ in range(2))
        self.confidence = torch.zeros(BINS, dtype=torch.float64)

    def add(self, confidence: Tensor, right: Tensor) -> None:
        """Adds a batch: (B,) float32 from 0 to 1, and (B,) bool, on any device."""
        confidence = confidence.double().cpu()
        bins = (confidence * BINS).long().clamp_(0, BINS - 1)
        self.frames += bins.bincount(minlength=BINS)
        self.right += bins[right.cpu()].bincount(minlength=BINS)
        self.confidence += bins.bincount(confidence, minlength=BINS)

    def merge(self, other: Mapping[str, Any]) -> None:
        """Adds what `as_json` of another one gave."""
        self.frames += torch.tensor(other["frames"])
        self.right += torch.tensor(other["right"])
        self.confidence += torch.tensor(other["confidence"], dtype=torch.float64)

    def as_json(self) -> dict[str, list[float]]:
        """The sums of each bin as JSON types."""
        return {name: getattr(self, name).tolist() for name in ("frames", "confidence", "right")}

    @property
    def error(self) -> float:
        """Expected calibration error, 0 to 1: the mean over frames of |accuracy - confidence| of their bin (eq. 3)."""
        return float((self.right - self.confidence).abs().sum() / self.frames.sum().clamp(min=1))

    def line(self, least: int = 1) -> tuple[list[float], list[float]]:
        """Mean confidence and accuracy of each bin of so many frames at least."""
        some = self.frames >= least
        frames = self.frames[some]
        return (self.confidence[some] / frames).tolist(), (self.right[some] / frames).tolist()
