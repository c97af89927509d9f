"""Jobs on a dask cluster: two worker processes stand for the machines."""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from kdasr import cluster, io, jobs, lock, log, memory
from kdasr.cli import main
from kdasr.refusal import Refusal
from tests.tables import write_set


def started(**options: Any) -> Any:
    distributed = pytest.importorskip("distributed")
    return distributed.LocalCluster(memory_limit=0, dashboard_address=":0", **options)


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    dask = pytest.importorskip("dask")
    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 1}),
        started(n_workers=2, threads_per_worker=1) as workers,
    ):
        yield workers.scheduler_address


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(lock, "_held", {})  # what other tests left begun
    return tmp_path


def look(number: int) -> dict[str, Any]:
    time.sleep(0.2)
    log.event(f"job {number} looks about")
    crowd, threads = jobs.side_by_side(), torch.get_num_threads()
    return {"number": number, "folder": Path.cwd(), "crowd": crowd, "threads": threads, "pid": os.getpid()}


def test_jobs_are_those_of_this_machine_in_other_processes(address, here, capsys, monkeypatch):
    monkeypatch.setattr(memory, "_workers", 0.0)
    with cluster.scheduler(address):
        found = jobs.run(look, [3, 1, 2, 0], 2, threads=1)
        one = jobs.run(look, [5], 1, threads=3)[0]
    assert [each["number"] for each in found] == [3, 1, 2, 0]
    assert {(each["folder"], each["crowd"], each["threads"]) for each in found} == {(here, 2, 1)}
    assert len({each["pid"] for each in found} - {os.getpid()}) == 2
    assert (one["crowd"], one["threads"]) == (1, 3) and one["pid"] != os.getpid()
    assert 0.05 < memory.peak_of_workers() < 5
    assert cluster.address() is None and jobs.run(look, [0], 1)[0]["pid"] == os.getpid()
    told = capsys.readouterr().err
    assert all(f" job {number} looks about\n" in told for number in (0, 1, 2, 3, 5))
    assert f" {address}: workers: 2, machines: 1, jobs at once: 2\n" in told


def tensor(number: int) -> torch.Tensor:
    return torch.full((1000,), float(number))


def test_tensors_come_by_value(address):
    with cluster.scheduler(address):
        assert [found.unique().tolist() for found in jobs.run(tensor, [1, 2, 3], 2)] == [[1], [2], [3]]


def hold(mebibytes: int) -> int:
    return len(bytearray(mebibytes << 20))


def test_peaks_of_memory_are_those_of_this_run(address, monkeypatch):
    monkeypatch.setattr(memory, "_workers", 0.0)
    with cluster.scheduler(address):
        jobs.run(hold, [600, 600], 2)
        assert memory.peak_of_workers() > 0.6
        memory._workers = 0.0
        jobs.run(hold, [1, 1], 2)
    assert memory.peak_of_workers() < 0.6


def touch_or_refuse(path: Path) -> None:
    if path.name == "1":
        raise Refusal("bad part", where="part 1", do="mend it")
    path.touch()


def test_a_refusal_is_the_same_line_and_stops_the_rest(address, here):
    with cluster.scheduler(address), pytest.raises(Refusal, match="^part 1: bad part; mend it$"):
        jobs.run(touch_or_refuse, [Path(str(number)) for number in range(20)], 1)
    assert [path.name for path in here.iterdir()] == ["0"]


def die_once(path: Path) -> str:
    if path.name == "1" and not path.exists():
        path.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return path.name


def test_a_killed_worker_loses_nothing(address, here):
    with cluster.scheduler(address):
        names = [str(number) for number in range(5)]
        assert jobs.run(die_once, [Path(name) for name in names], 2) == names


