"""Pictures of what runs have: learning curves by epoch; for images errors by temperature and by shift of the biases."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from kdasr.report import reliability, states, study
from kdasr.report.lines import draw_study
from kdasr.report.panels import panels
from kdasr.report.run import Run

PARTS = {"members": ("tab:gray", "members"), "student": ("tab:red", "distilled student")}  # folder: colour, name
PANELS = {"dev_accuracy": "dev frame accuracy, %", "dev_cross_entropy": "dev cross-entropy, hard labels, T = 1"}
NETS = {  # folder of a development net: colour, name
    "dev/teacher": ("tab:gray", "teacher"),
    "dev/small": ("tab:blue", "small, hard labels"),
    "dev/distilled": ("tab:red", "distilled, plain images"),
    "dev/best_teacher": ("tab:olive", "teacher, images distorted"),
    "dev/best": ("tab:green", "distilled, images distorted"),
}
SHIFTED = {  # of a curve of biases: colour, name
    "test": ("tab:red", "test"),
    "test_of_classes": ("tab:orange", "test, these classes alone"),
    "dev": ("tab:blue", "dev, nets of 50,000 images"),
}
MARKS = {"chosen on dev": ("tab:blue", "--"), "best for test, in the paper": ("black", ":")}
MARGIN = 4.0  # what is drawn on both sides of the marked shifts; the errors of all that are tried reach 9,000

Line = tuple[Sequence[float], Sequence[float]]  # x and y


def curves(runs: Sequence[Run]) -> list[tuple[str, list[dict[str, Any]]]]:
    """(members or student, a line an epoch with dev scores) for each model of the runs; half-trained ones too."""
    return [(part, lines) for part in PARTS for lines in _epochs(runs, part)]


def _epochs(runs: Sequence[Run], part: str) -> list[list[dict[str, Any]]]:
    """The lines with dev scores of each model below a folder."""
    metrics = [item for run in runs for item in sorted(run.files.metrics.items())]
    found = [[line for line in lines if "dev_accuracy" in line] for place, lines in metrics if _below(place, part)]
    return [lines for lines in found if lines]


def _below(place: str, part: str) -> bool:
    return place.startswith(f"{part}/")


def training_lines(runs: Sequence[Run]) -> dict[str, list[Line]]:
    """Folder of a development net -> epochs and dev errors of each."""
    return {
        part: [([line["epoch"] for line in lines], [study.wrong(line, "dev_") for line in lines]) for lines in each]
        for part in NETS
        if (each := _epochs(runs, part))
    }


def temperature_line(by_temperature: dict[float, list[int]]) -> tuple[list[float], list[float], list[int], list[int]]:
    """Temperatures, and the median, lowest and highest number of errors over seeds at each."""
    columns = list(by_temperature.values())
    middle = [statistics.median(column) for column in columns]
    return list(by_temperature), middle, [min(column) for column in columns], [max(column) for column in columns]


def bias_lines(runs: Sequence[Run], part: str) -> dict[str, list[Line]]:
    """Curve (`SHIFTED`) -> shifts and errors of each net of a transfer set."""
    found: dict[str, list[Line]] = {}
    for place, curve in (item for run in runs for item in sorted(run.files.curves.items())):
        if _below(place, f"bias/{part}") or _below(place, f"dev/bias/{part}"):
            for name in SHIFTED:
                if name in curve:
                    found.setdefault(name, []).append((curve["shift"], curve[name]))
    return found


def bias_marks(runs: Sequence[Run], part: str) -> dict[str, list[float]]:
    """Mark (`MARKS`) -> shifts: those chosen on dev, and the paper's."""
    infos = [info for run in runs for place, info in run.infos.items() if _below(place, f"dev/bias/{part}")]
    chosen = sorted({info["shift"] for info in infos})
    return dict(zip(MARKS, (chosen, [study.TRANSFERS[part].shift]), strict=True))


def within(line: Line, lowest: float, highest: float) -> Line:
    """The points with x from `lowest` to `highest`."""
    points = [(x, y) for x, y in zip(*line, strict=True) if lowest <= x <= highest]
    return [x for x, _ in points], [y for _, y in points]


