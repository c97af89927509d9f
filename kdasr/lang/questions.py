"""Questions of a tree: sets of phones that may stand beside a phone, clustered by their sound or given in a file."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from kdasr import io
from kdasr.lang.clustering import divisions
from kdasr.lang.statistics import ContextStatistics, pooled
from kdasr.lang.topology import Topology
from kdasr.lang.tree import PLACES, STATE
from kdasr.refusal import Refusal, unknown_name

Phones = frozenset[int]  # numbers; 0: no phone
Question = tuple[
    str, frozenset[int]
]  # as in a Split: what is asked for, a place or the state, and what is answered yes


def questions(topology: Topology, width: int, beside: list[Phones]) -> list[Question]:
    """What a tree may ask: for each neighbour the sets `beside` and those of silence, for the state the first ones."""
    sets = dict.fromkeys([*beside, *silence_sets(topology)])
    places = [place for place in PLACES[width] if place != "phone"]
    states = [frozenset(range(count)) for count in range(1, max(map(len, topology.states)))]
    return [*((place, phones) for place in places for phones in sets), *((STATE, first) for first in states)]


def phone_clusters(statistics: ContextStatistics, topology: Topology, variance_floor: float) -> list[Phones]:
    """Sets of phones that sound alike in the middle state, from all that were seen down to each by itself.

    Divided from the top down, as Kaldi's cluster-phones does. Merging from the bottom up was tried: it puts rare phones
    together for want of frames, and trees of the same size fit a development set less well (AN4, 300 leaves: by 0.02 of
    log-likelihood per frame).
    """
    middle = np.array([0, *(len(states) // 2 for states in topology.states)])
    phones = statistics.windows[:, statistics.windows.shape[1] // 2]
    rows = statistics.states == middle[phones]
    seen, group = np.unique(phones[rows], return_inverse=True)
    sums = pooled(statistics.sums[rows], group.reshape(-1), len(seen))
    return [frozenset(seen[cluster].tolist()) for cluster in divisions(sums, variance_floor)]


def silence_sets(topology: Topology) -> list[Phones]:
    """No phone, each silence phone, and all of these together."""
    numbers = (0, *topology.silence_numbers)
    return [*(frozenset([number]) for number in numbers), frozenset(numbers)]


def read_questions(path: str | Path, topology: Topology) -> list[Phones]:
    """Reads a text file with a question a line, phones separated by spaces; `-` is said where no phone stands.

    Raises:
        Refusal: the file is absent, no text or without a question, or names an unknown phone.
    """
    numbers = {name: number for number, name in enumerate(["-", *topology.phones])}
    text = io.read_text(path, "file of questions", "name a file of `PHONE PHONE ...` lines")
    sets = []
    for line, phones in enumerate(map(str.split, text.splitlines()), start=1):
        for phone in phones:
            if phone not in numbers:
                raise unknown_name("phone", phone, numbers, f"{path}:{line}")
        sets += [frozenset(numbers[phone] for phone in phones)] if phones else []
    if not sets:
        raise Refusal("no questions", where=path, expected="`PHONE PHONE ...` lines")
    return sets
