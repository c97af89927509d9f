"""One process at a time in a folder: with two real processes."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kdasr import io, jobs, lock
from kdasr.refusal import Refusal
from tests.tables import write_set

ROOT = Path(io.__file__).parents[1]
WORKER = """
import sys
from pathlib import Path
from kdasr import io
out = Path(sys.argv[1])
print("begun" if io.begin(out, io.Made("verb", {"a": int(sys.argv[2])}), overwrite=True) else "up to date", flush=True)
sys.stdin.readline()
io.write_text(out / "result", "1")
io.finish(out)
print("finished", flush=True)
sys.stdin.readline()
"""
Start = Callable[..., subprocess.Popen]


@pytest.fixture
def start(tmp_path) -> Iterator[Start]:
    """Starts a process that begins `tmp_path/out`, with an option, and goes on at each line that it gets."""
    started: list[subprocess.Popen] = []

    def process(option: int = 1, program: str = WORKER) -> subprocess.Popen:
        command, environment = [sys.executable, "-c", program, tmp_path / "out", str(option)], {"PYTHONPATH": str(ROOT)}
        pipe = subprocess.PIPE
        with open(tmp_path / f"log{len(started)}", "w") as log:
            started.append(
                subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=log, text=True, env=os.environ | environment)
            )
        return started[-1]

    yield process
    for each in started:
        each.kill()
        each.communicate()


def says(process: subprocess.Popen, line: str) -> bool:
    assert process.stdout
    return process.stdout.readline() == f"{line}\n"


def go_on(process: subprocess.Popen) -> None:
    assert process.stdin
    process.stdin.write("\n")
    process.stdin.flush()


def wait_for(file: Path, text: str) -> None:
    end = time.monotonic() + 30
    while text not in file.read_text():
        assert time.monotonic() < end, file.read_text()
        time.sleep(0.02)


def test_a_second_process_waits_and_finds_the_folder_up_to_date(tmp_path, start):
    first = start()
    assert says(first, "begun")
    second = start()
    wait_for(tmp_path / "log1", f" waits for another process that works in {tmp_path}/out\n")
    go_on(first)
    assert says(first, "finished") and says(second, "up to date")  # `first` is still there
    assert (tmp_path / "log1").read_text().count("\n") == 2


def test_a_killed_process_lets_the_second_go_on(tmp_path, start):
    first = start()
    assert says(first, "begun")
    second = start()
    wait_for(tmp_path / "log1", "waits for another process")
    first.kill()
    assert says(second, "begun")


def test_what_is_overwritten_is_waited_for(tmp_path, start):
    first = start(1)
    assert says(first, "begun")
    second = start(2)
    wait_for(tmp_path / "log1", "waits for another process")
    go_on(first)
    assert says(second, "begun")
    third = start(3)  # the folder is still the same, and so is its lock
    wait_for(tmp_path / "log2", "waits for another process")
    go_on(second)
    assert says(second, "finished") and says(third, "begun")


def test_one_process_may_begin_a_folder_twice(tmp_path):
    made = io.Made("verb", {})
    assert io.begin(tmp_path / "out", made) and io.begin(tmp_path / "out", made)
    io.finish(tmp_path / "out")
    assert not io.begin(tmp_path / "out", made) and tmp_path / "out" not in lock.held()


def begin(folder: Path) -> bool:
    return io.begin(folder, io.Made("verb", {}))


def test_a_worker_works_in_its_parent_s_folder(tmp_path):
    """A call that was refused keeps its folder; its next one, by workers, shall not wait for itself."""
    assert begin(tmp_path / "out")
    assert jobs.run(begin, [tmp_path / "out", tmp_path / "other"], 2) == [True, True]
    assert tmp_path / "other" not in lock.held()  # it was the worker's, which has ended


LENT = """
import sys
from pathlib import Path
from kdasr import lock
with lock.lent([Path(sys.argv[1])]):
    print("lent", flush=True)
    sys.stdin.readline()
"""


def test_a_cluster_s_worker_that_outlives_its_run_is_waited_for(tmp_path, start):
    """It would write what other options make into the folder."""
    first = start()
    assert says(first, "begun")
    worker = start(program=LENT)
    assert says(worker, "lent")
    first.kill()
    second = start(2)
    wait_for(tmp_path / "log2", f" waits for another process that works in {tmp_path}/out\n")
    go_on(worker)
    assert says(second, "begun")


def test_a_folder_that_was_deleted_is_held_anew(tmp_path, start):
    made = io.Made("verb", {"a": 1})
    io.begin(tmp_path / "out", made)
    (tmp_path / "out" / "making.json").unlink()
    (tmp_path / "out").rmdir()
    assert io.begin(tmp_path / "out", made)
    start()
    wait_for(tmp_path / "log0", "waits for another process")
    io.finish(tmp_path / "out")


def test_a_refusal_lets_others_in(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(Refusal):
        io.begin(tmp_path, io.Made("verb", {}))
    assert tmp_path not in lock.held()


def test_a_file_system_without_locks_is_told(tmp_path, monkeypatch, capsys):
    def without(descriptor: int, kind: int) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr(fcntl, "flock", without)
    assert io.begin(tmp_path / "out", io.Made("verb", {}))
    assert f"{tmp_path}/out: no lock (No locks available); run one process at a time\n" in capsys.readouterr().err
    io.finish(tmp_path / "out")


def test_two_trainings_of_one_folder_end_well(tmp_path):
    """`kill -9` of run.sh alone leaves its kdasr alive: the one that the restart calls lost its checkpoints to it."""
    features, alignment = write_set(tmp_path / "train", 6, seed=1)
    settings = "dnn.layers=1 dnn.width=16 frames.left=2 frames.right=1 train.batch_size=64 train.threads=1"
    settings += " train.epochs=40 train.checkpoint_steps=1 train.log_steps=1"
    arguments = ["train", tmp_path / "out", "--features", features, "--ali", alignment]
    arguments += [word for setting in settings.split() for word in ("--set", setting)]
    command = [sys.executable, "-c", "from kdasr.cli import main; main()", *map(str, arguments)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    both = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) for _ in range(2)]
    told = [process.communicate(timeout=120)[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], told
    assert sum(log.count("member-0: up to date") for log in told) == 1
    assert sum(log.count("member-0: finished") for log in told) == 1
