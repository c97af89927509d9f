"""The study of section 3 on images: test errors beside the paper's, temperatures, corrected biases."""

from __future__ import annotations

import re
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from kdasr.report.origin import training_seconds
from kdasr.report.run import Run
from kdasr.report.tables import NONE, size, table

SYSTEMS = {  # folder: what it is, the paper's test errors
    "teacher": ("teacher: dropout, max-norm, jitter", 67),
    "small": ("small net, hard labels, no regularisation", 146),
    "distilled": ("distilled small net, plain images", 74),
    "best": ("distilled small net, jittered images, all teachers", None),
}
BIASES = {  # folder: transfer set, the paper's share of wrong test images without and with the shift best for test, %
    "without_3": ("without 3s", 2.06, 1.09),
    "only_7_and_8": ("7s and 8s alone", 47.3, 13.2),
}


def errors(info: Mapping[str, Any]) -> list[int]:
    """Wrong examples of each member of a scored set."""
    return [round((1 - member["accuracy"]) * info["num_frames"]) for member in info["members"]]


def counts(values: Sequence[float]) -> str:
    """Median and range of counts over seeds."""
    if not values:
        return NONE
    middle = f"{statistics.median(values):g}"
    return middle if len(values) == 1 else f"{middle} ({min(values):g}–{max(values):g})"


def errors_table(run: Run) -> str:
    """A row a system: the paper's errors, ours by seed."""
    rows = []
    for system, (title, paper) in SYSTEMS.items():
        info = run.infos.get(f"accuracy/test/{system}")
        if info is None:
            continue
        models = {place: about for place, about in run.infos.items() if re.fullmatch(rf"{system}/[^/]+", place)}
        about, folder = next(iter(models.values()), {}), f"`exp/{system}`"
        rows.append([title, str(paper or NONE), *_errors(errors(info)), size(about), *_training(run, models), folder])
        if system == "teacher" and len(info["members"]) > 1:
            together, number = round((1 - info["accuracy"]) * info["num_frames"]), len(info["members"])
            cells = [*_errors([together]), f"{number} × {size(about)}", NONE, NONE, folder]
            rows.append([f"ensemble of {number} teachers", NONE, *cells])
    head = ("system", "paper", "mean", "median (range)", "by seed", "parameters", "epochs", "minutes a net", "folder")
    return table(head, rows) if rows else ""


def _errors(found: Sequence[int]) -> list[str]:
    return [f"{statistics.fmean(found):.1f}", counts(found), " ".join(map(str, found))]


def _training(run: Run, models: Mapping[str, dict[str, Any]]) -> list[str]:
    """Epochs, and minutes of training a net."""
    options = [info["options"].get("student", info["options"].get("train", {})) for info in models.values()]
    epochs = " and ".join(dict.fromkeys(str(each.get("epochs", NONE)) for each in options))
    seconds = [training_seconds(run, place, info) for place, info in models.items()]
    minutes = [each / 60 for each in seconds if each is not None]
    return [epochs or NONE, f"{statistics.fmean(minutes):.1f}" if minutes else NONE]


def bias_table(run: Run) -> str:
    """A row a transfer set and shift: test errors, those on the shifted classes, shifts by seed."""
    rows = []
    for part, (title, paper_before, paper_after) in BIASES.items():
        infos = [info for place, info in sorted(run.infos.items()) if re.fullmatch(rf"bias/{part}/[^/]+", place)]
        found = [info["errors"]["test"] for info in infos if "test" in info["errors"]]
        for when, what, paper in (
            ("before", "as trained", paper_before),
            ("after", "shift chosen on dev", None),
            ("best", "shift best for test, as in the paper", paper_after),
        ):
            if found:
                shifts = " ".join(f"{each[when]['shift']:+.1f}" for each in found) if when != "before" else NONE
                wrong, own = ([each[when][name] for each in found] for name in ("errors", "errors_of_classes"))
                rate = f"{100 * statistics.median(wrong) / found[0]['examples']:.2f}"
                of = f"{counts(own)} of {found[0]['examples_of_classes']}"
                rows.append([title, what, f"{paper:g}" if paper else NONE, rate, counts(wrong), of, shifts])
    head = (
        "transfer set",
        "bias",
        "paper, %",
        "ours, % (median)",
        "errors, median (range)",
        "on these classes",
        "shifts",
    )
    return table(head, rows) if rows else ""


def is_sweep(place: str) -> bool:
    """Whether a grid is one of students by temperature, `grid_<width>`."""
    return bool(re.fullmatch(r"(?:.*/)?grid_\d+", place))


def temperatures(run: Run) -> dict[int, dict[float, list[int]]]:
    """Width -> temperature -> dev errors of the students, from grids named `grid_<width>`."""
    found: dict[int, dict[float, list[int]]] = {}
    for place, rows in run.files.grids.items():
        for row in rows if is_sweep(place) else ():
            wrong = round((1 - row["accuracy"]) * row["num_frames"])
            width, temperature = int(place.rpartition("_")[2]), float(row["distill.temperature"])
            found.setdefault(width, {}).setdefault(temperature, []).append(wrong)
    return {width: dict(sorted(found[width].items())) for width in sorted(found, reverse=True)}


def temperatures_table(run: Run) -> str:
    """A row a width, a column a temperature: errors on dev."""
    found = temperatures(run)
    columns = sorted({value for row in found.values() for value in row})
    rows = [
        [
            f"2 × {width}",
            *(counts(row.get(value, [])) for value in columns),
            f"T = {min(row, key=lambda t: statistics.median(row[t])):g}",
        ]
        for width, row in found.items()
    ]
    return table(("units", *(f"T = {value:g}" for value in columns), "best"), rows) if rows else ""
