"""A finished run, made in an environment that is the same everywhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from kdasr import log
from tests.report import runs


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    versions = {"kdasr": "0.1.0", "torch": "1.13.1"}
    record = {"versions": versions, "machine": "x86_64", "cores": 2, "threads": 1}
    monkeypatch.setattr(log, "environment", lambda: record)


@pytest.fixture
def exp(tmp_path: Path) -> Path:
    return runs.write_run(tmp_path / "exp")
