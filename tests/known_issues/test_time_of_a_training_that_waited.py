"""A training that was stopped for minutes counted them: a specialist had half its generalist's time in the tables."""

from __future__ import annotations

import json

import pytest

from kdasr.report import origin
from kdasr.report.files import RATE, keep
from kdasr.report.run import read_run
from tests.report import runs

PLACE = "members/member-0"


@pytest.mark.parametrize("kept", [False, True])
def test_its_minutes_of_waiting_are_not_its_time(tmp_path, kept):
    exp = runs.write_run(tmp_path / "exp")
    lines = [{"step": 100 * number, RATE: 10.0 if number == 2 else 25600.0} for number in range(1, 6)]
    (exp / PLACE / "metrics.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    if kept:
        keep(read_run(exp).files, exp.parent / "kept.json")
    run = read_run(exp.parent / "kept.json" if kept else exp)
    assert origin.training_seconds(run, PLACE, run.infos[PLACE]) == pytest.approx(3.0)  # 300 steps of 256 frames
