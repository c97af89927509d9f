"""Memory: the most that this process and its workers have held, and what is left of the machine's."""

from __future__ import annotations

import resource
import sys
from pathlib import Path

GIB = 1 << 30
STATUS = Path("/proc/self/status")

_workers = 0.0  # GiB, of the largest


def peak() -> float:
    """The most memory that this process has held at once so far, GiB."""
    if STATUS.exists():  # getrusage would count what the process that started this one held
        for line in STATUS.read_text(encoding="utf-8").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / (1 << 20)
    held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return held / (1 << 30 if sys.platform == "darwin" else 1 << 20)


def peak_of_workers() -> float:
    """The peak of the largest worker process so far, GiB; 0 if there were none."""
    return _workers


def note_worker(gib: float) -> None:
    """Takes down a worker's peak, as it reports it with its result."""
    global _workers
    _workers = max(_workers, gib)
