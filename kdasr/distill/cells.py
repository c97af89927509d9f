"""The cells of a study: every combination of the values that its settings name, a system and a seed each."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from kdasr import config
from kdasr.data.frames import FrameOptions
from kdasr.data.images import ImageOptions
from kdasr.differences import plain
from kdasr.distill.loss import DistillOptions
from kdasr.models.dnn import DnnOptions
from kdasr.refusal import Refusal, unknown_name
from kdasr.train.loop import TrainOptions

MEMBERS, SEED = "members", "seed"
LONGEST = 240  # bytes of a folder's name; file systems take 255, and a part's name is longer
SEEDED = {"baseline": "train.seed", "student": "student.seed"}  # the setting that is a kind's seed
DATA: dict[str, type] = {"frames": FrameOptions, "images": ImageOptions}
SECTIONS: dict[str, dict[str, type]] = {  # kind of system: sections of settings that make it
    "baseline": {"train": TrainOptions, "dnn": DnnOptions, **DATA},
    "ensemble": {"distill": DistillOptions, **DATA},
    "student": {"student": TrainOptions, "dnn": DnnOptions, "distill": DistillOptions, **DATA},
}
OF_ENSEMBLE = ("distill.mean",)  # the one setting of what is not trained
WAY = ("threads", "device", "log_steps", "checkpoint_seconds", "checkpoint_steps", "memory")  # results do not hang on


@dataclass(frozen=True)
class StudyOptions:
    """The systems that a study compares; each kind is a table `axis: values`, or a list of tables.

    Axes are settings `section.name`, `members` (the first n of the pool) and `seed`. A table's cells are all
    combinations of its values; what it does not name is as the other sections say. Equal cells are computed once.
    """

    seeds: tuple[int, ...] = (0,)  # of baseline and student, where a table has no axis `seed`
    baseline: Any = None  # hard labels
    ensemble: Any = None  # members together, untrained; axes: members, distill.mean
    student: Any = None  # soft targets of members, or stored ones
    reference: str = ""  # a cell's name without its seed, which the others are compared with; empty: the best on dev


@dataclass(frozen=True)
class Cell:
    """One combination of values.

    Attributes:
        kind: baseline, ensemble or student.
        values: (axis, value), the seed left out.
        seed: None of what has none.
    """

    kind: str
    values: tuple[tuple[str, Any], ...]
    seed: int | None

    @property
    def system(self) -> str:
        """Its name without the seed."""
        return ",".join([self.kind, *(f"{axis}={_text(value)}" for axis, value in self.values)])

    @property
    def name(self) -> str:
        """Its name among the results."""
        return self.system if self.seed is None else f"{self.system},{SEED}={self.seed}"

    @property
    def folder(self) -> str:
        """Its folder's name; of a name that is too long for one, the beginning and a hash of the whole."""
        if len(self.name.encode()) <= LONGEST:
            return self.name
        mark = hashlib.sha256(self.name.encode()).hexdigest()[:16]
        return f"{self.name.encode()[: LONGEST - len(mark) - 1].decode(errors='ignore')}-{mark}"

    @property
    def members(self) -> int | None:
        """How many of the pool; None for all."""
        return dict(self.values).get(MEMBERS)

    @property
    def overrides(self) -> tuple[str, ...]:
        """The combination as `--set` takes it."""
        seed = [] if self.seed is None else [(SEEDED[self.kind], self.seed)]
        named = [*((axis, value) for axis, value in self.values if axis != MEMBERS), *seed]
        return tuple(f"{axis}={json.dumps(value)}" for axis, value in named)


def _text(value: object) -> str:
    """A value in a folder's name."""
    return str(value).removesuffix(".0").replace("/", "_").replace(" ", "")


