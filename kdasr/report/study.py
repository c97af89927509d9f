"""The study of section 3 on images: test errors beside the paper's, temperatures, corrected biases, over all runs."""

from __future__ import annotations

import re
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kdasr.distill.study import value
from kdasr.report.origin import training_seconds
from kdasr.report.run import Run
from kdasr.report.tables import NONE, size, table


@dataclass(frozen=True)
class System:
    """A row of the table.

    Attributes:
        title: what it is.
        stage: of egs/mnist/run.sh, which trains it.
        paper: its test errors in section 3, if it is the paper's.
        together: what its nets are called where they predict together, which then is a row of its own.
    """

    title: str
    stage: int
    paper: int | None = None
    together: str = ""


@dataclass(frozen=True)
class Transfer:
    """A transfer set without some classes, and what section 3 says of it: test errors, those on the shifted classes.

    Attributes:
        title: what it is.
        before: of the net as trained.
        after: with the shift that is best for the test set.
        shift: that shift.
    """

    title: str
    before: tuple[int, int | None]
    after: tuple[int, int | None]
    shift: float


SYSTEMS = {  # by folder
    "teacher": System("teacher: dropout, max-norm, jitter", 3, 67, "teachers"),
    "small": System("small net, no regularisation", 4, 146),
    "distilled": System("distilled small net, plain images", 5, 74),
    "ensemble_student": System("distilled small net, plain images, all teachers", 6),
    "best_teacher": System("teacher, images moved, turned, scaled, distorted", 7, together="such teachers"),
    "best": System("distilled small net, such images, all such teachers", 7),
}
TRANSFERS = {
    "without_3": Transfer("without 3s", (206, 133), (109, 14), 3.5),
    "only_7_and_8": Transfer("7s and 8s alone", (4730, None), (1320, None), -7.6),  # 47.3 %, 13.2 %
}
STAGE_OF_DEVELOPMENT, STAGE_OF_TEST, STAGE_OF_TRANSFERS = 1, 8, 9
COUNTS = ("paper", "mean", "min", "max", "median")
MADE = ("nets", "parameters", "epochs", "minutes a net", "command")


def command(stage: int) -> str:
    """What makes it, in egs/mnist."""
    return f"`./run.sh --stage {stage} --stop-stage {stage}`"


def wrong(score: Mapping[str, Any], prefix: str = "") -> int:
    """Wrong examples of a score."""
    return round((1 - score[f"{prefix}accuracy"]) * score[f"{prefix}num_frames"])


def counts(values: Sequence[float]) -> str:
    """Median and range of counts over seeds."""
    if not values:
        return NONE
    middle = f"{statistics.median(values):g}"
    return middle if len(values) == 1 else f"{middle} ({min(values):g}–{max(values):g})"


def errors_table(runs: Sequence[Run]) -> str:
    """A row a system: the paper's test errors, ours over the seeds of all runs."""
    rows = []
    for name, system in SYSTEMS.items():
        scored = [info for run in runs if (info := run.infos.get(f"accuracy/test/{name}"))]
        if not scored:
            continue
        made = [*_made(runs, name), command(system.stage)]
        found = [wrong(member) for info in scored for member in info["members"]]
        rows.append([system.title, _taught(runs, name), *_counts(system.paper, found), *made])
        together = [info for info in scored if len(info["members"]) > 1]
        if system.together and together:
            rows.append(_ensemble_row(system.together, together, made))
    return table(("system", "learnt from", *COUNTS, *MADE), rows) if rows else ""


def _ensemble_row(nets: str, scored: Sequence[Mapping[str, Any]], made: Sequence[str]) -> list[str]:
    """The nets of each run together; they are those of the row above."""
    number = _each(str(len(info["members"])) for info in scored)
    title = f"ensemble of {number} {nets}, {_each(info['options']['mean'] for info in scored)} mean"
    _, parameters, epochs, minutes, train = made
    cells = [str(len(scored)), f"{number} × {parameters}", epochs, minutes, train]
    return [title, "hard labels", *_counts(None, [wrong(info) for info in scored]), *cells]


def _counts(paper: int | None, found: Sequence[int]) -> list[str]:
    ours = [f"{statistics.fmean(found):.1f}", str(min(found)), str(max(found)), f"{statistics.median(found):g}"]
    return [str(paper or NONE), *ours]


def _models(runs: Sequence[Run], folder: str) -> Iterator[tuple[Run, str, dict[str, Any]]]:
    """Run, place and info of each model below a folder; one that several runs share comes once."""
    seen = set()
    for run in runs:
        for place, info in run.infos.items():
            if place.rpartition("/")[0] == folder and info["fingerprint"] not in seen:
                seen.add(info["fingerprint"])
                yield run, place, info


