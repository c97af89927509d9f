"""A small set, its generalist, and three specialists of overlapping subsets."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from kdasr.data.frames import FrameOptions, FrameSource
from kdasr.distill.loss import DistillOptions
from kdasr.models.dnn import DnnOptions
from kdasr.specialists.dustbin import SpecialistOptions
from kdasr.specialists.training import SpecialistJob, train_specialists
from kdasr.train.job import TrainJob, train_model
from kdasr.train.loop import TrainOptions
from tests.tables import write_set

SUBSETS = {0: (1, 2, 3), 1: (3, 4, 1), 2: (6, 5)}  # of 8 classes; 0 and 7 have no specialist
TRAIN = {"epochs": 3, "batch_size": 32, "device": "cpu", "threads": 1, "precision": "fp32"}


def source(data: Path, name: str = "train") -> FrameSource:
    """One of the sets."""
    return FrameSource(data / name / "feats", data / name / "ali", FrameOptions(2, 1))


def job(data: Path, folder: Path, **changed: object) -> SpecialistJob:
    """Specialists of the generalist; `changed` of their options."""
    options = replace(SpecialistOptions(**TRAIN, largest_epoch=1.0), **changed)  # type: ignore[arg-type]
    return SpecialistJob(folder, source(data), source(data, "dev"), data / "generalist", (), options, DistillOptions())


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of `train` and `dev` sets, `generalist`, and `specialists/specialist-0` to `-2`."""
    folder = tmp_path_factory.mktemp("specialists")
    write_set(folder / "train", 14, seed=1)
    write_set(folder / "dev", 5, seed=2)
    options = TrainOptions(**TRAIN)  # type: ignore[arg-type]
    train_model(TrainJob(folder / "generalist", source(folder), None, options, DnnOptions(1, 24), threads=1))
    train_specialists(job(folder, folder / "specialists"), dict(SUBSETS), 1)
    return folder
