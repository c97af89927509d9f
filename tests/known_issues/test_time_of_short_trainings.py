"""A training of fewer steps than lie between two lines said nowhere how fast it was, and no table had its time."""

from __future__ import annotations

from dataclasses import replace

from kdasr import log
from tests.train.test_loop import OPTIONS, sets, trainer

__all__ = ["sets"]  # a fixture


def test_its_epochs_say_it(sets, tmp_path):
    trainer(tmp_path, sets, replace(OPTIONS, epochs=2, log_steps=10_000)).run()
    speeds = [line["frames_per_second"] for line in log.read_metrics(tmp_path / "metrics.jsonl")]
    assert len(speeds) == 2 and min(speeds) > 0
