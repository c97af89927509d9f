"""Logs: one line an event, metrics that are cut back to the step that is resumed."""

import fcntl
import os
import re
import signal
import struct
import subprocess
import sys
import termios
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import pytest

from kdasr import log

ROOT = Path(__file__).parents[1]


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


JOBS = """
import time
from kdasr import log
from kdasr.jobs import run

def wait(number):
    for step in log.progress(range(20), f"steps of {number}"):
        for inner in log.progress(range(3), "inner"):
            time.sleep(0.03)
        if step == 10:
            log.event(f"half of {number}")
    return number
"""
CALLS = {
    "a loop": "from waiting import wait; wait(0)",
    "jobs side by side": "from waiting import run, wait; print(run(wait, [0, 1, 2], 2, title='work'))",
}


def on_terminal(folder: Path, call: str) -> str:
    """What a program writes on a terminal, standard error with it."""
    (folder / "waiting.py").write_text(JOBS)
    code = f"if __name__ == '__main__':\n    {call}\n"
    (folder / "main.py").write_text(code)
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), str(ROOT)])}
    program = subprocess.Popen([sys.executable, folder / "main.py"], stdout=theirs, stderr=theirs, env=environment)
    os.close(theirs)
    shown = b""
    with suppress(OSError):  # how a terminal ends on Linux
        while some := os.read(ours, 65536):
            shown += some
    os.close(ours)
    assert program.wait() == 0, shown.decode()
    return shown.decode()


def test_a_terminal_shows_the_time_left(tmp_path):
    shown = on_terminal(tmp_path, CALLS["a loop"])
    assert re.search(r"steps of 0: +\d+%\|.*\d+/20 \[\d\d:\d\d<\d\d:\d\d", shown)
    assert re.search(r"\d\d:\d\d:\d\d half of 0\r?\n", shown)


def test_a_terminal_shows_the_time_left_of_jobs_side_by_side(tmp_path):
    """The processes' own bars are hidden; what they have done counts in the one bar, which never goes back."""
    shown = on_terminal(tmp_path, CALLS["jobs side by side"])
    bars = re.findall(r"work: +\d+%\|[^\r]*?(\d\.\d)/3 jobs \[\d\d:\d\d<[\d:?]+\]", shown)
    done = [float(part) for part in bars]
    assert done == sorted(done) and any(part % 1 for part in done) and "steps of" not in shown
    assert shown.count("half of") == 3 and "[0, 1, 2]" in shown
    for line in re.findall(r"[^\n]*half of \d", shown):
        assert re.fullmatch(r"\d\d:\d\d:\d\d half of \d", line.rpartition("\x1b[K")[2]), line  # not behind the bar


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS.keys())
def test_a_log_has_no_bar_whoever_works(tmp_path, call):
    (tmp_path / "waiting.py").write_text(JOBS)
    (tmp_path / "main.py").write_text(f"if __name__ == '__main__':\n    {call}\n")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}
    done = subprocess.run([sys.executable, tmp_path / "main.py"], env=environment, text=True, capture_output=True)
    lines = done.stderr.splitlines()
    assert done.returncode == 0 and lines and all(re.fullmatch(r"[\d:]{8} half of \d", line) for line in lines)


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
