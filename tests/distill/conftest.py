"""A small training set and three teachers."""

from __future__ import annotations

from pathlib import Path

import pytest

from kdasr.data.frames import FrameExamples, FrameOptions, FrameSource
from kdasr.models.dnn import DnnOptions
from kdasr.train.job import TrainJob, train_members
from kdasr.train.loop import TrainOptions
from tests.tables import write_set

CONTEXT = FrameOptions(3, 2)


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of `train` and `dev` sets and `teachers/member-0` to `member-2`."""
    folder = tmp_path_factory.mktemp("distill")
    write_set(folder / "train", 14, seed=1)
    write_set(folder / "dev", 5, seed=2)
    options = TrainOptions(epochs=6, batch_size=64, device="cpu")
    train_members(
        TrainJob(folder / "teachers", source(folder), None, options, DnnOptions(2, 48), threads=1), [0, 1, 2], 1
    )
    return folder


def source(data: Path, name: str = "train") -> FrameSource:
    """One of the sets."""
    return FrameSource(data / name / "feats", data / name / "ali", CONTEXT)


@pytest.fixture(scope="session")
def examples(data: Path) -> FrameExamples:
    """The training set."""
    return source(data).open()
