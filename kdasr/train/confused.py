"""Which classes a model takes for which: how often each is found where another is right."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from torch import Tensor

KEPT = 100  # pairs kept of a model, the most frequent ones
GROUPED = 100  # groups at most whose whole matrix is kept


def group(name: str) -> str:
    """The group of a class by its name: the phone of a state, `AH` of `AH.1.204`; else the class itself."""
    return name.partition(".")[0] or name


@dataclass(frozen=True)
class Confused:
    """What a model confused on a set.

    Attributes:
        groups: names of the groups of classes, in the classes' order; empty where there are more than `GROUPED`.
        matrix: frames by right group (row) and found group (column).
        pairs: right class, found class, frames, and all frames of the right one; the most frequent first; none of two
            background classes, which would outnumber all others.
        wrong: frames that were taken for another class.
    """

    groups: tuple[str, ...]
    matrix: tuple[tuple[int, ...], ...]
    pairs: tuple[tuple[str, str, int, int], ...]
    wrong: int

    def as_json(self) -> dict[str, Any]:
        """The record as JSON types."""
        return asdict(self)

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> Confused:
        """What `as_json` gave, read back."""
        rows, pairs = ((tuple(row) for row in record[name]) for name in ("matrix", "pairs"))
        return cls(tuple(record["groups"]), tuple(rows), tuple(pairs), record["wrong"])


class Pairs:
    """Counts pairs of right and found class batch by batch; memory grows with the pairs that occur, not with S x S."""

    def __init__(self) -> None:
        self.counts: Counter[tuple[int, int]] = Counter()

    def add(self, right: Tensor, found: Tensor) -> None:
        """Adds a batch: (B,) right and (B,) found classes, of an integer type, on any device."""
        self.counts.update(zip(right.tolist(), found.tolist(), strict=True))

    def named(self, names: Sequence[str], background: Collection[int] = ()) -> Confused:
        """What was counted, by the names of the classes (S); some of them are background."""
        wrong = {pair: count for pair, count in self.counts.items() if pair[0] != pair[1]}
        frames: Counter[int] = Counter()
        for (right, _), count in self.counts.items():
            frames[right] += count
        silent = set(background)
        told = (pair for pair in wrong if not silent.issuperset(pair))
        most = sorted(told, key=lambda pair: (-wrong[pair], pair))[:KEPT]
        pairs = ((names[right], names[found], wrong[right, found], frames[right]) for right, found in most)
        groups, matrix = self._by_group(names)
        return Confused(groups, matrix, tuple(pairs), sum(wrong.values()))

    def _by_group(self, names: Sequence[str]) -> tuple[tuple[str, ...], tuple[tuple[int, ...], ...]]:
        number = {name: place for place, name in enumerate(dict.fromkeys(map(group, names)))}
        if len(number) > GROUPED:
            return (), ()
        of_class = [number[group(name)] for name in names]
        rows = [[0] * len(number) for _ in number]
        for (right, found), count in self.counts.items():
            rows[of_class[right]][of_class[found]] += count
        return tuple(number), tuple(map(tuple, rows))
