"""Settings chosen on the development set: a model for each combination of values, and a table of results."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kdasr import io, jobs
from kdasr.distill.student import StudentJob, train_student
from kdasr.refusal import Refusal
from kdasr.train.job import TrainJob, train_model


@dataclass(frozen=True)
class Cell:
    """One combination of values."""

    values: tuple[tuple[str, str], ...]  # (section.name, value)

    @property
    def name(self) -> str:
        """Its folder's name."""
        return ",".join(f"{name}={value}" for name, value in self.values).replace("/", "_")

    @property
    def overrides(self) -> tuple[str, ...]:
        """The combination as `--set` takes it."""
        return tuple(f"{name}={value}" for name, value in self.values)


def cells(vary: Sequence[str]) -> list[Cell]:
    """All combinations of `section.name=value,value,...` texts, the last varying fastest."""
    axes: list[list[tuple[str, str]]] = []
    for text in vary:
        name, equals, values = text.partition("=")
        if not (equals and "." in name and all(values.split(","))):
            raise Refusal(
                "not a list of values", where=f"--vary {text}", expected="--vary section.name=value,value,..."
            )
        axes.append([(name, value) for value in values.split(",")])
    return [Cell(values) for values in itertools.product(*axes)]


def train_cell(job: TrainJob | StudentJob) -> dict[str, Any]:
    """Trains one cell."""
    return train_student(job) if isinstance(job, StudentJob) else train_model(job)


def run(
    folder: Path, grid: Sequence[Cell], work: Sequence[TrainJob | StudentJob], num_jobs: int
) -> list[dict[str, Any]]:
    """Trains every cell in its own folder, then writes `results.json` and `results.md`, the best first.

    Returns:
        Rows of values, dev accuracy (with and without silence) and dev cross-entropy.
    """
    infos = jobs.run(train_cell, work, num_jobs, work[0].threads or None)
    rows = [
        {"cell": cell.name, **dict(cell.values), **{name: value for name, value in info["dev"].items()}}
        for cell, info in zip(grid, infos, strict=True)
    ]
    rows.sort(key=lambda row: (-row["accuracy"], row["cross_entropy"]))
    io.write_json(folder / "results.json", rows)
    io.write_text(folder / "results.md", table(rows, [name for name, _ in grid[0].values]))
    return rows


def table(rows: Sequence[dict[str, Any]], names: Sequence[str]) -> str:
    """The rows as a Markdown table; images, which have no silence, go without its column."""
    shares = {"accuracy": "dev accuracy %", "accuracy_without_silence": "without silence %"}
    if all(row["accuracy"] == row["accuracy_without_silence"] for row in rows):
        del shares["accuracy_without_silence"]
    lines = [[*names, *shares.values(), "dev cross-entropy"], ["---"] * (len(names) + len(shares) + 1)]
    for row in rows:
        per_cent = [f"{100 * row[name]:.2f}" for name in shares]
        lines.append([*(row[name] for name in names), *per_cent, f"{row['cross_entropy']:.4f}"])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
