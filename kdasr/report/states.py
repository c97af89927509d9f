"""Which states are taken for which: a table of the pairs, and a picture by phone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kdasr.report.panels import panels
from kdasr.report.run import ENSEMBLE, MEMBERS, SETS, STUDENT, Run
from kdasr.report.tables import NONE, table
from kdasr.train.confused import Confused

PLACES = {MEMBERS: ("members", "first"), ENSEMBLE: ("members", "together"), STUDENT: ("student", "together")}
SHOWN = 20  # pairs
SIDE = 8.0  # inches of the picture


def states_tables(runs: Sequence[Run]) -> str:
    """The pairs of states most often confused, a table a run; empty where no run tells."""
    parts = []
    for run in runs:
        name, told = confused(run)
        if told:
            parts.append(f"{run.name}, {name}:\n\n{_pairs(told)}")
    return "\n".join(parts)


def confused(run: Run) -> tuple[str, dict[str, Confused]]:
    """The set, test if it was scored so, and by system (baseline, ensemble, student) what is confused on it."""
    for name in reversed(SETS):
        told = dict(_systems(run, name))
        if told:
            return name, told
    return "", {}


def _systems(run: Run, name: str) -> Iterator[tuple[str, Confused]]:
    for kind, (folder, which) in PLACES.items():
        record = run.files.confused.get(f"accuracy/{name}/{folder}")
        if record and run.systems[kind]:
            yield run.systems[kind][0].name, Confused.of(record[which])


def _pairs(told: Mapping[str, Confused]) -> str:
    """The most frequent ones of the last system, and how often others confuse them, where they are among their own."""
    title, last = list(told.items())[-1]
    others = {
        name: {(right, found): count for right, found, count, _ in record.pairs}
        for name, record in told.items()
        if name != title
    }
    rows = [
        [
            *(right, found, *(str(own.get((right, found), NONE)) for own in others.values())),
            *(str(count), f"{100 * count / frames:.1f}", f"{100 * count / last.wrong:.2f}"),
        ]
        for right, found, count, frames in last.pairs[:SHOWN]
    ]
    named = [f"frames, {name}" for name in (*others, title)]
    shares = ("% of the right state's frames", "% of all confused frames")
    return table(("right state", "found state", *named, *shares), rows)


def draw_states(path: str | Path, runs: Sequence[Run]) -> bool:
    """Draws by phone what the last system confuses, a panel a run, into a PNG, atomically; False if none tells."""
    found = {run.name: (name, *list(told.items())[-1]) for run in runs for name, told in [confused(run)] if told}
    found = {key: each for key, each in found.items() if each[2].groups}

    def panel(axes: Any, key: str) -> None:
        name, system, told = found[key]
        phones, shares = occurring(told)
        places, size = range(len(phones)), 9 if len(phones) <= 45 else 5
        image = axes.imshow(shares, cmap="Blues", norm=_roots(), interpolation="nearest")
        axes.set_xticks(places, phones, rotation=90, fontsize=size)
        axes.set_yticks(places, phones, fontsize=size)
        axes.set_axisbelow(True)
        axes.set(xlabel="found", ylabel="right", title=f"{key}, {name}: {system}")
        bar = axes.figure.colorbar(image, ax=axes, shrink=0.8, ticks=[0, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 1])
        bar.set_label("share of the right one's frames")

    return bool(found) and panels(path, list(found), panel, width=1.1 * SIDE, height=SIDE)


def _roots() -> Any:
    """Colours by the square root: 1 % can be seen beside 80 %."""
    from matplotlib.colors import PowerNorm

    return PowerNorm(0.5, vmin=0, vmax=1)


def occurring(told: Confused) -> tuple[list[str], np.ndarray]:
    """Phones that are right or found somewhere, and the share of each one's frames found as each, (P, P) float64."""
    frames = np.array(told.matrix, np.float64)
    some = (frames.sum(0) + frames.sum(1)) > 0
    kept = frames[some][:, some]
    names = [name for name, occurs in zip(told.groups, some, strict=True) if occurs]
    return names, kept / np.maximum(kept.sum(1, keepdims=True), 1)
