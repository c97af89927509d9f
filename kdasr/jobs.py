"""Independent jobs side by side: features, ensemble members, alignment and decoding of parts.

They run in processes of this machine, or on a cluster within `cluster.scheduler(ADDRESS)`.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle  # between our own processes only; never from a file
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, ThreadPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Generic, TypeAlias, TypeVar

from kdasr import cluster, lock, log, memory
from kdasr.refusal import Refusal

T = TypeVar("T")
R = TypeVar("R")
V = TypeVar("V")
Packed: TypeAlias = "Future[tuple[bytes, float]]"  # a result, and its process's peak of memory, GiB

REFRESH = 1.0  # seconds between two looks at how far the workers are, on a terminal


def cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


_side_by_side = 1  # processes of which this one is one


def side_by_side() -> int:
    """Processes that share the machine's memory with this one, itself among them: 1 outside of a pool."""
    return _side_by_side


def here(num_jobs: int) -> bool:
    """Whether this process does the jobs: one at a time, and no cluster is named."""
    return num_jobs <= 1 and cluster.address() is None


class _Shares:
    """What each worker has done of the job that it is at, 0 to 1: numbers in shared memory, each written by one."""

    def __init__(self, workers: int) -> None:
        context = multiprocessing.get_context("spawn")
        self._done: Any = context.Array("d", workers, lock=False)
        self._taken: Any = context.Value("i", 0)

    def take_place(self) -> None:
        """In a worker, once: `log.progress` there writes into a place of its own from now on."""
        with self._taken.get_lock():
            place = self._taken.value
            self._taken.value += 1
        log.tell_to(partial(self._done.__setitem__, place))

    def sum(self) -> float:
        """Of all workers."""
        return sum(self._done)


def run(
    job: Callable[[T], R], items: Sequence[T], num_jobs: int, threads: int | None = None, title: str = "jobs"
) -> list[R]:
    """Applies `job` to each item in up to `num_jobs` processes; results in the order of the items.

    Args:
        job: a module-level function (it travels to the processes by name).
        items: arguments, one a job.
        num_jobs: processes at most; 1 runs in this process, or in one of the cluster.
        threads: torch threads of each process; None shares a machine's cores among its processes that run at once.
        title: of the progress bar, on a terminal.

    Raises:
        Refusal: a process was killed, e.g. for memory; the cluster cannot be used, see `cluster.workers`.
        Exception: what the first failed job raised; jobs not yet begun are dropped, those running are waited for.
    """
    at_once, address = min(num_jobs, len(items)), cluster.address()
    if not items or here(at_once):
        return [job(item) for item in log.progress(items, title)]
    watched = sys.stderr.isatty()
    shares = _Shares(at_once) if watched and not address else None
    processes = _processes(at_once, threads, shares)
    pool = cluster.workers(address, partial(_visit, threads), at_once) if address else processes
    under_way: dict[Packed, int] = {}
    results: dict[int, R] = {}
    with log.bar(title, len(items)) as show, pool as submit:

        def take() -> None:  # the results of those that have ended, one at least
            while not (ended := wait(under_way, REFRESH if watched else None, FIRST_COMPLETED).done):
                show(len(results) + (shares.sum() if shares else 0))
            results.update({under_way.pop(future): _result(future) for future in ended})

        for number, item in enumerate(items):
            under_way[submit(pickle.dumps((job, (item,))))] = number
            if len(under_way) == at_once:
                take()
        while under_way:
            take()
    return [results[number] for number in range(len(items))]


