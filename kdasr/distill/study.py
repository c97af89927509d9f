"""A study: cells side by side, each in a folder of its own, and their results in one file that runs add to."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from kdasr import io, jobs, log, models
from kdasr.data.examples import Source
from kdasr.differences import plain
from kdasr.distill import cells
from kdasr.distill.accuracy import score_models
from kdasr.distill.cells import Cell
from kdasr.distill.ensemble import VERBS, model_folders
from kdasr.distill.student import StudentJob, train_student
from kdasr.refusal import Refusal
from kdasr.train.job import TrainJob, train_model

RESULTS, WORDS, TRAINING, PARAMETERS = "results.json", "words", "training", "parameters"
Row = dict[str, Any]


class Pool:
    """The members that serve every cell of a study, by seed.

    Args:
        folder: holds `member-<seed>` folders.
        source: the study's training set.

    Raises:
        Refusal: a member is unfinished, or was trained on other labels than the study's.
    """

    def __init__(self, folder: Path, source: Source) -> None:
        self.folder, self.folders = folder, model_folders(folder)
        self.infos = [io.read_info(path, *VERBS) for path in self.folders]
        own = source.fingerprints()
        for path, info in zip(self.folders, self.infos, strict=True):
            for name in ("alignment", "images"):
                do = "train the pool on the study's own training set"
                io.expect_same(f"{name} of pool and training set", own.get(name), info["inputs"].get(name), path, do)

    def first(self, number: int | None) -> list[Path]:
        """The first so many members; all for None. Raises Refusal where there are fewer."""
        if number is not None and number > len(self.folders):
            do = "train more (kdasr train --seeds)"
            raise Refusal("not so many members", where=self.folder, expected=number, found=len(self.folders), do=do)
        return self.folders[:number]

    def made_as(self, made: io.Made) -> Path | None:
        """The member that is the very model which `made` would give, if there is one."""
        each = zip(self.folders, self.infos, strict=True)
        return next((path for path, info in each if made.difference(info) is None), None)


@dataclass(frozen=True)
class CellJob:
    """One cell to compute; travels to a worker process.

    Attributes:
        folder: of its model and scores.
        cell: its values.
        train: the model to train; None if the models are there.
        models: those that are scored together.
        mean: of them.
        sets: `dev`, and `test` if there is one.
        settings: what its row records, see `cells.set_apart`.
        teachers: content hash of what taught it and of the transfer sets, or of the members that it is made of.
        overwrite: as `io.begin`'s.
        words: counts word errors once the models are there; None: they are not wanted.
    """

    folder: Path
    cell: Cell
    train: TrainJob | StudentJob | None
    models: tuple[Path, ...]
    mean: str
    sets: Mapping[str, Source]
    settings: dict[str, Any]
    teachers: str = ""
    overwrite: bool = False
    words: Callable[[], dict[str, Any]] | None = None

    @property
    def wanted(self) -> set[str]:
        """The scores that a whole row has."""
        return {*self.sets, *([WORDS] if self.words else [])}

    @property
    def row(self) -> Row:
        """The cell's row of the results, without scores."""
        cell = self.cell
        named = {"cell": cell.name, "system": cell.system, "kind": cell.kind, "seed": cell.seed}
        members = {"members": len(self.models)} if cell.kind == "ensemble" else {}
        if isinstance(self.train, StudentJob) and self.train.teachers:
            members = {"members": len(self.train.teachers)}
        return {**named, **members, "values": plain(dict(cell.values)), "settings": self.settings, **self._taught}

    @property
    def _taught(self) -> dict[str, str]:
        return {"teachers": self.teachers} if self.teachers else {}

    def with_threads(self, threads: int) -> CellJob:
        """The same, its model trained by so many threads."""
        return replace(self, train=replace(self.train, threads=threads)) if self.train else self

    @cached_property
    def identity(self) -> tuple[str, str]:
        """Alike for cells that differ by name alone."""
        made = self.train.made.as_json() if self.train else {"mean": self.mean}
        return self.cell.kind, json.dumps([made, list(map(str, self.models if not self.train else ()))], sort_keys=True)


def hashed(prints: Sequence[str]) -> str:
    """One content hash of several."""
    return hashlib.sha256(" ".join(prints).encode()).hexdigest()[:16]


def learning(model: Path) -> dict[str, Any]:
    """How a model learnt: `dev`, accuracy after each epoch, and `accuracy`, that on the training set; {} if unknown.

    The latter is of the epoch whose weights the model has, with dropout and noise as they were.
    """
    epochs = [line for line in log.read_metrics(model / "metrics.jsonl") if "dev_accuracy" in line]
    if not epochs:
        return {}
    options = io.read_info(model)["options"]
    select = options.get("student", options.get("train", {})).get("select")
    taken = max(epochs, key=lambda line: line["dev_accuracy"]) if select == "best_dev" else epochs[-1]
    return {"accuracy": taken["accuracy"], "dev": [round(line["dev_accuracy"], 4) for line in epochs]}


def compute(job: CellJob) -> dict[str, Any] | Refusal:
    """Trains and scores one cell; set -> score, and word errors; or why there are none."""
    try:
        if isinstance(job.train, StudentJob):
            train_student(job.train)
        elif job.train:
            train_model(job.train)
        scores: dict[str, Any] = {
            name: asdict(score_models(job.folder / name, job.models, source, job.mean, overwrite=job.overwrite))
            for name, source in job.sets.items()
        }
        scores[PARAMETERS] = sum(models.parameters(io.read_info(path)["model"]) for path in job.models)
        if job.cell.kind != "ensemble" and (learnt := learning(job.models[0])):
            scores[TRAINING] = learnt
        return {**scores, WORDS: job.words()} if job.words else scores
    except Refusal as refusal:
        return refusal


