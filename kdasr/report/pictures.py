"""Learning curves: frame accuracy and cross-entropy on dev by epoch, of members and student."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from kdasr import io
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


def draw(path: str | Path, runs: Sequence[Run]) -> bool:
    """Draws the curves into a PNG, atomically; False if no model has any."""
    from matplotlib.figure import Figure

    found = curves(runs)
    if not found:
        return False
    figure = Figure(figsize=(9, 3.5), layout="constrained")
    for axes, (value, label) in zip(figure.subplots(1, 2), PANELS.items(), strict=True):
        named: set[str] = set()
        for part, lines in found:
            colour, name = PARTS[part]
            scale = 100 if value == "dev_accuracy" else 1
            points = [line["epoch"] for line in lines], [scale * line[value] for line in lines]
            axes.plot(*points, color=colour, linewidth=1, label=None if name in named else name)
            named.add(name)
        axes.set(xlabel="epoch", ylabel=label)
        axes.grid(alpha=0.3)
        axes.legend()
    with io.atomic(path) as part_path:
        figure.savefig(part_path, format="png", dpi=120, metadata={"Software": None})  # no version: the same bytes
    return True
