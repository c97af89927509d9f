"""What specialists add to their generalist, and what one net distilled from them keeps (section 5)."""

from __future__ import annotations

import re
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from kdasr.report.origin import training_seconds
from kdasr.report.run import ENSEMBLE, MEMBERS, SETS, Run, WordRate
from kdasr.report.tables import NONE, share, spread, table, told_table, word_rate

PLACE = re.compile(r"(specialists(?:/[^/]+)?)/gain/[^/]+")  # beside: nets, control, joint, student, score
PAPER = (0.0, 3.4, 7.4, 8.8, 10.5, 11.1, 11.3, 12.8, 13.6, 16.6, 14.1)  # table 4, relative gain in %; last: 10 or more
PAPER_ALL, PAPER_WITHIN = 4.4, 6.5  # section 5.5: 25.0 -> 26.1 %, 43.1 -> 45.9 %
GENERALIST, CONTROL, JOINT, STUDENT = "generalist", "control", "joint", "student"


@dataclass(frozen=True)
class _Score:
    """Right examples of all, and word errors, of a system on a set."""

    right: float
    examples: int
    words: WordRate | None

    @property
    def accuracy(self) -> float:
        """Per cent."""
        return 100 * self.right / max(1, self.examples)


@dataclass(frozen=True)
class Measured:
    """The specialists of one generalist, whose gain was measured.

    Attributes:
        run: of which they are.
        place: where they lie in it: `specialists`, or a folder of it for each generalist.
    """

    run: Run
    place: str

    @property
    def gains(self) -> dict[str, dict[str, Any]]:
        """What `kdasr gain` found, by set."""
        places = {name: f"{self.place}/gain/{name}" for name in SETS}
        return {name: self.run.infos[place] for name, place in places.items() if place in self.run.infos}

    @property
    def nets(self) -> dict[str, dict[str, Any]]:
        """Place of each specialist -> what its folder says."""
        return {place: info for place, info in self.run.infos.items() if place.startswith(f"{self.place}/nets/")}

    def is_generalist(self, info: Mapping[str, Any]) -> bool:
        """Whether a folder is the generalist's."""
        return info["fingerprint"] in {net["generalist"] for net in self.nets.values()}


def measured(runs: Iterable[Run]) -> list[Measured]:
    """All specialists of runs whose gain was measured."""
    places = [
        (run, dict.fromkeys(match[1] for place in run.infos if (match := PLACE.fullmatch(place)))) for run in runs
    ]
    found = [Measured(run, place) for run, own in places for place in own]
    return [each for each in found if each.gains]


def specialists_tables(runs: Sequence[Run]) -> str:
    """Systems, the table by coverage, and time; empty where no run has specialists."""
    found = measured(runs)
    if not found:
        return ""
    texts = " ".join(text for text in (_conditional(found), _cost(found), _time(found)) if text)
    return "\n".join([_systems(found), _coverage(found), f"{texts}\n"])


def _systems(found: Sequence[Measured]) -> str:
    scores = [{name: _scores(each, name) for name in SETS} for each in found]
    number = len(found[0].nets)
    ensembles = dict.fromkeys(system.name for each in found for system in each.run.systems[ENSEMBLE])
    names = {
        GENERALIST: "generalist",
        CONTROL: "generalist, trained for as many updates more",
        JOINT: f"generalist and {number} specialists",
        STUDENT: "one net distilled from these",
        ENSEMBLE: f"for comparison: {' or '.join(ensembles)}",
    }
    rows = []
    for system, title in names.items():
        row = [title]
        for name in SETS:
            own = [(each[name][system], each[name][GENERALIST]) for each in scores if system in each[name]]
            row.append(spread([one.accuracy for one, _ in own], 2))
            changes = [100 * (one.accuracy / before.accuracy - 1) for one, before in own]
            row.append(spread(changes, 2) if system != GENERALIST else NONE)
        row += [
            word_rate(_once([s.words for each in scores if (s := each[name].get(system)) and s.words])) for name in SETS
        ]
        if any(cell != NONE for cell in row[1:]):
            rows.append(row)
    header = ["system", *(title for name in SETS for title in (f"accuracy %, {name}", "relative %"))]
    return f"{told_table([*header, *(f'WER %, {name}' for name in SETS)], rows)}\n{_kept(scores)}\n"


def _once(rates: Sequence[WordRate]) -> list[WordRate]:
    """Without the same one again: generalists of a run have one ensemble."""
    return [rate for number, rate in enumerate(rates) if rate not in rates[:number]]


def _kept(scores: Sequence[Mapping[str, Mapping[str, _Score]]]) -> str:
    texts = []
    for name in SETS:
        whole = [each[name] for each in scores if {GENERALIST, JOINT, STUDENT} <= set(each[name])]
        if whole:
            before, joint, student = (
                sum(each[system].accuracy for each in whole) / len(whole) for system in (GENERALIST, JOINT, STUDENT)
            )
            texts.append(f"{share(joint - before, student - before)} on {name}")
    kept = f"The one net keeps {' and '.join(texts)} of what specialists add in accuracy. " if texts else ""
    return f"{kept}The paper, another task: +{PAPER_ALL} % relative by specialists; it distilled no such net."