def cells(options: StudyOptions) -> list[Cell]:
    """The cells of all tables, the last axis of a table varying fastest; each once.

    Raises:
        Refusal: no system, an unknown axis, one without values, a value of the wrong type, or one given twice.
    """
    found: dict[str, Cell] = {}
    for kind in SECTIONS:
        for table in _tables(kind, getattr(options, kind)):
            axes = {str(axis): _values(kind, str(axis), values) for axis, values in table.items()}
            seeds = axes.pop(SEED, None) or _seeds(kind, options)
            for values, seed in itertools.product(itertools.product(*axes.values()), seeds):
                cell = Cell(kind, tuple(zip(axes, values, strict=True)), seed)
                found.setdefault(cell.name, cell)
    if not found:
        raise Refusal("no system to study", where="study", expected="a table of axes: baseline, ensemble or student")
    return list(found.values())


def _seeds(kind: str, options: StudyOptions) -> list[Any]:
    return _values(kind, SEED, list(options.seeds)) if kind in SEEDED else [None]


def _tables(kind: str, given: Any) -> list[dict[Any, Any]]:
    tables = given if isinstance(given, list) else [] if given is None else [given]
    for table in tables:
        if not isinstance(table, dict):
            raise Refusal("not a table of axes", where=f"study.{kind}", expected="{axis: [value, ...]}", found=table)
    return tables


def axes_of(kind: str) -> list[str]:
    """The axes that a kind of system has."""
    settings = [f"{section}.{field.name}" for section, cls in SECTIONS[kind].items() for field in fields(cls)]
    if kind == "ensemble":
        return [MEMBERS, *OF_ENSEMBLE]
    settings.remove(SEEDED[kind])
    return [SEED, *([MEMBERS] if kind == "student" else []), *settings]


def _values(kind: str, axis: str, given: Any) -> list[Any]:
    """The values of an axis, typed."""
    where = f"study.{kind}.{axis}"
    if axis not in axes_of(kind):
        raise unknown_name(f"axis of {kind}", axis, axes_of(kind), f"study.{kind}")
    values = [_typed(kind, axis, value) for value in (given if isinstance(given, list) else [given])]
    if not values:
        raise Refusal("an axis without values", where=where, expected="[value, ...]")
    twice = [value for number, value in enumerate(values) if value in values[:number]]
    if twice:
        raise Refusal("a value given twice", where=where, found=twice[0], do="name each once")
    return values


def _typed(kind: str, axis: str, value: Any) -> Any:
    where = f"study.{kind}.{axis}"
    if value is None:
        raise Refusal("an axis without values", where=where, expected="[value, ...]")
    if axis in (MEMBERS, SEED):
        least = 1 if axis == MEMBERS else 0
        if type(value) is not int or value < least:
            raise Refusal("not a number of members" if least else "not a seed", where=where, found=value)
        return value
    section, _, name = axis.partition(".")
    try:
        resolved: Any = config.resolve(SECTIONS[kind][section], section, overrides=[f"{axis}={json.dumps(value)}"])
    except Refusal as refusal:  # which would name a --set
        raise Refusal(refusal.what, where=where, expected=refusal.expected, found=refusal.found) from None
    return getattr(resolved, name)


def set_apart(kind: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """`section.name` -> value of a kind's settings that are not the defaults, but for the seed.

    Such a record says all that makes a result, and stays right when an option is added whose default changes nothing.

    Args:
        kind: of the system.
        options: section -> dataclass.
    """
    settings = {f"{section}.{name}": value for section, each in plain(options).items() for name, value in each.items()}
    wanted = (
        OF_ENSEMBLE if kind == "ensemble" else [axis for axis in axes_of(kind) if axis.partition(".")[2] not in WAY]
    )
    return {axis: settings[axis] for axis in wanted if axis in settings and settings[axis] != default(kind, axis)}


def default(kind: str, axis: str) -> Any:
    """The default of a setting as a JSON type; None where a kind has no such setting."""
    section, _, name = axis.partition(".")
    cls = SECTIONS[kind].get(section)
    return plain(getattr(cls(), name, None)) if cls else None
