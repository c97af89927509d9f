"""Options of the verbs that train and score: which sets, which models."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from kdasr.cli.options import Settings, folder
from kdasr.refusal import Refusal

if TYPE_CHECKING:
    from kdasr.data.frames import FrameSource
    from kdasr.distill.student import StudentJob
    from kdasr.train.acoustic import TrainJob

F = TypeVar("F", bound=Callable[..., Any])


def training_set(function: F) -> F:
    """Adds `--features` and `--ali`."""
    function = click.option("--ali", required=True, metavar="DIR", help="Its alignment.")(function)
    return click.option("--features", required=True, metavar="DIR", help="Features of the set.")(function)


def dev_set(function: F) -> F:
    """Adds `--dev-features` and `--dev-ali`."""
    function = click.option("--dev-ali", metavar="DIR", help="Its alignment.")(function)
    return click.option("--dev-features", metavar="DIR", help="Features of the development set.")(function)


def targets(function: F) -> F:
    """Adds `--soft-targets` and `--teacher`."""
    function = click.option(
        "--teacher",
        "teachers",
        multiple=True,
        metavar="DIR",
        help="Teacher, for targets on the fly; repeatable.",
    )(function)
    return click.option("--soft-targets", metavar="DIR", help="Stored soft targets.")(function)


def source(settings: Settings, features: str, ali: str) -> FrameSource:
    """A set that must exist."""
    from kdasr.data.frames import FrameSource

    return FrameSource(folder(features), folder(ali), settings.section("frames"))


def dev_source(settings: Settings, features: str | None, ali: str | None) -> FrameSource | None:
    """The development set, if one is named."""
    if (features is None) != (ali is None):
        raise Refusal("half of a development set", expected="--dev-features and --dev-ali, both or neither")
    return source(settings, features, ali) if features is not None and ali is not None else None


def train_job(
    out: Path,
    settings: Settings,
    features: str,
    ali: str,
    dev: tuple[str | None, str | None],
    overwrite: bool,
) -> TrainJob:
    """One model on hard labels."""
    from kdasr.train.acoustic import TrainJob

    sets = source(settings, features, ali), dev_source(settings, *dev)
    return TrainJob(out, *sets, settings.section("train"), settings.section("dnn"), overwrite=overwrite)


def student_job(
    out: Path,
    settings: Settings,
    features: str,
    ali: str,
    dev: tuple[str | None, str | None],
    taught_by: tuple[str | None, tuple[str, ...]],
    overwrite: bool,
) -> StudentJob:
    """One model on soft targets."""
    from kdasr.distill.student import StudentJob

    stored, teachers = folder(taught_by[0]) if taught_by[0] else None, tuple(map(folder, taught_by[1]))
    train, held_out = source(settings, features, ali), dev_source(settings, *dev)
    student, dnn, distill = (settings.section(name) for name in ("student", "dnn", "distill"))
    return StudentJob(out, train, held_out, stored, teachers, student, dnn, distill, overwrite=overwrite)


def seeds(text: str) -> list[int]:
    """`0-4` or `0,3,7` as numbers."""
    try:
        ends = [[int(end) for end in part.split("-")] for part in text.split(",")]
        found = [seed for first, *last in ends for seed in range(first, (last[0] if last else first) + 1)]
    except ValueError:
        found = []
    if not found or len(set(found)) < len(found):
        raise Refusal("not a list of seeds", where=f"--seeds {text}", expected="0-4 or 0,1,2")
    return found