@dataclass
class Results:
    """The rows of a study, in a file small enough to be committed.

    Attributes:
        inputs: content hashes of the sets that all rows are of.
        rows: a cell each.
        reference: the system that the others are compared with; empty for the best on dev.
    """

    inputs: dict[str, str]
    rows: list[Row] = field(default_factory=list)
    reference: str = ""

    @classmethod
    def read(cls, path: Path) -> Results:
        """Raises Refusal if the file is absent, damaged or of another kind."""
        return cls.of(io.read_json(path), path)

    @classmethod
    def of(cls, content: Any, path: Path) -> Results:
        """What a file at a path holds. Raises Refusal if it is of another kind."""
        wanted = {"cell", "system", "kind", "seed", "values", "settings"}
        rows = content.get("rows") if isinstance(content, dict) else None
        if not isinstance(rows, list) or not all(isinstance(row, dict) and row.keys() >= wanted for row in rows):
            raise Refusal("not the results of a study", where=path, expected=f"a {RESULTS} of `kdasr study`")
        return cls(content.get("inputs", {}), rows, content.get("reference", ""))

    def write(self, path: Path) -> None:
        """A row a line."""
        rows = ",\n".join(json.dumps(row, ensure_ascii=False) for row in self.rows)
        head = f'"inputs": {json.dumps(self.inputs)}, "reference": {json.dumps(self.reference)}'
        io.write_text(path, f'{{{head}, "rows": [\n{rows}\n]}}\n')

    def add(self, other: Results, where: Path) -> None:
        """Takes over the rows of an earlier run.

        Raises:
            Refusal: they are of other sets, or one is another result of a cell that is here.
        """
        do = "leave the file out, or make its sets again"
        both = self.inputs.keys() & other.inputs.keys()
        both |= {name for name in self.inputs.keys() | other.inputs.keys() if name.startswith("transfer_")}
        ours, theirs = ({name: each.get(name) for name in sorted(both)} for each in (self.inputs, other.inputs))
        io.expect_same("the sets of the results", ours, theirs, where, do)
        here = {row["cell"]: row for row in self.rows}
        for row in other.rows:
            known = here.get(row["cell"])
            if known is None:
                self.rows.append(row)
                continue
            newer = dict.fromkeys((TRAINING, PARAMETERS))  # older files have them not
            ours, theirs = ({**each, **newer} for each in (known, row))
            io.expect_same(f"results of {row['cell']}", ours, theirs, where, "leave one file out")
            known |= {name: row[name] for name in newer if name in row}

    def row(self, job: CellJob) -> Row | None:
        """The row of a cell, if it has all scores that are wanted.

        Raises:
            Refusal: the cell was made with other settings or teachers.
        """
        for row in self.rows:
            if row["cell"] == job.cell.name:
                same = ("settings", "teachers")
                now, before = ({name: each.get(name) for name in same} for each in (job.row, row))
                do = "leave the file of results out, or name another OUT"
                io.expect_same(f"{job.cell.name} of the results", now, before, RESULTS, do)
                return row if row.keys() >= job.wanted else None
        return None


def distinct(work: Sequence[CellJob]) -> list[CellJob]:
    """The jobs without those of systems whose every cell is one of a system before them, under another name."""
    systems: dict[str, list[CellJob]] = {}
    for job in work:
        systems.setdefault(job.cell.system, []).append(job)
    found, before = list[CellJob](), set[tuple[str, str]]()
    for each in systems.values():
        identities = {job.identity for job in each}
        found += [] if identities <= before else each
        before |= identities
    return found


def run(work: Sequence[CellJob], known: Results, num_jobs: int, threads: int) -> tuple[Results, dict[str, Refusal]]:
    """Computes the cells that are not known, equal ones once.

    Args:
        work: all cells.
        known: results of earlier runs.
        num_jobs: processes at most.
        threads: of each.

    Returns:
        The results: these cells', then what else is known; and the cells that failed, by name.
    """
    rows = {job.cell.name: known.row(job) for job in work}
    unknown = {job.cell.name: job for job in work if rows[job.cell.name] is None}
    alike = {name: job.identity for name, job in unknown.items()}
    first = {alike[name]: name for name in reversed(unknown)}
    todo = [job.with_threads(threads) for name, job in unknown.items() if first[alike[name]] == name]
    training = sum(job.train is not None for job in todo)
    log.event(f"{len(work)} cells: {len(work) - len(unknown)} known, {training} with a model to train")
    found = dict(zip((job.cell.name for job in todo), jobs.run(compute, todo, num_jobs, threads, "cells"), strict=True))
    failed = {}
    for name, job in unknown.items():
        scores = found[first[alike[name]]]
        if isinstance(scores, Refusal):
            failed[name] = scores
        else:
            rows[name] = {**job.row, **scores}
    others = [row for row in known.rows if row["cell"] not in rows]
    done = [row for row in rows.values() if row]
    return Results(known.inputs, [*done, *others], known.reference), failed


def value(row: Row, axis: str) -> Any:
    """A row's value on an axis, also one that its own cell did not name; None if its kind has no such axis."""
    if axis == cells.MEMBERS:
        return row.get(cells.MEMBERS)
    return row["settings"].get(axis, cells.default(row["kind"], axis) if axis in cells.axes_of(row["kind"]) else None)
