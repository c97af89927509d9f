"""One process at a time in an output folder: `flock` on the folder itself, which ends with the process at the latest.

A lock is its process's own: whichever calls `io.begin` holds it. Worker processes (`kdasr.jobs`) are told what their
parent holds and work under its locks, or they would wait for it while it waits for them.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterable
from pathlib import Path

from kdasr import log
from kdasr.refusal import Refusal

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


def _lock(descriptor: int, folder: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        log.event(f"waits for another process that works in {folder}")
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    except OSError as error:  # some network file systems
        log.event(f"{folder}: no lock ({error.strerror}); run one process at a time")


def held() -> list[Path]:
    """The folders that this process works in."""
    return [*_held, *_lent]


def lend(folders: Iterable[Path]) -> None:
    """Lets this process, a worker, into the folders that its parent holds."""
    _lent.update(folders)


def release(folder: Path) -> None:
    """Lets others in; nothing if this process does not hold the folder."""
    descriptor = _held.pop(folder.resolve(), None)
    if descriptor is not None:
        os.close(descriptor)
