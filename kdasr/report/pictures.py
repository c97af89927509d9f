"""Learning curves: frame accuracy and cross-entropy on dev by epoch, of members and student."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from kdasr import io
from kdasr.data.examples import Examples
from kdasr.distill.soft_targets import SoftTargets
from kdasr.report import study
from kdasr.report.run import Run
from kdasr.train.accuracy import BATCH

PARTS = {  # folder: colour, name
    "members": ("tab:gray", "members"),
    "dev/teacher": ("tab:gray", "teachers"),
    "student": ("tab:red", "distilled student"),
}
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


def draw_examples(path: str | Path, examples: Examples, soft_targets: Path) -> None:
    """Draws, for each class, the image that the teacher gets right with most doubt, and its p_T at T = 1 and as stored.

    Args:
        path: a PNG.
        examples: images.
        soft_targets: of these images, stored as logits, so that they serve any temperature.
    """
    from matplotlib.figure import Figure

    stored = SoftTargets(soft_targets, examples)
    temperatures = sorted({1.0, stored.temperature})
    targets = [SoftTargets(soft_targets, examples, temperature) for temperature in temperatures]
    chosen = torch.tensor(_doubtful(targets[0], examples))
    images, labels = examples.batch(chosen)
    rows = [each.batch(chosen) for each in targets]
    figure = Figure(figsize=(1.4 * len(chosen), 1.5 * (1 + len(rows))), layout="constrained")
    axes = figure.subplots(1 + len(rows), len(chosen), squeeze=False)
    for column, label in enumerate(labels.tolist()):
        axes[0][column].imshow(images[column], cmap="gray_r")
        axes[0][column].set(xticks=[], yticks=[], title=str(label))
        for row, (temperature, found) in enumerate(zip(temperatures, rows, strict=True), start=1):
            axes[row][column].bar(range(examples.num_classes), found[column].tolist(), color="tab:red")
            axes[row][column].set(ylim=(0, 1 if temperature == 1 else None), xticks=range(examples.num_classes))
            axes[row][column].tick_params(labelsize=5)
        for row, temperature in enumerate(temperatures, start=1):
            axes[row][0].set_ylabel(f"T = {temperature:g}")
    with io.atomic(path) as part_path:
        figure.savefig(part_path, format="png", dpi=120, metadata={"Software": None})


def _doubtful(targets: SoftTargets, examples: Examples) -> list[int]:
    """For each class, the example that the teacher gets right with the most probability on another class."""
    labels = examples.labels().long()
    p = torch.cat([targets.batch(index) for index in torch.arange(len(examples)).split(BATCH)])
    own = p.gather(1, labels[:, None]).squeeze(1)
    other = p.scatter(1, labels[:, None], 0.0).max(1).values
    doubt = torch.where(own > other, other, torch.full_like(other, -1.0))
    classes = range(examples.num_classes)
    return [
        int(doubt.where(labels == number, torch.tensor(-2.0)).argmax())
        for number in classes
        if (labels == number).any()
    ]


def _panels(path: str | Path, keys: Sequence[Any], panel: Callable[[Any, Any], None]) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.5 * len(keys), 3.5), layout="constrained")
    for axes, key in zip(figure.subplots(1, len(keys), squeeze=False)[0], keys, strict=True):
        panel(axes, key)
        axes.grid(alpha=0.3)
    with io.atomic(path) as part_path:
        figure.savefig(part_path, format="png", dpi=120, metadata={"Software": None})  # no version: the same bytes
