"""Arrays in files without a name."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from kdasr.align import scratch


def test_an_array_is_zero_writable_and_leaves_no_file(tmp_path: Path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    array = scratch.empty((5, 3), np.float32)
    array[2] = 7
    assert isinstance(array, np.memmap) and array.sum() == 21 and array.dtype == np.float32
    assert not os.listdir(tmp_path)


def test_no_rows_are_an_array_too():
    assert scratch.empty((0, 3), np.float32).shape == (0, 3)


def test_rows_read_back_one_by_one(tmp_path: Path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    arrays = [np.arange(2 * number, dtype=np.int32).reshape(number, 2) for number in (3, 0, 1, 5)]
    rows = scratch.Rows(iter(arrays))
    assert len(rows) == 4 and not os.listdir(tmp_path)
    for number, array in enumerate(arrays):
        assert np.array_equal(rows[number], array) and rows[number].dtype == np.int32
    assert len(scratch.Rows([arrays[1]])[0]) == 0
