"""Pictures of a study: frame accuracy and word error rate along each axis of numbers, with the spread over seeds."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kdasr.distill.study import TRAINING, Row, value
from kdasr.report.cells import SETS, System, axes, shown, systems
from kdasr.report.panels import panels

CURVES = ("", "")  # in place of an axis and what is drawn along it
LOGARITHMIC = 5  # from this ratio of the largest to the smallest value on


@dataclass(frozen=True)
class Line:
    """Systems that differ along one axis alone.

    Attributes:
        name: for the legend.
        points: value on the axis, and the scores of all seeds.
    """

    name: str
    points: tuple[tuple[float, tuple[float, ...]], ...]


def measures(rows: Sequence[Row]) -> list[str]:
    """What is drawn: frame accuracy, and word errors if all was decoded; on test, or on dev if there is no test."""
    of = SETS[-1] if all(SETS[-1] in row for row in rows) else SETS[0]
    decoded = all(of in row.get("words", {}) for row in rows)
    return [f"frame accuracy %, {of}", *([f"WER %, {of}"] if decoded else [])]


def lines(rows: Sequence[Row], axis: str, measure: str) -> list[Line]:
    """The lines along an axis, of two points at least."""
    varied = [name for name in axes(rows) if name != axis]
    found: dict[str, dict[float, tuple[float, ...]]] = {}
    for system in systems(rows):
        at = value(system.rows[0], axis)
        if isinstance(at, (int, float)):
            others = ((name, value(system.rows[0], name)) for name in varied)
            named = [f"{name.rpartition('.')[2]} {shown(other)}" for name, other in others if other is not None]
            found.setdefault(", ".join([system.rows[0]["kind"], *named]), {})[float(at)] = _scores(system, measure)
    return [Line(name, tuple(sorted(points.items()))) for name, points in found.items() if len(points) > 1]


def _scores(system: System, measure: str) -> tuple[float, ...]:
    """Per cent, a seed each."""
    what, _, of = measure.rpartition(", ")
    if what.startswith("frame"):
        return tuple(100 * score for score in system.scores(of, "accuracy"))
    return tuple(system.word_error_rates(of))


def telling(rows: Sequence[Row]) -> list[str]:
    """Axes that are enough to tell systems of a kind from each other, of those on which rows differ, in their order."""
    chosen: list[str] = []
    for axis in axes(rows):
        if len(_labels(rows, [*chosen, axis])) > len(_labels(rows, chosen)):
            chosen.append(axis)
    return chosen


def _labels(rows: Sequence[Row], chosen: Sequence[str]) -> set[str]:
    return {_label(row, chosen) for row in rows}


def _label(row: Row, chosen: Sequence[str]) -> str:
    named = [f"{axis.rpartition('.')[2]} {shown(at)}" for axis in chosen if (at := value(row, axis)) is not None]
    return ", ".join([row["kind"], *named])


def curves(rows: Sequence[Row]) -> dict[str, list[float]]:
    """Name of a system -> dev frame accuracy after each epoch, per cent, mean over seeds; of those that know it."""
    found, chosen = dict[str, list[float]](), telling(rows)
    for system in systems(rows):
        known = [each for row in system.rows if (each := row.get(TRAINING, {}).get("dev"))]
        if known:
            means = [100 * statistics.fmean(epoch) for epoch in zip(*known, strict=False)]
            found[_label(system.rows[0], chosen)] = means
    return found


def _draw_curves(figure: Any, rows: Sequence[Row]) -> None:
    for name, epochs in curves(rows).items():
        figure.plot([100 * (epoch + 1) / len(epochs) for epoch in range(len(epochs))], epochs, linewidth=1, label=name)
    figure.set(xlabel="epochs, % of all", ylabel="frame accuracy %, dev")
    figure.legend(fontsize=6)


def draw_study(path: str | Path, rows: Sequence[Row]) -> bool:
    """Draws means along each axis, with one standard deviation over seeds to both sides, and learning curves.

    False without any line.
    """
    keys = [(axis, measure) for measure in measures(rows) for axis in axes(rows) if lines(rows, axis, measure)]
    keys += [CURVES] if curves(rows) else []

    def panel(figure: Any, key: tuple[str, str]) -> None:
        if key == CURVES:
            return _draw_curves(figure, rows)
        axis, measure = key
        found = lines(rows, axis, measure)
        for line in found:
            at, scores = zip(*line.points, strict=True)
            mean = [statistics.fmean(each) for each in scores]
            spread = [statistics.stdev(each) if len(each) > 1 else 0.0 for each in scores]
            figure.errorbar(at, mean, spread, marker="o", markersize=3, linewidth=1, capsize=2, label=line.name)
        ticks = sorted({at for line in found for at, _ in line.points})
        figure.set(xlabel=axis, ylabel=measure)
        if 0 < LOGARITHMIC * ticks[0] <= ticks[-1]:
            figure.set_xscale("log")
        figure.set_xticks(ticks, [f"{tick:g}" for tick in ticks], minor=False)
        figure.minorticks_off()
        figure.legend(fontsize=6)

    return bool(keys) and panels(path, keys, panel, width=5)
