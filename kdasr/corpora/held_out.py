"""Whole speakers held out of a training set for development, by a rule that needs no list."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable


def choose(women: Iterable[str], men: Iterable[str], count: int, person: Callable[[str], str] = str) -> list[str]:
    """The speakers held out.

    Each sex gives its share of `count`: its persons are sorted by the SHA-256 of their names, and the first are taken,
    all speakers of a person together, as long as they fit.

    Args:
        women: names of female speakers.
        men: of male speakers, or of all where the sex is not known.
        count: speakers wanted in all.
        person: name of the person of a speaker; several speakers may be one person.
    """
    women, men = list(women), list(men)
    share = round(count * len(women) / max(1, len(women) + len(men)))
    return sorted(_first_by_hash(women, share, person) + _first_by_hash(men, count - share, person))


def _first_by_hash(speakers: Iterable[str], count: int, person: Callable[[str], str]) -> list[str]:
    persons = defaultdict(list)
    for speaker in sorted(speakers):
        persons[person(speaker)].append(speaker)
    taken: list[str] = []
    for name in sorted(persons, key=lambda name: hashlib.sha256(name.encode()).digest()):
        taken += persons[name] if len(taken) + len(persons[name]) <= count else []
    return taken
