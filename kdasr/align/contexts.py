"""Statistics of phones in context, for state tying: sums of an alignment's frames by window and state."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from kdasr.align.segments import phone_segments
from kdasr.lang.statistics import ContextStatistics
from kdasr.lang.tree import PLACES, Tree


def accumulate(
    paths: Sequence[np.ndarray | None], frames: Sequence[torch.Tensor], tree: Tree, width: int
) -> ContextStatistics:
    """Sums of the frames of each window and state.

    Args:
        paths: transition ids (T,) int of each utterance; None of one that is not aligned, which is left out.
        frames: (T, D) float32 of each, at least one.
        tree: what the transition ids mean.
        width: phones of a window, as `Tree.width`.

    Returns:
        The statistics; the first and the last phone of an utterance have 0 as neighbour, as in Kaldi.
    """
    kept = [(path, matrix) for path, matrix in zip(paths, frames, strict=True) if path is not None]
    sizes = (len(tree.topology.phones) + 1,) * width + (max(map(len, tree.topology.states)),)
    keys = [np.ravel_multi_index(_keys(path, tree, width), sizes) for path, _ in kept]
    seen, group = np.unique(np.concatenate([np.empty(0, int), *keys]), return_inverse=True)
    sums = torch.zeros(len(seen), 1 + 2 * frames[0].shape[1], dtype=torch.float64)
    groups = torch.from_numpy(group).split([len(path) for path, _ in kept])
    for (_, matrix), rows in zip(kept, groups, strict=True):
        x = matrix.double()
        sums.index_add_(0, rows, torch.cat([torch.ones(len(x), 1).double(), x, x**2], dim=1))
    columns = np.stack(np.unravel_index(seen, sizes), axis=1)
    return ContextStatistics(columns[:, :-1], columns[:, -1], sums.numpy())


def _keys(path: np.ndarray, tree: Tree, width: int) -> tuple[np.ndarray, ...]:
    """The phones of the window and the state of each frame: width + 1 arrays (T,)."""
    phones, edges = phone_segments(path, tree)
    beside = np.concatenate([[0], phones, [0]])
    silent = np.isin(phones, tree.topology.silence_numbers)
    columns = {"left": np.where(silent, 0, beside[:-2]), "phone": phones, "right": np.where(silent, 0, beside[2:])}
    windows = (np.repeat(columns[place], np.diff(edges)) for place in PLACES[width])
    return (*windows, tree.table.state[path])
