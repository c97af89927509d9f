"""A joint model took what specialists lay there: those of some subsets, a copy, those of subsets before these."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from kdasr import io
from kdasr.refusal import Refusal
from kdasr.specialists.infer import InferOptions
from kdasr.specialists.joint import put_together
from kdasr.specialists.training import specialist_folders, train_specialists
from tests.specialists.conftest import SUBSETS, data, job

__all__ = ["data"]  # a fixture


@pytest.fixture(scope="module")
def nets(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = tmp_path_factory.mktemp("nets")
    train_specialists(replace(job(data, folder, epochs=1), subsets="first", of=3), dict(SUBSETS), 1)
    return folder


def test_one_is_missing(nets, tmp_path):
    shutil.copytree(nets, tmp_path / "nets")
    shutil.rmtree(tmp_path / "nets" / "specialist-1")
    told = r"nets: specialists are missing \(expected 3, found no specialist-1\); train them too"
    with pytest.raises(Refusal, match=told):
        specialist_folders(tmp_path / "nets")


def test_a_copy_is_none_of_them(nets):
    shutil.copytree(nets / "specialist-1", nets / "specialist-1.bak", dirs_exist_ok=True)
    assert [path.name for path in specialist_folders(nets)] == [f"specialist-{number}" for number in range(3)]


def test_some_are_of_other_subsets(data, nets, tmp_path):
    shutil.copytree(nets, tmp_path / "nets")
    other = replace(job(data, tmp_path / "nets", epochs=1), subsets="second", of=2, overwrite=True)
    train_specialists(other, {0: (1, 2), 1: (3, 4)}, 1)
    assert io.read_info(tmp_path / "nets" / "specialist-0")["subsets"] == "second"
    told = r"specialist-2: the subsets that the specialists are of does not match \(expected second, found first\)"
    with pytest.raises(Refusal, match=told):
        put_together(data / "generalist", specialist_folders(tmp_path / "nets"), InferOptions())
