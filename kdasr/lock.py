"""One process at a time in an output folder: `flock` on the folder itself, which ends with the process at the latest.

A lock is its process's own: whichever calls `io.begin` holds it. Worker processes (`kdasr.jobs`) are told what their
parent holds and work under its locks, or they would wait for it while it waits for them. Those of a cluster
(`kdasr.cluster`) do not end with a parent that is killed: they mark the folders, and the next to come waits for them.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from kdasr import log
from kdasr.refusal import Refusal

MAKING = "making.json"  # what `io.begin` writes; it is locked by workers that the folder is lent to

_held: dict[Path, int] = {}  # folder: the descriptor that holds its lock
_lent: set[Path] = set()  # folders that the parent of this worker holds


def hold(folder: Path) -> None:
    """Makes the folder if it is not there and keeps other processes out of it; waits for one that is in it.

    Raises:
        Refusal: a file is in the way.
    """
    place = folder.resolve()
    while place not in _lent:
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except (FileExistsError, NotADirectoryError):
            found = "a file" if folder.exists() else "a file above it"
            raise Refusal("no output folder can be made here", where=folder, found=found, do="name another") from None
        if place in _held and os.path.samestat(os.fstat(_held[place]), os.stat(place)):
            return
        release(folder)  # of a folder that was deleted meanwhile
        _held[place] = os.open(place, os.O_RDONLY)
        _lock(_held[place], folder)
        with suppress(FileNotFoundError):
            mark = os.open(place / MAKING, os.O_RDWR)
            _lock(mark, folder)  # workers of a run that was killed are in it
            os.close(mark)


def _lock(descriptor: int, folder: Path, kind: int = fcntl.LOCK_EX) -> None:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        log.event(f"waits for another process that works in {folder}")
        fcntl.flock(descriptor, kind)
    except OSError as error:  # some network file systems
        log.event(f"{folder}: no lock ({error.strerror}); run one process at a time")


def held() -> list[Path]:
    """The folders that this process works in."""
    return [*_held, *_lent]


def lend(folders: Iterable[Path]) -> None:
    """Lets this process, a worker, into the folders that its parent holds."""
    _lent.update(folders)


@contextmanager
def lent(folders: Iterable[Path]) -> Iterator[None]:
    """Lets a worker that outlives its parent in for one job, in which nobody else gets in; then it holds nothing.

    Raises:
        FileNotFoundError: a folder that the parent holds is not to be seen from here.
    """
    marks: list[int] = []
    try:
        for folder in folders:
            marks.append(os.open(folder / MAKING, os.O_RDONLY))
            _lock(marks[-1], folder, fcntl.LOCK_SH)
        lend(folders)
        yield
    finally:
        _lent.clear()
        for folder in [*_held]:
            release(folder)
        for mark in marks:
            os.close(mark)


def release(folder: Path) -> None:
    """Lets others in; nothing if this process does not hold the folder."""
    descriptor = _held.pop(folder.resolve(), None)
    if descriptor is not None:
        os.close(descriptor)
