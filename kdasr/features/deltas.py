"""Delta and acceleration coefficients, as Kaldi's `add-deltas` computes them."""

from __future__ import annotations

import numpy as np


def delta_filters(order: int = 2, window: int = 2) -> list[np.ndarray]:
    """The filters of orders 0 to `order`: order k is the slope over `window` frames a side, k times.

    Returns:
        Arrays of `2 k window + 1` float64 weights, the middle one that of the frame itself.
    """
    slope = np.arange(-window, window + 1) / sum(step * step for step in range(-window, window + 1))
    filters = [np.ones(1)]
    for _ in range(order):
        filters.append(np.convolve(filters[-1], slope))
    return filters


def add_deltas(frames: np.ndarray, order: int = 2, window: int = 2) -> np.ndarray:
    """Appends the deltas of every order; the first and last frames are repeated beyond the edges.

    Args:
        frames: `(T, D)`, one utterance.
        order: 2 gives deltas and accelerations (Kaldi's default).
        window: frames a side of the slope (Kaldi's default 2).

    Returns:
        `(T, (order + 1) D)` float32: statics, deltas, accelerations.
    """
    if len(frames) == 0:
        return np.empty((0, frames.shape[1] * (order + 1)), np.float32)
    reach = order * window
    padded = np.pad(np.asarray(frames, np.float32), ((reach, reach), (0, 0)), mode="edge")
    blocks = []
    for weights in delta_filters(order, window):
        begin = reach - len(weights) // 2
        # correlation, not convolution: the weight at +1 is that of the next frame
        shifted = (
            padded[begin + step : begin + step + len(frames)] * np.float32(weight)
            for step, weight in enumerate(weights)
        )
        blocks.append(sum(shifted, np.zeros(frames.shape, np.float32)))
    return np.concatenate(blocks, axis=1)
