"""The table of a study: a row a system with mean and spread over seeds, and its difference from a reference."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from kdasr.distill.study import PARAMETERS, TRAINING, Row, value
from kdasr.refusal import unknown_name
from kdasr.report.paired import Difference, over_seeds, over_utterances
from kdasr.report.tables import NONE, spread, table

SAMPLES, SEED = 2000, 0  # of the bootstrap over utterances
SETS = ("dev", "test")
AS_TRAINED = " Training accuracy: of the epoch whose weights are taken, with dropout and noise."
WORDS_COMPARED = (
    " WER − reference: errors of all seeds, 95 % interval and p by bootstrap over the same utterances; weight and"
    " penalty are chosen on dev."
)
SHARE = " Share of gain: (student − reference) / (ensemble of its teachers − reference), a seed each."
WON_BACK = (
    " Gap won back: (student − hard labels of the same part of the data) / (hard labels of all − of the part), of hard"
    " labels the mean of the baseline that is best on dev."
)


@dataclass(frozen=True)
class System:
    """The cells that differ by seed alone.

    Attributes:
        name: that of a cell without its seed.
        rows: by seed.
    """

    name: str
    rows: tuple[Row, ...]

    def scores(self, of: str, score: str) -> list[float]:
        """One score of a set, a row each; none if a row lacks it."""
        return [row[of][score] for row in self.rows] if all(of in row for row in self.rows) else []

    def words(self, of: str) -> list[Row]:
        """Word errors of a set, those of a row that was decoded each."""
        return [row["words"][of] for row in self.rows if of in row.get("words", {})]

    def word_error_rates(self, of: str) -> list[float]:
        """Per cent, of the same rows."""
        return [100 * sum(each["errors"]) / max(1, sum(each["words"])) for each in self.words(of)]

    def by_seed(self, of: str) -> dict[int | None, float]:
        """Seed -> frame accuracy, per cent."""
        found = self.scores(of, "accuracy")
        return {row["seed"]: 100 * score for row, score in zip(self.rows, found, strict=False)}


def systems(rows: Sequence[Row]) -> list[System]:
    """The systems of a study, in the order of its rows."""
    grouped: dict[str, list[Row]] = {}
    for row in rows:
        grouped.setdefault(row["system"], []).append(row)
    return [System(name, tuple(sorted(each, key=lambda row: row["seed"] or 0))) for name, each in grouped.items()]


def best(found: Sequence[System]) -> System:
    """The system with the best mean frame accuracy on dev."""
    return max(found, key=lambda system: statistics.fmean(system.scores("dev", "accuracy")))


def referred(found: Sequence[System], name: str) -> System:
    """The system of a name, or the best on dev for an empty one.

    Raises:
        Refusal: there is none of that name.
    """
    if not name:
        return best(found)
    for system in found:
        if system.name == name:
            return system
    raise unknown_name("system", name, [system.name for system in found], "study.reference")


def axes(rows: Sequence[Row]) -> list[str]:
    """The axes on which rows differ, of those that a cell names, in their order."""
    named = dict.fromkeys(axis for row in rows for axis in row["values"])
    return [axis for axis in named if len({str(value(row, axis)) for row in rows}) > 1]


def differences(system: System, reference: System, of: str) -> list[float]:
    """Differences in frame accuracy, per cent: seeds that both have, or the one that has no seeds with each other's."""
    mine, theirs = system.by_seed(of), reference.by_seed(of)
    if None in mine or None in theirs:
        return [left - right for left in mine.values() for right in theirs.values()]
    return [mine[seed] - theirs[seed] for seed in mine if seed in theirs]


def shares(system: System, found: Sequence[System], reference: System, of: str) -> list[float]:
    """Share of its teachers' gain over the reference that a student keeps, per cent, a seed each.

    Its teachers' gain is that of the ensemble of as many members by the same mean; none where the study has no such
    ensemble, or it gains nothing.
    """
    row = system.rows[0]
    alike = [
        other
        for other in found
        if other.rows[0]["kind"] == "ensemble"
        and all(value(other.rows[0], axis) == value(row, axis) for axis in ("members", "distill.mean"))
    ]
    if row["kind"] != "student" or reference.rows[0]["kind"] != "baseline" or not alike:
        return []
    if not all(each.by_seed(of) for each in (reference, alike[0])):
        return []
    start, end = (statistics.fmean(each.by_seed(of).values()) for each in (reference, alike[0]))
    return [100 * (score - start) / (end - start) for score in system.by_seed(of).values()] if end > start else []


def won_back(system: System, found: Sequence[System], of: str) -> list[float]:
    """Share of what a part of the data costs that a student of that part wins back, per cent, a seed each (table 5).

    From hard labels of the same part to those of all data, of each the baseline that is best on dev; none without them.
    """
    row = system.rows[0]
    part = value(row, "student.fraction")
    if row["kind"] != "student" or part == 1:
        return []
    baselines = [other for other in found if other.rows[0]["kind"] == "baseline" and other.by_seed(of)]
    sides = [[each for each in baselines if value(each.rows[0], "train.fraction") == size] for size in (part, 1)]
    if not all(sides):
        return []
    start, end = (statistics.fmean(best(side).by_seed(of).values()) for side in sides)
    return [100 * (score - start) / (end - start) for score in system.by_seed(of).values()] if end > start else []


