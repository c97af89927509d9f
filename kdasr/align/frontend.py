"""The front-end: what a GMM sees of a speaker's cepstra, once they are normalised by speaker."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from kdasr.data.table import FrameTable, Utterance
from kdasr.features import cmvn, deltas

DELTA_ORDER = 2  # Kaldi's


@dataclass(frozen=True)
class Frontend:
    """Cepstra with first and second differences or, with a matrix, frames side by side, projected by it.

    Attributes:
        matrix: rows of the projection, (dim, (2 context + 1) D) float32; None stands for differences.
        context: frames a side that stand beside each frame; 0 with differences.
    """

    matrix: torch.Tensor | None = None
    context: int = 0

    def __call__(self, cepstra: np.ndarray) -> torch.Tensor:
        """Frames of one utterance's cepstra `(T, D)`: (T, dim) float32."""
        if self.matrix is None:
            return torch.from_numpy(deltas.add_deltas(cepstra, DELTA_ORDER))
        return torch.from_numpy(splice(cepstra, self.context)) @ self.matrix.T

    def num_cepstra(self, dim: int) -> int:
        """Cepstra of the frames that become frames of `dim` numbers."""
        if self.matrix is None:
            return dim // (DELTA_ORDER + 1)
        return self.matrix.shape[1] // (2 * self.context + 1)


DELTAS = Frontend()


def splice(frames: np.ndarray, context: int) -> np.ndarray:
    """Each frame with those beside it, the earliest first; the first and last are repeated beyond the edges.

    Args:
        frames: (T, D) float32 of one utterance.
        context: frames a side.

    Returns:
        (T, (2 context + 1) D) float32.
    """
    rows = np.arange(len(frames))[:, None] + np.arange(-context, context + 1)
    spliced: np.ndarray = frames[rows.clip(0, max(0, len(frames) - 1))].reshape(len(frames), -1)
    return spliced


def cepstra(table: FrameTable, utterances: Sequence[Utterance]) -> list[np.ndarray]:
    """Cepstra of utterances, mean and variance normalised over all that their speaker said: (T, D) float32 each."""
    stats = cmvn.speaker_stats(table, {utterance.speaker for utterance in utterances})
    return [stats[utterance.speaker].apply(table.frames(utterance)) for utterance in utterances]
