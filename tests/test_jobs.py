"""Jobs side by side: results in order, failures told, states that stay with their process."""

import multiprocessing
import os
import signal
import time

import pytest
import torch

from kdasr import jobs, memory
from kdasr.refusal import Refusal


def square(number: int) -> int:
    return number * number


def pid_and_threads(_: int) -> tuple[int, int]:
    time.sleep(0.05)
    return os.getpid(), torch.get_num_threads()


def fail_at_two(number: int) -> int:
    if number == 2:
        raise Refusal("bad part", where=f"part {number}", do="mend it")
    return number


def hold(mebibytes: int) -> int:
    return len(bytearray(mebibytes << 20))


class Counter:
    """A state that remembers."""

    def __init__(self, start: int) -> None:
        if start < 0:
            raise Refusal("below 0", found=start)
        self.value, self.pid = start, os.getpid()

    def end(self) -> None:
        die_at_two(2)

    def hold(self, mebibytes: int) -> int:
        return hold(mebibytes)

    def add(self, number: int) -> tuple[int, int]:
        self.value += number
        return self.value, self.pid


def test_one_job_runs_here():
    assert jobs.run(square, [3, 1, 2], 1) == [9, 1, 4]
    assert jobs.run(square, [3], 8) == [9]
    assert jobs.run(square, [], 4) == []
    assert jobs.run(pid_and_threads, [0, 1], 1)[0][0] == os.getpid()


def test_the_first_refusal_comes_through():
    with pytest.raises(Refusal, match="^part 2: bad part; mend it$"):
        jobs.run(fail_at_two, [0, 1, 2], 1)


def test_two_processes_share_the_cores_and_keep_the_order():
    results = jobs.run(pid_and_threads, list(range(6)), 2, threads=1)
    assert os.getpid() not in {pid for pid, _ in results} and len({pid for pid, _ in results}) <= 2
    assert {threads for _, threads in results} == {1}


def test_states_stay_with_their_process_and_items_keep_their_order():
    with jobs.Workers(Counter, [0, 10, 20], 2) as workers:
        first, second = workers.each(Counter.add, 1), workers.each(Counter.add, 2)
        with pytest.raises(TypeError):
            workers.each(Counter.add)
        third = workers.each(Counter.add, 0)  # a failed call leaves them usable
    assert [value for value, _ in first] == [1, 11, 21] and [value for value, _ in second] == [3, 13, 23]
    assert third == second
    pids = [pid for _, pid in first]
    assert pids[0] == pids[2] != pids[1] and os.getpid() not in pids


def test_a_state_that_cannot_be_made_ends_the_processes():
    with pytest.raises(Refusal, match="below 0 .found -1"):
        jobs.Workers(Counter, [-1], 1)
    assert multiprocessing.active_children() == []


def test_threads_keep_the_order_and_share_out_torchs_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        results = list(jobs.in_threads(pid_and_threads, range(7)))
        assert results == [(os.getpid(), 1)] * 7 and torch.get_num_threads() == 3
        assert list(jobs.in_threads(square, iter([3, 1, 2]))) == [9, 1, 4]
        assert list(jobs.in_threads(square, [])) == []
    finally:
        torch.set_num_threads(before)


def test_threads_take_items_as_their_results_are_taken():
    taken = []

    def items():
        for number in range(100):
            taken.append(number)
            yield number

    results = jobs.in_threads(square, items())
    assert next(results) == 0 and len(taken) == 2 * torch.get_num_threads()


def test_a_refusal_in_a_thread_comes_through():
    results = jobs.in_threads(fail_at_two, range(5))
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(Refusal, match="^part 2: bad part; mend it$"):
        next(results)


def die_at_two(number: int) -> int:
    if number == 2:
        os.kill(os.getpid(), signal.SIGKILL)  # as the kernel does where memory is short
    return number


def test_a_killed_process_is_one_line():
    line = "^a worker process was killed; what was finished is kept: run again, with a smaller --num-jobs"
    with pytest.raises(Refusal, match=line):
        jobs.run(die_at_two, [1, 2, 3], 2)
    with jobs.Workers(Counter, [0, 10], 2) as workers, pytest.raises(Refusal, match=line):
        workers.each(Counter.end)


def test_workers_report_their_peak_of_memory(monkeypatch):
    monkeypatch.setattr(memory, "_workers", 0.0)
    assert jobs.run(hold, [1, 400], 1) == [1 << 20, 400 << 20] and memory.peak_of_workers() == 0.0
    jobs.run(hold, [1, 400], 2)
    peak = memory.peak_of_workers()
    assert 0.4 < peak < 2
    with jobs.Workers(Counter, [1, 2], 1) as counters:
        counters.each(Counter.hold, int(peak * 1024) + 200)
    assert peak + 0.1 < memory.peak_of_workers() < peak + 2


def threads_of(_: Counter) -> int:
    return torch.get_num_threads()


def test_a_single_worker_has_one_thread():
    with jobs.Workers(Counter, [1, 2], 1) as counters:
        assert counters.each(threads_of) == [1, 1]


def side_by_side(_: int) -> int:
    return jobs.side_by_side()


def test_a_worker_knows_how_many_share_the_machine():
    assert jobs.run(side_by_side, [1, 2, 3], 1) == [1, 1, 1]
    assert jobs.run(side_by_side, [1, 2, 3], 2) == [2, 2, 2]


def test_small_matrices_are_worked_on_by_one_thread_which_is_taken_back():
    """A second thread made an estimation of half a second last half a minute where others used the cores too."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with pytest.raises(ValueError), jobs.one_thread():
            assert torch.get_num_threads() == 1
            raise ValueError
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
