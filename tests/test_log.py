"""Logs: one line an event, metrics that are cut back to the step that is resumed."""

import re
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import pytest

from kdasr import log


def test_a_listener_hears_what_is_told_meanwhile(capsys):
    heard: list[str] = []
    with pytest.raises(ValueError), log.heard(heard.append):
        log.event("one")
        raise ValueError
    log.event("two")
    assert heard == ["one"] and capsys.readouterr().err.count("\n") == 2


class Curves:
    """Stands for TensorBoard's writer, whose import takes seconds."""

    made: ClassVar[list["Curves"]] = []

    def __init__(self, folder: str, purge_step: int) -> None:
        self.folder, self.closed = folder, False
        self.scalars: list[tuple[str, float, int]] = []
        self.made.append(self)

    def add_scalar(self, name: str, value: float, step: int) -> None:
        self.scalars.append((name, value, step))

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def curves(monkeypatch):
    Curves.made = []
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", SimpleNamespace(SummaryWriter=Curves))
    return Curves.made


def test_an_event_is_one_line_with_the_time_on_stderr(capsys):
    log.event("12 utterances")
    out, err = capsys.readouterr()
    assert out == "" and re.fullmatch(r"\d\d:\d\d:\d\d 12 utterances\n", err)


def test_progress_is_silent_in_a_log(capsys):
    assert list(log.progress(range(3), "work")) == [0, 1, 2]
    assert capsys.readouterr() == ("", "")


def test_the_environment_names_versions_and_machine():
    record = log.environment()
    assert {"kdasr", "python", "torch", "numpy"} <= set(record["versions"])
    assert record["cores"] >= 1 and record["threads"] >= 1


def test_metrics_are_lines_and_curves(tmp_path, curves):
    metrics = log.Metrics(tmp_path / "run")
    metrics.write(10, {"loss": 2.5, "set": "train"})
    metrics.write(20, {"loss": 1.5})
    metrics.close()
    expected = [{"step": 10, "loss": 2.5, "set": "train"}, {"step": 20, "loss": 1.5}]
    assert log.read_metrics(tmp_path / "run" / "metrics.jsonl") == expected
    assert len(curves) == 1 and curves[0].scalars == [("loss", 2.5, 10), ("loss", 1.5, 20)] and curves[0].closed


def test_a_resumed_run_says_nothing_twice(tmp_path, curves):
    metrics = log.Metrics(tmp_path)
    for step in (10, 20, 30):
        metrics.write(step, {"loss": float(step)})
    again = log.Metrics(tmp_path, step=20)  # the checkpoint was of step 20
    again.write(30, {"loss": 31.0})
    assert [line["loss"] for line in log.read_metrics(tmp_path / "metrics.jsonl")] == [10, 20, 31]
    assert curves[1].scalars == [("loss", 10.0, 10), ("loss", 20.0, 20), ("loss", 31.0, 30)]
    log.Metrics(tmp_path)
    assert log.read_metrics(tmp_path / "metrics.jsonl") == []


KILLED = """
import os, signal, sys
from kdasr import log
metrics = log.Metrics(sys.argv[1])
for step in (10, 20, 30):
    metrics.write(step, {"loss": float(step)})
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.slow
def test_curves_that_tensorboard_had_not_flushed_when_it_was_killed_are_there_after_a_resume(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    killed = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], capture_output=True)
    assert killed.returncode == -signal.SIGKILL
    metrics = log.Metrics(tmp_path, step=20)
    metrics.write(30, {"loss": 31.0})
    metrics.close()
    shown = EventAccumulator(str(tmp_path / "tensorboard"), size_guidance={"scalars": 0})
    shown.Reload()
    assert [(event.step, event.value) for event in shown.Scalars("loss")] == [(10, 10), (20, 20), (30, 31)]


def test_a_run_that_resumes_at_its_end_has_its_curves_too(tmp_path, curves):
    log.Metrics(tmp_path).write(10, {"loss": 1.0})
    log.Metrics(tmp_path, step=10).close()
    assert curves[1].scalars == [("loss", 1.0, 10)] and curves[1].closed


def test_a_run_killed_as_it_resumes_has_lost_nothing(tmp_path, curves, monkeypatch):
    metrics = log.Metrics(tmp_path)
    for step in (10, 20):
        metrics.write(step, {"loss": float(step)})
    write = Path.write_text

    def killed(path: Path, text: str, **named: str) -> None:
        write(path, text[:5], **named)
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "write_text", killed)
    with pytest.raises(KeyboardInterrupt):
        log.Metrics(tmp_path, step=20)
    monkeypatch.undo()
    log.Metrics(tmp_path, step=20)
    assert [line["loss"] for line in log.read_metrics(tmp_path / "metrics.jsonl")] == [10, 20]


def test_a_line_cut_off_by_a_kill_is_dropped(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1, "loss": 2}\n{"step": 2, "lo')
    assert log.read_metrics(path) == [{"step": 1, "loss": 2}]
    assert log.read_metrics(tmp_path / "none") == []
