"""Memory: the most that this process and its workers have held, and what is left of the machine's."""

from __future__ import annotations

import resource
import sys
from contextlib import suppress
from pathlib import Path

GIB = 1 << 30
STATUS, MACHINE = Path("/proc/self/status"), Path("/proc/meminfo")
FORGET = Path("/proc/self/clear_refs")
CGROUPS = (  # limit and use of a container, versions 2 and 1
    (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")),
    (Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"), Path("/sys/fs/cgroup/memory/memory.usage_in_bytes")),
)

_workers = 0.0  # GiB, of the largest


def peak() -> float:
    """The most memory that this process has held at once so far, GiB."""
    found = _kibibytes(STATUS, "VmHWM")  # getrusage would count what the process that started this one held
    if found is not None:
        return found / (1 << 20)
    held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return held / (1 << 30 if sys.platform == "darwin" else 1 << 20)


def forget_peak() -> None:
    """Lets the peak begin anew at what is held now (Linux), in a process that serves one run after another."""
    with suppress(OSError):
        FORGET.write_text("5")


def available() -> int:
    """Bytes that can still be had without swapping, within the limit of a container; 4 GiB where it cannot be told."""
    kibibytes = _kibibytes(MACHINE, "MemAvailable")
    found = [4 * GIB if kibibytes is None else kibibytes << 10]
    for limit, use in CGROUPS:
        if limit.exists() and use.exists() and (most := limit.read_text().strip()).isdigit():
            found.append(max(0, int(most) - int(use.read_text())))
    return min(found)


def _kibibytes(path: Path, name: str) -> int | None:
    """A line `name: 123 kB` of a file of Linux's."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return next((int(line.split()[1]) for line in lines if line.startswith(f"{name}:")), None)


def peak_of_workers() -> float:
    """The peak of the largest worker process so far, GiB; 0 if there were none."""
    return _workers


def note_worker(gib: float) -> None:
    """Takes down a worker's peak, as it reports it with its result."""
    global _workers
    _workers = max(_workers, gib)
