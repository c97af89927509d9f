"""The front-end: what a GMM sees of a speaker's cepstra, once they are normalised by speaker."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from kdasr.data.table import FrameTable, Utterance
from kdasr.features import cmvn, deltas

DELTA_ORDER = 2  # Kaldi's


@dataclass(frozen=True)
class Deltas:
    """Cepstra with first and second differences."""

    def __call__(self, cepstra: np.ndarray) -> torch.Tensor:
        """Frames of one utterance's cepstra `(T, D)`: (T, 3 D) float32."""
        return torch.from_numpy(deltas.add_deltas(cepstra, DELTA_ORDER))

    def num_cepstra(self, dim: int) -> int:
        """Cepstra a frame that become `dim` numbers."""
        return dim // (DELTA_ORDER + 1)


@dataclass(frozen=True)
class Projection:
    """Frames side by side, projected by a matrix.

    Attributes:
        matrix: (dim, (2 context + 1) D) float32.
        context: frames a side that stand beside each frame.
    """

    matrix: torch.Tensor
    context: int

    def __call__(self, cepstra: np.ndarray) -> torch.Tensor:
        """Frames of one utterance's cepstra `(T, D)`: (T, dim) float32."""
        return torch.from_numpy(splice(cepstra, self.context)) @ self.matrix.T

    def num_cepstra(self, dim: int) -> int:
        """Cepstra a frame that become `dim` numbers."""
        return self.matrix.shape[1] // (2 * self.context + 1)

    def then(self, matrix: torch.Tensor) -> Projection:
        """The projection followed by a transform (dim, dim) of its frames."""
        return Projection(matrix @ self.matrix, self.context)


Frontend = Deltas | Projection
DELTAS = Deltas()


def splice(frames: np.ndarray, context: int) -> np.ndarray:
    """Each frame with those beside it, the earliest first; the first and last are repeated beyond the edges.

    Args:
        frames: (T, D) float32 of one utterance.
        context: frames a side.

    Returns:
        (T, (2 context + 1) D) float32.
    """
    rows = np.arange(len(frames))[:, None] + np.arange(-context, context + 1)
    spliced: np.ndarray = frames[rows.clip(0, max(0, len(frames) - 1))].reshape(
        len(frames), rows.shape[1] * frames.shape[1]
    )
    return spliced


class Cepstra:
    """Cepstra of utterances, mean and variance normalised over all that their speaker said: (T, D) float32 each.

    Args:
        table: raw cepstra, read as they are asked for.
        utterances: of the table.
    """

    def __init__(self, table: FrameTable, utterances: Sequence[Utterance]) -> None:
        self.table, self.utterances = table, utterances
        self._stats = cmvn.speaker_stats(table, {utterance.speaker for utterance in utterances})

    def __getitem__(self, number: int) -> np.ndarray:
        utterance = self.utterances[number]
        return self._stats[utterance.speaker].apply(self.table.frames(utterance))

    def __len__(self) -> int:
        return len(self.utterances)

    def __iter__(self) -> Iterator[np.ndarray]:
        return (self[number] for number in range(len(self)))
