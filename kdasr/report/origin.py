"""What made the results of a run: settings, seeds, versions, and the time that each part took."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kdasr.refusal import Refusal
from kdasr.report.files import RATE, is_of_study
from kdasr.report.run import Run
from kdasr.report.tables import spread, table

Settings = tuple[str, ...]  # `train.epochs 20`, one text a setting
VERBS = (
    *("mono", "tri", "align", "graph", "train", "soft-targets", "distill", "bias", "subsets", "specialists", "joint"),
    *("accuracy", "decode", "score"),
)
OFF = {"0", "0.0", "false", "[]", "", "auto"}  # auto: the program's own choice
# Seeds have a line of their own.
SHAPELESS = {"seed", "name", "subset", "log_steps", "checkpoint_seconds", "checkpoint_steps"}


def settings(run: Run) -> dict[str, dict[Settings, list[str]]]:
    """Verb -> settings -> folders that were made with them; studies are left out."""
    found: dict[str, dict[Settings, list[str]]] = {}
    for place, info in sorted(run.infos.items()):
        if info["verb"] in VERBS and not is_of_study(place):
            found.setdefault(info["verb"], {}).setdefault(tuple(_flat(info["options"])), []).append(place)
    return {verb: found[verb] for verb in VERBS if verb in found}


def _flat(options: Any, name: str = "") -> list[str]:
    """`train.epochs 20` for each setting."""
    if not isinstance(options, Mapping):
        return [f"{name} {json.dumps(options) if isinstance(options, (list, bool)) else options}"]
    inner = {f"{name}.{key}" if name else key: value for key, value in options.items() if key not in SHAPELESS}
    return [text for key, value in inner.items() for text in _flat(value, key)]


def expect_alike(runs: Sequence[Run]) -> None:
    """Refuses a mean over runs that differ in more than seeds, or that share a model and so differ in nothing."""
    for number, run in enumerate(runs):
        for before in runs[:number]:
            _expect_own_models(before, run)
    for run in runs[1:]:
        mine, theirs = settings(runs[0]), settings(run)
        for verb in mine:
            one, other = ({_switched_on(made) for made in found.get(verb, ())} for found in (mine, theirs))
            if not (one <= other or other <= one):  # a run may lack a part
                raise _different(runs[0], run, verb, one, other)
        for place in sorted(set(runs[0].infos) & set(run.infos)):
            sizes = [each.infos[place].get("num_frames") for each in (runs[0], run)]
            if place.startswith(("accuracy/", "ali/")) and sizes[0] != sizes[1]:
                what, do = f"{place} has another number of frames", "report runs of different data apart"
                raise Refusal(what, where=run.files.where, expected=sizes[0], found=sizes[1], do=do)


def _switched_on(made: Settings) -> Settings:
    """Without options that are off: an older version had not yet what a newer one did not use."""
    return tuple(text for text in made if text.rpartition(" ")[2] not in OFF)


def _expect_own_models(before: Run, run: Run) -> None:
    known = {info["fingerprint"]: place for place, info in before.infos.items() if _is_counted(place, info)}
    for place, info in run.infos.items():
        if _is_counted(place, info) and info["fingerprint"] in known:
            found = f"the same model as {before.files.where / known[info['fingerprint']]}"
            do = "name runs of other --seeds, each once"
            raise Refusal("a model of two runs", where=run.files.where / place, found=found, do=do)


def _is_counted(place: str, info: Mapping[str, Any]) -> bool:
    """Whether a mean takes in this model; development nets, which only choose settings, may be those of another run."""
    return "seed" in info and (not place.startswith("dev/") or is_of_study(place))


def _different(first: Run, run: Run, verb: str, one: set[Settings], other: set[Settings]) -> Refusal:
    texts = [{text for made in found for text in made} for found in (one, other)]
    expected, found = (", ".join(sorted(mine - theirs)) for mine, theirs in (texts, texts[::-1]))
    what = f"`kdasr {verb}` had other settings than in {first.files.where}"
    do = "a mean is over seeds; report runs of other settings apart"
    return Refusal(what, where=run.files.where, expected=expected, found=found, do=do)


def settings_table(runs: Sequence[Run]) -> str:
    """A row for each verb and set of settings."""
    rows = [
        [f"`{verb}`", ", ".join(sorted({place.split("/")[0] for place in places})), ", ".join(made)]
        for verb, found in settings(runs[0]).items()
        for made, places in found.items()
        if made
    ]
    return table(("verb", "folder", "settings"), rows) if rows else ""


def seeds(run: Run) -> str:
    """Seeds of the models of each folder, those of studies left out."""
    found: dict[str, list[str]] = {}
    for place, info in run.infos.items():
        if "seed" in info and not is_of_study(place):
            found.setdefault(place.rpartition("/")[0], []).append(str(info["seed"]))
    return "; ".join(f"{part} {', '.join(dict.fromkeys(numbers))}" for part, numbers in found.items())


def versions(runs: Sequence[Run]) -> str:
    """Versions of the libraries and the machine, each value that occurs."""
    environments = [info["environment"] for run in runs for info in run.infos.values()]
    names = dict.fromkeys(name for environment in environments for name in environment["versions"])
    texts = [f"{name} {_each(environment['versions'].get(name) for environment in environments)}" for name in names]
    machine = (f"{_each(environment[fact] for environment in environments)} {fact}" for fact in ("machine", "cores"))
    return ", ".join([*texts, *machine]).replace(" machine", "")


def _each(values: Iterable[object]) -> str:
    return " and ".join(dict.fromkeys(str(value) for value in values if value is not None))


def time_table(runs: Sequence[Run]) -> str:
    """Seconds and memory by verb and folder, as the finished folders and the training metrics tell them."""
    times = [_times(run) for run in runs]
    keys = sorted({key for found in times for key in found}, key=lambda key: (VERBS.index(key[0]), key[1]))
    rows = [
        [
            f"`{verb}`",
            place,
            str(max(len(found.get((verb, place), ())) for found in times)),
            *_cells(times, (verb, place)),
        ]
        for verb, place in keys
    ]
    header = ("verb", "folder", "parts", "seconds, all parts", "x real time", "peak memory, GiB")
    return table(header, rows) if rows else ""


@dataclass(frozen=True)
class _Cost:
    """What a finished folder took: seconds; those of the audio to measure them by, or 0; GiB of its largest process."""

    seconds: float | None  # folders of an older kdasr may not tell them
    audio: float
    memory: float


_Costs = Mapping[tuple[str, str], list[_Cost]]  # by verb and folder


def _cells(times: Sequence[_Costs], key: tuple[str, str]) -> list[str]:
    costs = [found[key] for found in times if key in found]
    timed = [found for found in costs if any(cost.seconds is not None for cost in found)]
    seconds = [sum(cost.seconds or 0.0 for cost in found) for found in timed]
    audio = [sum(cost.audio for cost in found) for found in timed]
    rates = [one / other for one, other in zip(seconds, audio, strict=True) if other]
    memory = max(cost.memory for found in costs for cost in found)
    return [spread(seconds, 1), spread(rates, 4) if rates else "", f"{memory:.1f}" if memory else ""]


def _times(run: Run) -> _Costs:
    found: dict[tuple[str, str], list[_Cost]] = {}
    for place, info in run.infos.items():
        seconds = info.get("seconds", info.get("search_seconds"))
        if seconds is None and "steps" in info:
            seconds = training_seconds(run, place, info)
        if seconds is None:
            seconds = info.get("wall_seconds")
        memory = max(info.get("peak_memory_gib", {}).values(), default=0.0)
        if (seconds is not None or memory) and info["verb"] in VERBS:
            audio = info.get("audio_seconds", 0.0) if "seconds" not in info else 0.0
            found.setdefault((info["verb"], _shown_place(place)), []).append(_Cost(seconds, audio, memory))
    return found


def _shown_place(place: str) -> str:
    """Folder under which it is summed up: the first, below `all` the second, of decoded sets each system."""
    names = place.split("/")
    if names[0] == "decode" and len(names) > 2:
        return f"decode/*/{names[2]}"
    return "/".join(names[: 2 if names[0] == "all" else 1])


def training_seconds(run: Run, place: str, info: Mapping[str, Any]) -> float | None:
    """Time of the training steps at the median of the rates in `metrics.jsonl`, so of a process that never waited.

    Dev scoring is not in it.
    """
    options = next(options for name, options in info["options"].items() if name in ("train", "student", "specialist"))
    speeds = [line[RATE] for line in run.files.metrics.get(place, ()) if RATE in line]
    if not speeds:
        return None
    return float(options["batch_size"] * info["steps"] / statistics.median(speeds))
