"""Arrays in files without a name: memory that the system may write to disk, and that ends with the process.

They lie where temporary files do ($TMPDIR); where that is memory itself, nothing is gained.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable

import numpy as np


def empty(shape: tuple[int, ...], dtype: type | str) -> np.ndarray:
    """An array of zeros; pages that nobody touched take no room."""
    if 0 in shape:
        return np.zeros(shape, dtype)
    with tempfile.TemporaryFile() as file:
        return np.memmap(file, dtype, "w+", shape=shape)


class Rows:
    """Arrays of rows of one kind, one after the other in a file.

    Args:
        arrays: (K, ...) each, the same but for K, at least one; read one at a time.
    """

    def __init__(self, arrays: Iterable[np.ndarray]) -> None:
        sizes = [0]
        with tempfile.TemporaryFile() as file:
            for array in arrays:
                file.write(np.ascontiguousarray(array).data)
                sizes.append(len(array))
            file.flush()
            self._edges = np.cumsum(sizes)
            shape = (int(self._edges[-1]), *array.shape[1:])
            self._rows = np.memmap(file, array.dtype, "r", shape=shape) if shape[0] else np.zeros(shape, array.dtype)

    def __getitem__(self, number: int) -> np.ndarray:
        return self._rows[self._edges[number] : self._edges[number + 1]]

    def __len__(self) -> int:
        return len(self._edges) - 1
