"""A subset of classes that no example has stopped all specialists on the way, unnamed, and left a begun folder."""

from __future__ import annotations

import pytest

from kdasr.refusal import Refusal
from kdasr.specialists.training import train_specialists
from tests.specialists.conftest import data, job, source

__all__ = ["data"]  # a fixture


def test_it_is_told_before_any_is_begun(data, tmp_path, monkeypatch):
    counts = source(data).open().label_counts()
    counts[4] = 0
    monkeypatch.setattr("kdasr.data.examples.Examples.label_counts", lambda *_: counts)
    told = r"subset 1: the training examples are all of the subset, or none \(expected some, found 0 of \d+\); find"
    with pytest.raises(Refusal, match=told):
        train_specialists(job(data, tmp_path / "nets"), {0: (1, 2), 1: (4,)}, 1)
    assert not (tmp_path / "nets").exists()
