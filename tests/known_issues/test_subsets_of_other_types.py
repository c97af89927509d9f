"""A file of subsets whose classes are no list of numbers ended in a traceback."""

from __future__ import annotations

from typing import Any

import pytest

from kdasr import io
from kdasr.refusal import Refusal
from kdasr.specialists.confusion import SubsetOptions
from kdasr.specialists.subsets import SubsetsJob, make_subsets, read_subsets
from tests.specialists.conftest import data, source

__all__ = ["data"]  # a fixture


@pytest.mark.parametrize("classes", [["a"], [1.0, 2.0], [True], None, 3, "12"])
def test_classes_are_refused(data, tmp_path, classes):
    with pytest.raises(Refusal, match=r"subset 0: no subset of the classes \(expected numbers, some of the 8 classes"):
        changed(data, tmp_path, {"subsets": [{"classes": classes}]})


@pytest.mark.parametrize("content", [{}, [], {"subsets": 3}, {"subsets": [{}]}, {"subsets": [1]}])
def test_a_file_is_refused(data, tmp_path, content):
    with pytest.raises(Refusal, match=r"subsets.json: damaged subsets \(expected a list of subsets\)"):
        changed(data, tmp_path, content)


def changed(data: Any, folder: Any, content: Any) -> None:
    make_subsets(SubsetsJob(folder, source(data), data / "generalist", SubsetOptions(2, 3)))
    io.write_json(folder / "subsets.json", content)
    read_subsets(folder, data / "generalist")