def _scores(each: Measured, name: str) -> dict[str, _Score]:
    """By system, of a set on which the gain was measured."""
    gain, run = each.gains.get(name), each.run
    if gain is None:
        return {}
    whole, words = gain["all"], {GENERALIST: _generalist_words(each, name), JOINT: _words(each, JOINT, name)}
    found = {system: _Score(whole[system], whole["examples"], words[system]) for system in (GENERALIST, JOINT)}
    for system in (CONTROL, STUDENT):
        info = run.infos.get(f"{each.place}/accuracy/{name}/{system}")
        if info:
            right = info["accuracy"] * info["num_frames"]
            found[system] = _Score(right, info["num_frames"], _words(each, system, name))
    for together in run.systems[ENSEMBLE]:
        if name in together.accuracy:
            score = together.accuracy[name]
            found[ENSEMBLE] = _Score(score.accuracy * score.num_frames, score.num_frames, together.words.get(name))
    return found


def _words(each: Measured, system: str, name: str) -> WordRate | None:
    record = each.run.files.words.get(f"{each.place}/score/{system}", {}).get(name)
    return WordRate(**{entry.name: record[entry.name] for entry in fields(WordRate)}) if record else None


def _generalist_words(each: Measured, name: str) -> WordRate | None:
    """Of the member that is the generalist."""
    own = [system for system in each.run.systems[MEMBERS] if system.info and each.is_generalist(system.info)]
    return own[0].words.get(name) if own else None


def _coverage(found: Sequence[Measured]) -> str:
    """The paper's table 4: examples of all together."""
    own = {name: [each.gains[name] for each in found if name in each.gains] for name in SETS}
    gains = {name: some for name, some in own.items() if some}
    most = max(len(gain["by_coverage"]) for some in gains.values() for gain in some)
    rows = []
    for number in range(most):
        paper = f"{PAPER[min(number, len(PAPER) - 1)]:+.1f}"
        covered = [
            [row for gain in some for row in gain["by_coverage"][number : number + 1]] for some in gains.values()
        ]
        cells = [_pooled(rows_of_set) for rows_of_set in covered]
        if any(examples for examples, *_ in cells):
            rows.append([str(number), *(text for cell in cells for text in _cells(*cell)), paper])
    columns = (title for name in gains for title in (f"examples, {name}", "generalist %", "joint %", "relative %"))
    return table(("specialists that know the right class", *columns, "paper: relative %"), rows)


def _pooled(rows: Iterable[Mapping[str, Any]]) -> tuple[int, int, int]:
    """Examples, right ones of the generalist and of the joint prediction, over all rows."""
    found = list(rows)
    examples, before, after = (sum(row[key] for row in found) for key in ("examples", "generalist", JOINT))
    return examples, before, after


def _cells(examples: int, before: int, after: int) -> list[str]:
    if not examples:
        return ["0", NONE, NONE, NONE]
    relative = f"{100 * (after / before - 1):+.2f}" if before else NONE
    return [f"{examples:,}", f"{100 * before / examples:.2f}", f"{100 * after / examples:.2f}", relative]


def _conditional(found: Sequence[Measured]) -> str:
    texts = []
    for name in SETS:
        rows = [each.gains[name]["conditional"] for each in found if name in each.gains]
        examples, before, after = _pooled(rows)
        if examples and before:
            change = f"{100 * before / examples:.2f} % to {100 * after / examples:.2f} %"
            alone = f"specialists alone {100 * sum(row['specialist'] for row in rows) / examples:.2f} %"
            texts.append(f"{name} {change} ({100 * (after / before - 1):+.2f} % relative; {alone})")
    paper = f"the paper: +{PAPER_WITHIN} %"
    return f"Accuracy among a specialist's classes, on examples of these alone: {', '.join(texts)}; {paper}."


def _cost(found: Sequence[Measured]) -> str:
    """Passes of nets a prediction."""
    active = [gain["active"] for each in found for gain in each.gains.values()]
    mean = sum(active) / len(active)
    return f"{mean:.2f} specialists are asked an example, so a joint prediction costs {1 + mean:.2f} passes of nets."


def _time(found: Sequence[Measured]) -> str:
    """Seconds of steps of the generalist and of its specialists."""
    ratios = []
    for each in found:
        run = each.run
        own = [seconds for place, info in each.nets.items() if (seconds := training_seconds(run, place, info))]
        whole = [
            seconds
            for place, info in run.infos.items()
            if each.is_generalist(info) and (seconds := training_seconds(run, place, info))
        ]
        if own and whole:
            ratios.append((sum(own) / len(own) / whole[0], max(own) / whole[0]))
    if not ratios:
        return ""
    means, most = zip(*ratios, strict=True)
    return (
        f"A specialist trains in {100 * statistics.fmean(means):.1f} % of its generalist's time on average, "
        f"{100 * max(most):.1f} % at most."
    )