@contextmanager
def _processes(workers: int, threads: int | None, shares: _Shares | None) -> Iterator[Callable[[bytes], Packed]]:
    """Worker processes of this machine; what it yields sends a packed call to one."""
    share = threads or max(1, cores() // workers)
    context = multiprocessing.get_context("spawn")  # fork breaks torch's thread pools
    with (
        _none_killed(),
        ProcessPoolExecutor(
            workers, mp_context=context, initializer=_initialise, initargs=(share, workers, lock.held(), shares)
        ) as pool,
    ):
        yield lambda packed: pool.submit(_call_packed, packed)


@contextmanager
def _none_killed() -> Iterator[None]:
    try:
        yield
    except BrokenProcessPool:
        do = "what was finished is kept: run again, with a smaller --num-jobs if memory was short"
        raise Refusal("a worker process was killed", do=do) from None


def _result(future: Packed) -> Any:
    result, peak = future.result()
    memory.note_worker(peak)
    return pickle.loads(result)


def in_threads(job: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
    """Applies `job` to each item in threads of this process; results come in the order of the items.

    For jobs that are torch's work nearly all the time, whose threads they share out: each item has one. Threads within
    a product wait for each other at its end, and a core that others use too holds up all; these wait for nothing. At
    most two items a thread are under way, so any number may be streamed through.
    """
    import torch

    threads = torch.get_num_threads()
    try:
        with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            under_way: deque[Future[R]] = deque()
            for item in items:
                under_way.append(pool.submit(job, item))
                if len(under_way) == 2 * threads:
                    yield under_way.popleft().result()
            while under_way:
                yield under_way.popleft().result()
    finally:
        torch.set_num_threads(threads)  # a thread's setting reaches MKL as a whole


@contextmanager
def one_thread() -> Iterator[None]:
    """Keeps torch to one thread, for work on small matrices.

    They gain nothing by a second thread, and lose much where others use the cores too, as worker processes do: an
    estimation of half a second once took half a minute.
    """
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _call_packed(call: bytes) -> tuple[bytes, float]:
    """Calls (function, arguments); both ways tensors travel by value. Tells the worker's peak of memory too.

    Left to itself torch 1.13 passes tensors between processes as shared memory, which was seen to reach the other side
    with the content of an older tensor.
    """
    function, arguments = pickle.loads(call)
    return pickle.dumps(function(*arguments)), memory.peak()


def _visit(threads: int | None, call: bytes, workers: int) -> tuple[bytes, float]:
    """The same in a worker of a cluster, one of so many on its machine."""
    memory.forget_peak()
    _share_machine(threads or max(1, cores() // workers), workers)
    return _call_packed(call)


def _initialise(threads: int, workers: int, folders: Sequence[Path], shares: _Shares | None = None) -> None:
    lock.lend(folders)
    if shares:
        shares.take_place()
    _share_machine(threads, workers)
    _end_with_parent()


def _share_machine(threads: int, workers: int) -> None:
    import torch

    global _side_by_side
    _side_by_side = workers
    torch.set_num_threads(threads)


def _end_with_parent() -> None:
    """A worker whose parent was killed ends too (Linux), so that a restarted recipe is alone with its files."""
    import ctypes
    import signal

    try:
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    except (AttributeError, OSError):
        return


class Workers(Generic[T, R]):
    """Processes that each keep the states of their items between calls, such as parts of a training set.

    Item i lives in process i modulo `num_jobs`; results come in the order of the items whatever the number of
    processes, so that sums over them are the same to the bit. Each process has one torch thread. A context manager.

    Args:
        make: a module-level function, item -> state.
        items: arguments of `make`.
        num_jobs: processes at most, at least one beside this one.
    """

    def __init__(self, make: Callable[[T], R], items: Sequence[T], num_jobs: int) -> None:
        self.num_items = len(items)
        workers = min(num_jobs, len(items))
        context = multiprocessing.get_context("spawn")
        self._pools = [
            ProcessPoolExecutor(1, mp_context=context, initializer=_initialise, initargs=(1, workers, lock.held()))
            for _ in range(workers)
        ]
        try:
            self._call(_make_state, [(number, make, item) for number, item in enumerate(items)])
        except BaseException:  # no `with` block was entered that would end the processes
            self.__exit__()
            raise

    def each(self, method: Callable[..., V], *arguments: object) -> list[V]:
        """`method(state, *arguments)` for the state of every item, in the order of the items."""
        return self._call(_use_state, [(number, method, arguments) for number in range(self.num_items)])

    def _call(self, function: Callable[..., Any], calls: Sequence[tuple[Any, ...]]) -> list[Any]:
        packed = [pickle.dumps((function, call)) for call in calls]
        with _none_killed():
            futures = [
                self._pools[number % len(self._pools)].submit(_call_packed, call) for number, call in enumerate(packed)
            ]
            return [_result(future) for future in futures]

    def __enter__(self) -> Workers[T, R]:
        return self

    def __exit__(self, *_: object) -> None:
        for pool in self._pools:
            pool.shutdown(cancel_futures=True)


_states: dict[int, Any] = {}


def _make_state(number: int, make: Callable[[Any], Any], item: object) -> None:
    _states[number] = make(item)


def _use_state(number: int, method: Callable[..., Any], arguments: tuple[object, ...]) -> Any:
    return method(_states[number], *arguments)