def _taught(runs: Sequence[Run], folder: str) -> str:
    return "; ".join(dict.fromkeys(taught_by(run, info) for run, _, info in _models(runs, folder))) or NONE


def taught_by(run: Run, info: Mapping[str, Any]) -> str:
    """What a net learnt from, by the inputs that made it: hard labels, or the teachers of those seeds."""
    if info["verb"] == "train":
        return "hard labels"
    stored = [made for made in run.infos.values() if made["fingerprint"] == info["inputs"].get("soft_targets")]
    inputs = stored[0]["inputs"] if stored else info["inputs"]
    prints = {value for name, value in inputs.items() if name.startswith("teacher_")}
    seeds = sorted(made["seed"] for made in run.infos.values() if made["fingerprint"] in prints and "seed" in made)
    if len(seeds) == 1:
        return f"teacher {seeds[0]}"
    mean = info["options"]["distill"]["mean"]
    return f"teachers {', '.join(map(str, seeds))}, {mean} mean" if seeds else NONE


def _made(runs: Sequence[Run], folder: str) -> list[str]:
    """Number of nets, their parameters, epochs, and minutes of training a net."""
    models = list(_models(runs, folder))
    options = [info["options"].get("student", info["options"].get("train", {})) for _, _, info in models]
    epochs = _each(str(each.get("epochs", NONE)) for each in options)
    seconds = [training_seconds(run, place, info) for run, place, info in models]
    minutes = [each / 60 for each in seconds if each is not None]
    sizes = _each(size(info) for _, _, info in models)
    return [str(len(models)), sizes, epochs, f"{statistics.fmean(minutes):.1f}" if minutes else NONE]


def _each(texts: Iterable[str]) -> str:
    return " and ".join(dict.fromkeys(texts)) or NONE


def development_table(runs: Sequence[Run]) -> str:
    """A row a net of the first 50,000 images: errors on dev."""
    rows = []
    for name, system in SYSTEMS.items():
        folder = f"dev/{name}"
        found = [wrong(info["dev"]) for _, _, info in _models(runs, folder) if info.get("dev")]
        if found:
            made = [*_made(runs, folder), command(STAGE_OF_DEVELOPMENT)]
            rows.append([system.title, _taught(runs, folder), counts(found), *made])
    return table(("net", "learnt from", "errors on dev", *MADE), rows) if rows else ""


def bias_table(runs: Sequence[Run]) -> str:
    """Three rows a transfer set: test errors, those on the shifted classes, shifts; the paper's beside them."""
    rows = []
    for name, transfer in TRANSFERS.items():
        infos = [info for _, _, info in _models(runs, f"bias/{name}")]
        found = [info["errors"]["test"] for info in infos if "test" in info["errors"]]
        made = [*_made(runs, name), command(STAGE_OF_TRANSFERS)]
        for when, what, paper, shift in (
            ("before", "as trained", transfer.before, None),
            ("after", "shift chosen on dev", transfer.after, None),
            ("best", "shift best for test, as the paper's", transfer.after, transfer.shift),
        ):
            if found:
                errors, own = ([each[when][key] for each in found] for key in ("errors", "errors_of_classes"))
                of = f"{counts(own)} of {found[0]['examples_of_classes']}"
                shifts = " ".join(f"{each[when]['shift']:+.1f}" for each in found) if when != "before" else NONE
                papers = str(paper[1] or NONE), f"{shift:+g}" if shift else NONE
                rows.append([transfer.title, what, *_counts(paper[0], errors), papers[0], of, papers[1], shifts, *made])
    head = ("transfer set", "bias", *COUNTS, "on these classes: paper", "median (range)", "shift: paper", "by seed")
    return table((*head, *MADE), rows) if rows else ""


def is_sweep(place: str) -> bool:
    """Whether a study is one of students by temperature, `grid_<width>`."""
    return bool(re.fullmatch(r"(?:.*/)?grid_\d+", place))


def temperatures(runs: Sequence[Run]) -> dict[int, dict[float, list[int]]]:
    """Width -> temperature -> dev errors of the students, from studies named `grid_<width>`."""
    found: dict[int, dict[float, list[int]]] = {}
    for place, results in (item for run in runs for item in run.files.studies.items()):
        for row in results.rows if is_sweep(place) else ():
            width, temperature = int(place.rpartition("_")[2]), value(row, "distill.temperature")
            found.setdefault(width, {}).setdefault(temperature, []).append(wrong(row["dev"]))
    return {width: dict(sorted(found[width].items())) for width in sorted(found, reverse=True)}


def temperatures_table(runs: Sequence[Run]) -> str:
    """A row a width, a column a temperature: errors on dev."""
    found = temperatures(runs)
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
