"""A finished run, made in an environment that is the same everywhere."""

from __future__ import annotations

import itertools
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from kdasr import log, memory
from tests.report import runs

ENVIRONMENT = {
    "versions": {"kdasr": "0.1.0", "torch": "1.13.1"},
    "machine": "x86_64",
    "cores": 2,
    "threads": 1,
}


def make_the_same(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(log, "environment", lambda: ENVIRONMENT)
    patch.setattr(memory, "peak", lambda: 0.5)
    patch.setattr(memory, "peak_of_workers", lambda: 1.25)
    clock = itertools.count()
    patch.setattr("kdasr.io.time", SimpleNamespace(perf_counter=lambda: next(clock) / 2))  # half a second a folder


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    make_the_same(monkeypatch)


@pytest.fixture(scope="session")
def template(tmp_path_factory) -> Path:
    """Made once: hundreds of synced files take most of a second."""
    with pytest.MonkeyPatch.context() as patch:
        make_the_same(patch)
        return runs.write_run(tmp_path_factory.mktemp("template") / "exp")


@pytest.fixture
def exp(template: Path, tmp_path: Path) -> Path:
    shutil.copytree(template, tmp_path / "exp")
    return tmp_path / "exp"