def draw_all(folder: Path, runs: Sequence[Run]) -> dict[Path, str]:
    """Draws whatever the runs have something for.

    Args:
        folder: of the PNGs.
        runs: recipe runs.

    Returns:
        File -> what it shows.
    """
    kinds: dict[str, tuple[str, Callable[[Path, Sequence[Run]], bool]]] = {
        "curves": ("learning curves: dev accuracy and cross-entropy by epoch", draw),
        "temperatures": ("errors on dev by temperature: median and range over seeds", draw_temperatures),
        "biases": ("errors by shift of the biases", draw_biases),
        "training": ("training curves: errors on dev by epoch", draw_training),
        "reliability": ("how often a system is right when it is so sure (reliability)", reliability.draw),
        "states": ("frames of each phone, by the phone of the state that is found", states.draw_states),
    }
    paths = {kind: folder / f"{kind}.png" for kind in kinds}
    drawn = {paths[kind]: title for kind, (title, paint) in kinds.items() if paint(paths[kind], runs)}
    return drawn | _draw_studies(folder, runs)


def _draw_studies(folder: Path, runs: Sequence[Run]) -> dict[Path, str]:
    """Draws each study along its axes, as `kdasr study` does; sweeps of images have a picture of their own."""
    drawn: dict[Path, str] = {}
    for run in runs:
        for place, results in run.files.studies.items():
            path = folder / f"study-{len(drawn)}.png"
            if not study.is_sweep(place) and results.rows and draw_study(path, results.rows):
                drawn[path] = f"{run.name}/{place}: means along each axis, and one standard deviation over seeds"
    return drawn


def draw(path: str | Path, runs: Sequence[Run]) -> bool:
    """Draws the curves into a PNG, atomically; False if no model has any."""
    found = curves(runs)

    def panel(axes: Any, value: str) -> None:
        scale = 100 if value == "dev_accuracy" else 1
        for part, lines in found:
            points = [line["epoch"] for line in lines], [scale * line[value] for line in lines]
            _plot(axes, points, PARTS[part])
        axes.set(xlabel="epoch", ylabel=PANELS[value])
        axes.legend()

    return bool(found) and panels(path, list(PANELS), panel)


def draw_training(path: str | Path, runs: Sequence[Run]) -> bool:
    """Draws dev errors of the development nets against epochs (section 3); False without any."""
    found = training_lines(runs)

    def panel(axes: Any, _: str) -> None:
        for part, lines in found.items():
            for line in lines:
                _plot(axes, line, NETS[part])
        axes.set(xlabel="epoch", ylabel="errors on dev", yscale="log")
        _plain_ticks(axes.yaxis)
        axes.legend(fontsize=7)

    return bool(found) and panels(path, ["training"], panel, width=6)


def draw_temperatures(path: str | Path, runs: Sequence[Run]) -> bool:
    """Draws dev errors against T, median and range over seeds, a panel a width (section 3); False without any."""
    found = study.temperatures(runs)

    def panel(axes: Any, width: int) -> None:
        columns, middle, low, high = temperature_line(found[width])
        axes.fill_between(columns, low, high, color="tab:red", alpha=0.2, linewidth=0)
        axes.plot(columns, middle, marker="o", color="tab:red")
        axes.set(xlabel="T", ylabel="errors on dev", title=f"2 × {width} units", xscale="log")
        axes.set_xticks(columns, [f"{value:g}" for value in columns], minor=False)
        axes.minorticks_off()

    return bool(found) and panels(path, list(found), panel)


def draw_biases(path: str | Path, runs: Sequence[Run]) -> bool:
    """Draws errors against the shift of the biases, a panel a transfer set (section 3); False without any."""
    found = {part: lines for part in study.TRANSFERS if (lines := bias_lines(runs, part))}

    def panel(axes: Any, part: str) -> None:
        marks = bias_marks(runs, part)
        middle = [0.0, *(shift for shifts in marks.values() for shift in shifts)]
        for name, lines in found[part].items():
            for line in lines:
                _plot(axes, within(line, min(middle) - MARGIN, max(middle) + MARGIN), SHIFTED[name])
        for name, shifts in marks.items():
            colour, style = MARKS[name]
            for number, shift in enumerate(shifts):
                axes.axvline(shift, color=colour, linestyle=style, linewidth=1, label=None if number else name)
        axes.set(xlabel="shift of the biases", ylabel="errors", yscale="log")
        _plain_ticks(axes.yaxis)
        axes.set_title(f"transfer set {study.TRANSFERS[part].title}")
        axes.legend(fontsize=7)

    return bool(found) and panels(path, list(found), panel, width=6)


def _plot(axes: Any, line: Line, look: tuple[str, str]) -> None:
    """A line; its name goes into the legend once."""
    colour, name = look
    named = name in axes.get_legend_handles_labels()[1]
    axes.plot(*line, color=colour, linewidth=1, label=None if named else name)


def _plain_ticks(axis: Any) -> None:
    """Ticks 1, 2, 5, 10, ... of a logarithmic axis, written out."""
    from matplotlib.ticker import LogLocator, NullLocator, StrMethodFormatter

    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axis.set_minor_locator(NullLocator())