def word_difference(system: System, reference: System, of: str) -> Difference | None:
    """Difference in word error rate, by bootstrap over the utterances; None where one was not decoded."""
    sides = [each.words(of) for each in (system, reference)]
    if not all(sides):
        return None
    errors = [[each["errors"] for each in side] for side in sides]
    return over_utterances(errors[0], errors[1], sides[0][0]["words"], SAMPLES, SEED)


def told(found: Difference | None, count: int | None = None) -> str:
    """A difference as a table shows it: mean, interval, p; and of how many seeds."""
    if found is None:
        return NONE
    interval = f" ({found.low:+.2f} to {found.high:+.2f})" if math.isfinite(found.low) else ""
    chance = f", p {found.p:.3f}" if interval else ""
    return f"{found.mean:+.2f}{interval}{chance}{f', n {count}' if count else ''}"


def study_table(rows: Sequence[Row], reference: str = "") -> str:
    """The table in Markdown, with what its numbers are.

    Raises:
        Refusal: no system is called as the reference.
    """
    found = systems(rows)
    against, varied = referred(found, reference), axes(rows)
    sets = [of for of in SETS if any(of in row for row in rows)]
    words = [of for of in SETS if any(of in row.get("words", {}) for row in rows)]
    trained = any(TRAINING in row for row in rows)
    sized = any(axis.startswith("dnn.") for axis in varied)
    header = ["system", *varied, *([PARAMETERS] if sized else []), "seeds"]
    header += ["training accuracy %"] if trained else []
    header += [column for of in sets for column in _titles(of, rows)]
    header += [f"WER %, {of}" for of in words]
    header += [f"accuracy − reference, {of}" for of in sets] + [f"WER − reference, {of}" for of in words]
    kept = {(system.name, of): shares(system, found, against, of) for system in found for of in sets}
    header += [f"share of gain %, {of}" for of in sets if any(kept.values())]
    won = {(system.name, of): won_back(system, found, of) for system in found for of in sets}
    header += [f"gap won back %, {of}" for of in sets if any(won.values())]
    first = best(found)
    lines = [
        [
            *(
                f"**{cell}**" if system is first and number == 0 else cell
                for number, cell in enumerate(_head(system, varied, sized))
            ),
            *([_trained(system)] if trained else []),
            *(cell for of in sets for cell in _scores(system, of, rows)),
            *(spread(system.word_error_rates(of), 2) for of in words),
            *_compared(system, against, sets, words),
            *(spread(kept[system.name, of], 0) for of in sets if any(kept.values())),
            *(spread(won[system.name, of], 0) for of in sets if any(won.values())),
        ]
        for system in found
    ]
    told_of = {AS_TRAINED: trained, WORDS_COMPARED: words, SHARE: any(kept.values()), WON_BACK: any(won.values())}
    return f"{table(header, lines)}\n{_note(against, first, ''.join(text for text, shown in told_of.items() if shown))}"


def _head(system: System, varied: Sequence[str], sized: bool) -> list[str]:
    row = system.rows[0]
    seeds = str(len(system.rows)) if row["seed"] is not None else NONE
    size = [f"{row[PARAMETERS]:,}" if PARAMETERS in row else NONE] if sized else []
    return [row["kind"], *(shown(value(row, axis)) for axis in varied), *size, seeds]


def shown(chosen: object) -> str:
    """A value of an axis for tables and legends."""
    return NONE if chosen is None else f"{chosen:g}" if type(chosen) is float else str(chosen)


def _titles(of: str, rows: Sequence[Row]) -> Iterator[str]:
    yield f"frame accuracy %, {of}"
    if _has_silence(rows):
        yield f"without silence %, {of}"
    yield f"cross-entropy, {of}"


def _has_silence(rows: Sequence[Row]) -> bool:
    """Images have none."""
    return any(row["dev"]["accuracy"] != row["dev"]["accuracy_without_silence"] for row in rows)


def _scores(system: System, of: str, rows: Sequence[Row]) -> Iterator[str]:
    shares = ("accuracy", "accuracy_without_silence") if _has_silence(rows) else ("accuracy",)
    for share in shares:
        yield spread([100 * score for score in system.scores(of, share)], 2)
    yield spread(system.scores(of, "cross_entropy"), 4)


def _trained(system: System) -> str:
    return spread([100 * row[TRAINING]["accuracy"] for row in system.rows if TRAINING in row], 2)


def _compared(system: System, against: System, sets: Sequence[str], words: Sequence[str]) -> Iterator[str]:
    if system is against:
        yield from ["reference"] * (len(sets) + len(words))
        return
    for of in sets:
        found = differences(system, against, of)
        yield told(over_seeds(found) if found else None, len(found))
    for of in words:
        yield told(word_difference(system, against, of))


def _note(against: System, first: System, columns: str) -> str:
    return (
        f"Reference: `{against.name}`. Best on dev: `{first.name}`. ±: standard deviation (n − 1) over seeds, then the"
        " range. Accuracy − reference: mean over the n seeds that both have, 95 % interval by Student's t (taken for"
        " normal), two-sided p by all flips of the signs, which n seeds cannot bring below 2^(1 − n): 0.25 for 3, 0.063"
        " for 5, 0.002 for 10. A system without seeds is compared with each seed of the other."
        f"{columns} Each comparison stands alone: of 20 one will seem real by chance. Test chooses nothing.\n"
    )