def die(_: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_job_that_kills_every_worker_is_one_line(address):
    line = "^a job ended every worker that it was given to .found 2 workers, the last one tcp://.*finished is kept"
    with cluster.scheduler(address), pytest.raises(Refusal, match=line):
        jobs.run(die, [1], 1)


def begin(folder: Path) -> bool:
    return io.begin(folder, io.Made("verb", {}))


def begin_and_refuse(folder: Path) -> None:
    begin(folder)
    raise Refusal("bad part")


def held(_: int) -> list[Path]:
    return lock.held()


def test_what_is_lent_to_a_worker_is_taken_back(address, here):
    assert begin(Path("out"))
    with cluster.scheduler(address):
        assert jobs.run(begin, [Path("out"), Path("other")], 2) == [True, True]
        assert sorted(jobs.run(held, [0, 1], 2)) == [[here / "out"], [here / "out"]]
        with pytest.raises(Refusal):
            jobs.run(begin_and_refuse, [Path("third")], 1)
        lock.release(Path("out"))
        assert jobs.run(held, [0, 1], 2) == [[], []]
    assert begin(Path("other")) and begin(Path("third"))  # nobody else is in them
    for folder in ("other", "third"):
        io.finish(folder)


def test_a_worker_that_does_not_see_the_folder_is_told(address, here, monkeypatch):
    monkeypatch.setattr(lock, "held", lambda: [Path("/mnt/mine/out")])
    line = "^/mnt/mine/out/making.json: a worker does not see this .found nothing there on tcp://.*; share the file"
    with cluster.scheduler(address), pytest.raises(Refusal, match=line):
        jobs.run(begin, [Path("out")], 1)


def lacking(_: object = None) -> None:
    raise ModuleNotFoundError("No module named 'lhotse'", name="lhotse")


class Foreign:
    """Of a module that there is here alone: to read it fails."""

    def __call__(self, call: bytes, crowd: int) -> None:
        return None

    def __reduce__(self) -> tuple[Any, ...]:
        return lacking, ()


def test_a_machine_that_lacks_what_is_here_is_told(address):
    line = "^a machine of the cluster lacks a Python module .found lhotse.; install the same kdasr"
    with cluster.scheduler(address), pytest.raises(Refusal, match=line):
        jobs.run(lacking, [0], 1)
    with pytest.raises(Refusal, match=line), cluster.workers(address, Foreign(), 1) as submit:
        submit(b"").result()


def test_a_worker_with_several_threads_is_told():
    with (
        started(n_workers=1, threads_per_worker=2, processes=False) as workers,
        cluster.scheduler(workers.scheduler_address),
        pytest.raises(Refusal, match="^inproc://.*: a worker takes several jobs at once .found 2.; start it with"),
    ):
        jobs.run(held, [0], 1)


def test_a_cluster_without_workers_is_told(monkeypatch):
    monkeypatch.setattr(cluster, "PATIENCE", 0.3)
    with (
        started(n_workers=0, processes=False) as workers,
        cluster.scheduler(workers.scheduler_address),
        pytest.raises(Refusal, match="^--scheduler inproc://.*: the cluster has no workers; start some: dask wor"),
    ):
        jobs.run(held, [0], 1)


def test_a_scheduler_that_is_not_there_is_told(monkeypatch):
    pytest.importorskip("distributed")
    monkeypatch.setattr(cluster, "PATIENCE", 0.5)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        for wrong in (f"tcp://127.0.0.1:{taken.getsockname()[1]}", "tcp://127.0.0.1", "ftp://127.0.0.1:1"):
            line = f"^--scheduler {wrong}: no dask scheduler answers .found .*; start `dask scheduler`, or correct"
            with cluster.scheduler(wrong), pytest.raises(Refusal, match=line):
                jobs.run(held, [0], 1)


def test_without_dask_it_is_told_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    line = r"^--scheduler tcp://host:8786: dask is not installed; pip install 'kdasr\[dask\]'"
    with cluster.scheduler("tcp://host:8786"), pytest.raises(Refusal, match=line):
        jobs.run(held, [0], 1)


def test_torchrun_s_processes_are_no_cluster_s(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(Refusal, match="^--scheduler: the processes of torchrun train together"):
        cluster.scheduler("tcp://host:8786").__enter__()


def content(folder: Path) -> dict[str, bytes]:
    """What every file holds, but for those that tell of the way."""
    paths = (path for path in folder.rglob("*") if path.is_file() and path.name not in io.UNHASHED)
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths if "tensorboard" not in path.parts}


def test_verbs_write_the_same_bytes(address, here, capsys):
    write_set(here / "train", 10, seed=1)
    sets = ["--features", "train/feats", "--ali", "train/ali", "--num-jobs", "2"]
    for setting in ("dnn.layers=1", "dnn.width=16", "train.epochs=1", "train.threads=1", "store.shard=100"):
        sets += ["--set", setting]
    for name, place in (("local", []), ("cluster", ["--scheduler", address])):
        main(["train", f"{name}/members", *sets, "--seeds", "0-1", *place])
        main(["soft-targets", f"{name}/soft", "--teacher", "local/members", *sets, *place])
    found = content(Path("cluster"))
    assert found == content(Path("local"))
    assert {"members/member-1/model.safetensors", "soft/shards.json"} <= found.keys() and len(found) > 8
    assert all(
        io.read_info(Path("cluster", name))["fingerprint"] == io.read_info(Path("local", name))["fingerprint"]
        for name in ("members/member-0", "soft")
    )
    assert capsys.readouterr().err.count("cluster/members/member-1: finished") == 1


def test_the_command_line_tells_in_one_line(here, capsys, monkeypatch):
    pytest.importorskip("distributed")
    monkeypatch.setattr(cluster, "PATIENCE", 0.5)
    features, alignment = write_set(here / "train", 2, seed=1)
    capsys.readouterr()
    with pytest.raises(SystemExit) as end:
        main(["train", "out", "--features", str(features), "--ali", str(alignment), "--scheduler", "tcp://127.0.0.1:9"])
    assert end.value.code == 1 and cluster.address() is None
    told = capsys.readouterr().err
    assert told.startswith("kdasr: --scheduler tcp://127.0.0.1:9: no dask scheduler answers") and told.count("\n") == 1
