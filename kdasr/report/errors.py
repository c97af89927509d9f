"""Word errors by speaker, and the words that are most often mistaken."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from kdasr.report.run import ENSEMBLE, GMM, MEMBERS, SETS, STUDENT, Run
from kdasr.report.tables import NONE, table

PLACES = {MEMBERS: "score/members/{name}", ENSEMBLE: "score/members/ensemble", STUDENT: "score/student"}
FEW = 20  # speakers that are all shown; of more the worst
SHOWN = 10  # mistakes


def errors_tables(runs: Sequence[Run]) -> str:
    """Tables of each run, of the test set or, where it was not scored, of dev; empty where no run has any."""
    return "\n".join(text for run in runs if (text := _of_run(run)))


def _of_run(run: Run) -> str:
    systems = dict(_systems(run))
    for name in reversed(SETS):  # test first
        told = {title: record[name] for title, record in systems.items() if record.get(name, {}).get("speakers")}
        if told:
            return "\n".join([f"{run.name}, {name}:\n", _speakers(told), *_mistakes(told)])
    return ""


def _systems(run: Run) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The last GMM, the baseline, ensemble and student: title and what was scored of it."""
    for system in run.systems[GMM][-1:]:
        yield f"GMM ({system.name})", run.files.words.get(f"score/{system.name}", {})
    for kind, place in PLACES.items():
        for system in run.systems[kind][:1]:
            yield system.name, run.files.words.get(place.format(name=system.name), {})


def _speakers(told: Mapping[str, Mapping[str, Any]]) -> str:
    """WER of each speaker, the worst of the last system first."""
    *_, last = told.values()
    worst = sorted(last["speakers"], key=lambda speaker: -_rate(last["speakers"][speaker]))
    rows = []
    for speaker in worst[:FEW]:
        counts = [record["speakers"].get(speaker) for record in told.values()]
        rates = [f"{_rate(count):.2f}" if count else NONE for count in counts]
        rows.append([speaker, str(last["speakers"][speaker]["words"]), *rates])
    shown = table(("speaker", "words", *(f"WER %, {title}" for title in told)), rows)
    left = len(worst) - FEW
    return f"{shown}\nThe worst {FEW} of {len(worst)} speakers.\n" if left > 0 else shown


def _rate(count: Mapping[str, int]) -> float:
    return 100 * count["errors"] / max(1, count["words"])


def _mistakes(told: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """A table of the most frequent ones of the last system, with those of others where they are among their own."""
    title, last = list(told.items())[-1]
    others = {
        name: {(left, right): count for left, right, count in record.get("mistakes", ())}
        for name, record in told.items()
        if name != title
    }
    rows = [
        [_word(left), _word(right), str(count), *(str(own.get((left, right), NONE)) for own in others.values())]
        for left, right, count in last.get("mistakes", ())[:SHOWN]
    ]
    header = "said", "recognised", f"times, {title}", *(f"times, {name}" for name in others)
    return [table(header, rows)] if rows else []


def _word(word: str) -> str:
    return "(nothing)" if word == "*" else word
