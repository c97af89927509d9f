"""Jobs on several machines: the workers of a dask cluster, which its scheduler's address names.

The machines share a file system, where a run's inputs and outputs lie at the same paths, and have the same kdasr. They
trust each other and their network: dask unpickles what scheduler, workers and clients send, so whoever reaches one of
their ports runs what he likes there. dask's own configuration (`distributed.comm.tls`) closes them with certificates.
"""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError, Future
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from kdasr import lock, log
from kdasr.refusal import Refusal

R = TypeVar("R")
PATIENCE = 10.0  # seconds that a scheduler has to answer, and a first worker to be there
EVENTS = "kdasr-events"
AGAIN = "what was finished is kept: run again"

_scheduler: str | None = None


def address() -> str | None:
    """The scheduler whose workers do the jobs; None where processes of this machine do."""
    return _scheduler


@contextmanager
def scheduler(address: str | None) -> Iterator[None]:
    """Within, `jobs.run` gives its jobs to the workers of a cluster; None changes nothing.

    Raises:
        Refusal: torchrun started this process.
    """
    global _scheduler
    if address and int(os.environ.get("WORLD_SIZE", "1")) > 1:
        do = "leave --scheduler out, or start kdasr without torchrun"
        raise Refusal("the processes of torchrun train together, none is a cluster's", where="--scheduler", do=do)
    before, _scheduler = _scheduler, address or _scheduler
    try:
        yield
    finally:
        _scheduler = before


@contextmanager
def workers(address: str, call: Callable[[bytes, int], R], at_once: int) -> Iterator[Callable[[bytes], Future[R]]]:
    """Joins a cluster for a while; what it yields sends a packed call to a worker.

    A worker that is lost loses nothing: what it was at is done by another.

    Args:
        address: the scheduler's.
        call: does a packed call, on the worker; is told how many do so on a machine at once.
        at_once: calls at most that are under way.

    Raises:
        Refusal: dask is not installed, there is no scheduler or no worker; the scheduler was lost, or workers one after
            another by the same call.
    """
    with _joined(address) as client:
        machines = Counter(urlsplit(worker).hostname for worker in client.nthreads())
        crowd = min(at_once, max(machines.values(), default=1))
        log.event(f"{address}: workers: {machines.total()}, machines: {len(machines)}, jobs at once: {at_once}")
        client.subscribe_topic(EVENTS + client.id, lambda event: log.event(event[1]))
        visit = _Visit(Path.cwd(), tuple(lock.held()), crowd, EVENTS + client.id)
        with client.get_executor(pure=False) as executor:  # whose end waits for what is under way
            try:
                yield partial(executor.submit, _serve, visit, call)
            except KeyboardInterrupt:
                executor.shutdown(wait=False)
                raise


@contextmanager
def _joined(address: str) -> Iterator[Any]:
    """A client of a cluster that has workers; what becomes of the cluster is told in one line."""
    try:
        import distributed
    except ModuleNotFoundError:
        do = "pip install 'kdasr[dask]', on every machine of the cluster"
        raise Refusal("dask is not installed", where=f"--scheduler {address}", do=do) from None
    logging.getLogger("distributed.client").setLevel(logging.CRITICAL)  # a refusal tells it without a traceback
    try:
        client = distributed.Client(address, timeout=PATIENCE, set_as_default=False)
    except (OSError, ValueError, distributed.TimeoutError) as error:
        found, do = " ".join(str(error).split()), "start `dask scheduler`, or correct the address"
        raise Refusal("no dask scheduler answers", where=f"--scheduler {address}", found=found, do=do) from None
    with client:
        try:
            client.wait_for_workers(1, timeout=PATIENCE)
        except distributed.TimeoutError:
            do = f"start some: dask worker {address} --nthreads 1"
            raise Refusal("the cluster has no workers", where=f"--scheduler {address}", do=do) from None
        try:
            yield client
        except distributed.KilledWorker as error:
            found = f"{error.allowed_failures + 1} workers, the last one {error.last_worker.address}"
            do = f"{AGAIN}, with fewer workers on a machine if memory was short; their logs tell more"
            raise Refusal("a job ended every worker that it was given to", found=found, do=do) from None
        except CancelledError:
            raise Refusal("the dask scheduler was lost", where=f"--scheduler {address}", do=AGAIN) from None
        except (ModuleNotFoundError, RuntimeError) as error:  # of a worker; of the scheduler, which reads calls too
            missing = error.__cause__ or error
            if not isinstance(missing, ModuleNotFoundError):
                raise
            do = "install the same kdasr, with the same extras, on all of them"
            raise Refusal("a machine of the cluster lacks a Python module", found=missing.name, do=do) from None


@dataclass(frozen=True)
class _Visit:
    """What a worker has to know of the run that a job is of.

    Attributes:
        folder: working directory.
        held: output folders that the run keeps others out of.
        crowd: jobs at most that share the machine.
        events: topic of what the log tells.
    """

    folder: Path
    held: Sequence[Path]
    crowd: int
    events: str


def _serve(visit: _Visit, call: Callable[[bytes, int], R], packed: bytes) -> R:
    """Does a call in a worker, which is left as it was: it serves many runs."""
    import distributed

    worker = distributed.get_worker()
    if worker.state.nthreads > 1:  # directory, locks and torch's threads are a process's, not a thread's
        do = "start it with --nthreads 1, and --nworkers for several on a machine"
        raise Refusal("a worker takes several jobs at once", where=worker.address, found=worker.state.nthreads, do=do)
    with ExitStack() as stack:
        stack.callback(os.chdir, os.getcwd())
        try:
            os.chdir(visit.folder)
            stack.enter_context(lock.lent(visit.held))
        except FileNotFoundError as error:
            found, do = f"nothing there on {worker.address}", "share the file system with all machines of the cluster"
            raise Refusal("a worker does not see this", where=error.filename, found=found, do=do) from None
        stack.enter_context(log.heard(partial(worker.log_event, visit.events)))
        return call(packed, visit.crowd)
