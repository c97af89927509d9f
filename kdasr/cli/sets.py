"""Options of the verbs that train and score: which sets, which models."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from kdasr.cli.options import Settings, folder
from kdasr.refusal import Refusal

if TYPE_CHECKING:
    from kdasr.data.examples import Source
    from kdasr.distill.student import StudentJob
    from kdasr.train.job import TrainJob

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True)
class SetNames:
    """The folders of one set as the command line names them: features and alignment, or images."""

    prefix: str  # of the options: nothing, dev- or test-
    features: str | None
    ali: str | None
    images: str | None
    transfer: tuple[str, ...] = ()

    def source(self, settings: Settings) -> Source | None:
        """The set; None if none is named.

        Raises:
            Refusal: half of a set, two sets, or a folder that is not there.
        """
        from kdasr.data.frames import FrameSource
        from kdasr.data.images import ImageSource

        if (self.features is None) != (self.ali is None):
            raise Refusal("half of a set", expected=self._wanted)
        if self.features is not None and self.images is not None:
            raise Refusal("two sets in place of one", expected=self._wanted)
        if self.transfer and self.features is None:
            raise Refusal("transfer sets are of features", expected="--features and --ali beside --transfer")
        if self.images is not None:
            return ImageSource(folder(self.images), settings.section("images"))
        if self.features is not None and self.ali is not None:
            transfer = tuple(map(folder, self.transfer))
            return FrameSource(folder(self.features), folder(self.ali), settings.section("frames"), transfer)
        return None

    def expected(self, settings: Settings) -> Source:
        """The set, which must be named."""
        found = self.source(settings)
        if found is None:
            raise Refusal("no set is named", expected=self._wanted)
        return found

    @property
    def _wanted(self) -> str:
        return f"--{self.prefix}features and --{self.prefix}ali, or --{self.prefix}images"


def training_set(function: F) -> F:
    """Adds `--features`, `--ali` and `--images`; the verb gets `train: SetNames`."""
    return _named(function, "train", "", "the set")


def transfer_sets(function: F) -> F:
    """Adds `--transfer` below `training_set`, whose set then holds these features' frames too, without labels."""

    @wraps(function)
    def wrapped(train: SetNames, transfer: tuple[str, ...], **arguments: Any) -> Any:
        return function(train=replace(train, transfer=transfer), **arguments)

    text = "Features of more speech to learn from the teacher, which needs no alignment; repeatable."
    return click.option("--transfer", multiple=True, metavar="DIR", help=text)(wrapped)  # type: ignore[return-value]


def dev_set(function: F) -> F:
    """Adds `--dev-features`, `--dev-ali` and `--dev-images`; the verb gets `dev: SetNames`."""
    return _named(function, "dev", "dev-", "the development set")


def test_set(function: F) -> F:
    """Adds `--test-features`, `--test-ali` and `--test-images`; the verb gets `test: SetNames`."""
    return _named(function, "test", "test-", "the test set, which chooses nothing")


def _named(function: F, argument: str, prefix: str, what: str) -> F:
    names = ("features", "ali", "images")
    helps = (f"Features of {what}.", "Its alignment.", f"Images of {what}, in place of features and alignment.")

    @wraps(function)
    def wrapped(**arguments: Any) -> Any:
        found = [arguments.pop(f"{prefix}{name}".replace("-", "_")) for name in names]
        return function(**{argument: SetNames(prefix, *found)}, **arguments)

    for name, text in zip(reversed(names), reversed(helps), strict=True):
        wrapped = click.option(f"--{prefix}{name}", metavar="DIR", help=text)(wrapped)
    return wrapped  # type: ignore[return-value]


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


def start(function: F) -> F:
    """Adds `--start`; the verb gets the folder, or None."""

    @wraps(function)
    def wrapped(start: str | None, **arguments: Any) -> Any:
        return function(start=folder(start) if start else None, **arguments)

    text = "A trained model, whose weights all begin with; default: random ones."
    return click.option("--start", metavar="DIR", help=text)(wrapped)  # type: ignore[return-value]


def generalist(function: F) -> F:
    """Adds `--model`, the generalist of specialists."""
    return click.option("--model", required=True, metavar="DIR", help="The generalist, one model.")(function)


def train_job(out: Path, settings: Settings, train: SetNames, dev: SetNames, overwrite: bool) -> TrainJob:
    """One model on hard labels."""
    from kdasr.train.job import TrainJob

    sets = train.expected(settings), dev.source(settings)
    return TrainJob(out, *sets, settings.section("train"), settings.section("dnn"), overwrite=overwrite)


def student_job(
    out: Path,
    settings: Settings,
    train: SetNames,
    dev: SetNames,
    taught_by: tuple[str | None, tuple[str, ...]],
    overwrite: bool,
) -> StudentJob:
    """One model on soft targets."""
    from kdasr.distill.student import StudentJob

    stored, teachers = folder(taught_by[0]) if taught_by[0] else None, tuple(map(folder, taught_by[1]))
    student, dnn, distill = (settings.section(name) for name in ("student", "dnn", "distill"))
    sets = train.expected(settings), dev.source(settings)
    return StudentJob(out, *sets, stored, teachers, student, dnn, distill, overwrite=overwrite)


def seeds(text: str) -> list[int]:
    """The numbers of `--seeds`."""
    return numbers(text, "--seeds", "seeds")


def numbers(text: str, option: str, what: str) -> list[int]:
    """`0-4` or `0,3,7` as numbers, each once. Raises Refusal, by the option's name, for anything else."""
    try:
        ends = [[int(end) for end in part.split("-")] for part in text.split(",")]
        found = [] if max(map(len, ends)) > 2 else [seed for each in ends for seed in range(each[0], each[-1] + 1)]
    except ValueError:
        found = []
    if not found or len(set(found)) < len(found):
        raise Refusal(f"not a list of {what}", where=f"{option} {text}", expected="0-4 or 0,1,2")
    return found
