"""Logs: one line an event on stderr, metrics as JSON lines and TensorBoard curves, the environment's record."""

from __future__ import annotations

import importlib.metadata
import json
import multiprocessing
import os
import platform
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sized
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter  # type: ignore[attr-defined]

T = TypeVar("T")
RECORDED = ("torch", "k2", "lhotse", "numpy", "kaldifst", "kaldi-native-fbank", "kaldingram")

_listeners: list[Callable[[str], object]] = []
_tell: Callable[[float], object] | None = None  # takes the share done of a worker's job
_LOOK: dict[str, Any] = {"disable": None, "leave": False, "delay": 1.0, "dynamic_ncols": True}  # None: in a log


def event(text: str) -> None:
    """Prints one event with the time of day on stderr."""
    line = f"{time.strftime('%H:%M:%S')} {text}"
    if sys.stderr.isatty() and _is_worker():
        sys.stderr.write(f"\r\x1b[K{line}\n")  # in the place of the first process's bar, which it draws again
        sys.stderr.flush()
    elif sys.stderr.isatty():
        from tqdm import tqdm

        tqdm.write(line, file=sys.stderr)  # above a progress bar
    else:
        sys.stderr.write(f"{line}\n")  # in one piece: processes share the stream
        sys.stderr.flush()
    for listener in _listeners:
        listener(text)


@contextmanager
def heard(listener: Callable[[str], object]) -> Iterator[None]:
    """Hands the text of each event to a listener too, within."""
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)


def progress(items: Iterable[T], title: str, total: int | None = None, unit: str = "it") -> Iterator[T]:
    """Iterates with a progress bar and the time left on a terminal; silently in a log.

    A process of several side by side shows none: it tells the one that started it how much of its job is done.

    Args:
        items: what is iterated; a second of it shows no bar yet, nor does a single item.
        title: in front of the bar.
        total: number of the items, where they do not tell it.
        unit: what an item is.
    """
    total = len(items) if total is None and isinstance(items, Sized) else total
    if total is not None and total < 2:
        return iter(items)
    if _is_worker():
        return _telling(items, total) if _tell and total else iter(items)
    from tqdm import tqdm

    return iter(tqdm(items, desc=title, total=total, unit=unit, **_LOOK))


@contextmanager
def bar(title: str, total: int) -> Iterator[Callable[[float], None]]:
    """A bar over jobs that others do: what it yields is called with how many are done, parts of jobs included."""
    from tqdm import tqdm

    form = "{desc}: {percentage:3.0f}%|{bar}| {n:.1f}/{total} jobs [{elapsed}<{remaining}]"
    with tqdm(desc=title, total=total, bar_format=form, **_LOOK) as shown:

        def show(done: float) -> None:
            shown.update(max(0.0, done - shown.n))  # a job of several loops begins each at nothing
            shown.refresh()

        yield show


def tell_to(tell: Callable[[float], object]) -> None:
    """In a worker: hands the share of the job that is done to a function, from now on."""
    global _tell
    _tell = tell


def _telling(items: Iterable[T], total: int) -> Iterator[T]:
    """Iterates, and tells the share done; loops within this one tell nothing."""
    global _tell
    tell, _tell = _tell, None
    assert tell is not None
    try:
        for number, item in enumerate(items, start=1):
            yield item
            tell(number / total)
    finally:
        _tell = tell
        tell(0)  # the job's end counts for itself


def _is_worker() -> bool:
    return multiprocessing.parent_process() is not None


def environment() -> dict[str, Any]:
    """Versions and machine, as recorded in every `info.json`."""
    import torch

    import kdasr

    versions = {"kdasr": kdasr.__version__, "python": platform.python_version()}
    for name in RECORDED:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {
        "versions": versions,
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
    }


class Metrics:
    """Numbers over time in `metrics.jsonl` and TensorBoard, cut back to `step` when a run resumes.

    TensorBoard's files are made anew from the lines then: what its writer had not flushed died with the process.

    Args:
        folder: where `metrics.jsonl` and `tensorboard/` are kept.
        step: last step whose lines are kept; -1 starts anew.
    """

    def __init__(self, folder: str | Path, step: int = -1) -> None:
        from kdasr import io  # which logs

        self.path = Path(folder) / "metrics.jsonl"
        lines = read_metrics(self.path) if step >= 0 else []
        kept = [line for line in lines if line["step"] <= step]
        io.write_text(self.path, "".join(json.dumps(line) + "\n" for line in kept))
        self._kept = kept
        self._writer: SummaryWriter | None = None

    def write(self, step: int, values: Mapping[str, float | int | str]) -> None:
        """Adds one line; numbers go to TensorBoard under their own names too."""
        line = {"step": step, **values}
        with open(self.path, "a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        if self._writer is None:
            self._writer = self._anew()
        _add(self._writer, line)

    def _anew(self) -> SummaryWriter:
        """A writer that has written the lines of before."""
        from torch.utils.tensorboard import SummaryWriter  # type: ignore[attr-defined]

        folder = self.path.parent / "tensorboard"
        shutil.rmtree(folder, ignore_errors=True)
        writer = SummaryWriter(str(folder), purge_step=0)  # type: ignore[no-untyped-call]
        for line in self._kept:
            _add(writer, line)
        return writer

    def close(self) -> None:
        """Flushes the TensorBoard file."""
        if self._writer is None and self._kept:
            self._writer = self._anew()
        if self._writer is not None:
            self._writer.close()  # type: ignore[no-untyped-call]


def _add(writer: SummaryWriter, line: Mapping[str, float | int | str]) -> None:
    """The numbers of a line as points of curves."""
    for name, value in line.items():
        if name != "step" and not isinstance(value, str):
            writer.add_scalar(name, value, line["step"])  # type: ignore[no-untyped-call]


def read_metrics(path: str | Path) -> list[dict[str, Any]]:
    """The lines of a `metrics.jsonl`; a last line cut off by a kill is dropped."""
    lines: list[dict[str, Any]] = []
    if not Path(path).exists():
        return lines
    for line in Path(path).read_text(encoding="utf-8").splitlines():
        try:
            lines.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return lines
