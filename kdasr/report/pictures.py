"""Learning curves: frame accuracy and cross-entropy on dev by epoch, of members and student."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from kdasr import io
from kdasr.report import study
from kdasr.report.run import Run

PARTS = {"members": ("tab:gray", "members"), "student": ("tab:red", "distilled student")}  # folder: colour, name
PANELS = {"dev_accuracy": "dev frame accuracy, %", "dev_cross_entropy": "dev cross-entropy, hard labels, T = 1"}


def curves(runs: Sequence[Run]) -> list[tuple[str, list[dict[str, Any]]]]:
    """(members or student, a line an epoch with dev scores) for each model of the runs; half-trained ones too."""
    found = []
    for run in runs:
        for part in PARTS:
            for place in sorted(run.files.metrics):
                lines = [line for line in run.files.metrics[place] if "dev_accuracy" in line]
                found += [(part, lines)] if lines and place.startswith(f"{part}/") else []
    return found


def draw_all(out: Path, runs: Sequence[Run]) -> dict[str, str]:
    """Draws whatever the runs have something for, into PNGs beside the report.

    Args:
        out: the report.
        runs: recipe runs; pictures of images are of the first.

    Returns:
        File name -> what it shows.
    """
    kinds: dict[str, tuple[str, Callable[[Path], bool]]] = {
        "curves": ("learning curves: dev accuracy and cross-entropy by epoch", lambda path: draw(path, runs)),
        "temperatures": ("errors on dev by temperature", lambda path: draw_temperatures(path, runs[0])),
        "biases": ("test errors by shift of the biases", lambda path: draw_biases(path, runs[0])),
    }
    paths = {kind: out.with_name(f"{out.stem}-{kind}.png") for kind in kinds}
    return {paths[kind].name: title for kind, (title, paint) in kinds.items() if paint(paths[kind])}


def draw(path: str | Path, runs: Sequence[Run]) -> bool:
    """Draws the curves into a PNG, atomically; False if no model has any."""
    found = curves(runs)
    if not found:
        return False

    def panel(axes: Any, value: str) -> None:
        named: set[str] = set()
        for part, lines in found:
            colour, name = PARTS[part]
            scale = 100 if value == "dev_accuracy" else 1
            points = [line["epoch"] for line in lines], [scale * line[value] for line in lines]
            axes.plot(*points, color=colour, linewidth=1, label=None if name in named else name)
            named.add(name)
        axes.set(xlabel="epoch", ylabel=PANELS[value])
        axes.legend()

    _panels(path, list(PANELS), panel)
    return True


def draw_temperatures(path: str | Path, run: Run) -> bool:
    """Draws dev errors against T, a panel a width (section 3); False if the run has no such students."""
    found = study.temperatures(run)
    if not found:
        return False

    def panel(axes: Any, width: int) -> None:
        columns = found[width]
        axes.plot(list(columns), [statistics.median(wrong) for wrong in columns.values()], marker="o", color="tab:red")
        axes.set(xlabel="T", ylabel="errors on dev", title=f"2 × {width} units", xscale="log")
        axes.set_xticks(list(columns), [f"{value:g}" for value in columns], minor=False)
        axes.minorticks_off()

    _panels(path, list(found), panel)
    return True


def draw_biases(path: str | Path, run: Run) -> bool:
    """Draws test errors against the shift of the biases, a panel a transfer set (section 3); False without any."""
    curves_of = {
        part: [curve for place, curve in sorted(run.files.curves.items()) if place.startswith(f"bias/{part}/")]
        for part in study.BIASES
    }
    parts = [part for part, found in curves_of.items() if any("test" in curve for curve in found)]
    if not parts:
        return False

    def panel(axes: Any, part: str) -> None:
        for curve in curves_of[part]:
            axes.plot(curve["shift"], curve["test"], color="tab:red", linewidth=1)
            axes.plot(curve["shift"], curve["test_of_classes"], color="tab:gray", linewidth=1)
        axes.set(xlabel="shift of the biases", ylabel="test errors (grey: on these classes)", yscale="log")
        axes.set_title(f"transfer set {study.BIASES[part][0]}")

    _panels(path, parts, panel)
    return True


def _panels(path: str | Path, keys: Sequence[Any], panel: Callable[[Any, Any], None]) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.5 * len(keys), 3.5), layout="constrained")
    for axes, key in zip(figure.subplots(1, len(keys), squeeze=False)[0], keys, strict=True):
        panel(axes, key)
        axes.grid(alpha=0.3)
    with io.atomic(path) as part_path:
        figure.savefig(part_path, format="png", dpi=120, metadata={"Software": None})  # no version: the same bytes
