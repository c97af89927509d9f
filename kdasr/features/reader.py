"""Lets lhotse read a kdasr frame table: with this module imported, attached cuts load their features."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from lhotse.features.io import FeaturesReader, register_reader

from kdasr.data.table import FrameTable


@lru_cache(maxsize=16)
def _table(folder: str) -> FrameTable:
    return FrameTable(folder)


@register_reader
class TableReader(FeaturesReader):  # type: ignore[misc]
    """Reads utterances of a frame table as lhotse features.

    Args:
        storage_path: the table's folder.
    """

    name = "kdasr_frames"

    def __init__(self, storage_path: str) -> None:
        self.table = _table(str(storage_path))

    def read(self, key: str, left_offset_frames: int = 0, right_offset_frames: int | None = None) -> np.ndarray:
        """Frames of the utterance `key`, `(T, dim)` float32, those between the two offsets."""
        return np.asarray(self.table.frames(key)[left_offset_frames:right_offset_frames], np.float32)
