"""Reliability diagrams: how often each system is right when it is so sure, over all runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from kdasr.report.panels import panels
from kdasr.report.run import Run
from kdasr.train.calibration import Reliability

SETS = ("dev", "test")
LEAST = 20  # frames of a bin that is drawn: of fewer, chance makes the point


def diagrams(runs: Sequence[Run]) -> dict[str, dict[str, Reliability]]:
    """Set -> system -> reliability, the frames of all runs (and of all members) together."""
    found: dict[str, dict[str, Reliability]] = {}
    for run in runs:
        for place, record in sorted(run.files.reliability.items()):
            where, _, name = place.removeprefix("accuracy/").partition("/")
            if where in SETS and name:
                for system, content in _systems(name, record):
                    found.setdefault(where, {}).setdefault(system, Reliability()).merge(content)
    return {name: found[name] for name in SETS if name in found}


def _systems(name: str, record: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """One model is itself; several are members, each alone, and an ensemble."""
    members = record["members"]
    if len(members) == 1:
        yield name, record["together"]
        return
    yield from ((name if name == "members" else f"{name}, each", member) for member in members)
    yield ("ensemble" if name == "members" else f"{name}, together"), record["together"]


def draw(path: str | Path, runs: Sequence[Run]) -> bool:
    """Draws accuracy against confidence, a panel a set, into a PNG, atomically; False if no model has any."""
    found = diagrams(runs)

    def panel(axes: Any, name: str) -> None:
        axes.plot((0, 1), (0, 1), color="black", linestyle=":", linewidth=1)
        for system, reliability in found[name].items():
            label = f"{system}: error {100 * reliability.error:.2f} %"
            axes.plot(*reliability.line(LEAST), marker=".", linewidth=1, label=label)
        axes.set(xlabel="confidence", ylabel="share right", title=name)
        axes.legend(fontsize=7)

    return bool(found) and panels(path, list(found), panel)
