"""State tying: a phonetic decision tree tells the pdf of each HMM state of a phone from the phones beside it.

A window is a phone with its context, as phone numbers: (left, phone, right) of triphones, (left, phone) of left
biphones, (phone,) of monophones; 0 stands where no phone is. Graphs carry HMM numbers in place of phone numbers: an HMM
is a phone with the pdfs of its states, and many windows share one. Of monophones both numbers are the same.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from kdasr import io
from kdasr.lang.topology import Topology, TransitionTable
from kdasr.refusal import Refusal

Window = tuple[int, ...]
STATE = "state"
PLACES = {1: ("phone",), 2: ("left", "phone"), 3: ("left", "phone", "right")}  # of a window, by its width


@dataclass(frozen=True)
class Leaf:
    """An end of the tree: a pdf, from 0."""

    pdf: int


@dataclass(frozen=True)
class Split:
    """A question and its two answers.

    Attributes:
        ask: a place of the window, `left`, `phone` or `right`, or `state`.
        members: phone numbers (0: no phone), or states, that are answered yes.
        yes: node for these.
        no: node for all others.
    """

    ask: str
    members: frozenset[int]
    yes: Node
    no: Node


Node = Leaf | Split


@dataclass(frozen=True)
class Hmm:
    """A phone with the pdf of each of its states."""

    phone: int
    pdfs: tuple[int, ...]


@dataclass(frozen=True)
class HmmWays:
    """The transitions of all HMMs as int32 columns (num_ways,), one HMM after the other.

    Attributes:
        num_states: of each HMM by its number, (num_hmms + 1,); 0 is no HMM.
        hmm: number of the HMM.
        state: HMM state that is left, from 0.
        destination: HMM state that is entered; the HMM's number of states at its exit.
        pdf: of the state that is left.
        transition: transition id.
    """

    num_states: np.ndarray
    hmm: np.ndarray
    state: np.ndarray
    destination: np.ndarray
    pdf: np.ndarray
    transition: np.ndarray


@dataclass(frozen=True)
class Tree:
    """The pdfs of all windows.

    Attributes:
        topology: HMM states of the phones.
        width: phones of a window, 1 to 3.
        roots: phones that share a root, and its node; every phone has one.
    """

    topology: Topology
    width: int
    roots: tuple[tuple[frozenset[int], Node], ...]

    @classmethod
    def monophone(cls, topology: Topology) -> Tree:
        """Each state of each phone has a pdf of its own."""
        roots, pdf = [], 0
        for phone in range(1, len(topology.phones) + 1):
            last = pdf + topology.num_states(phone) - 1
            node: Node = Leaf(last)
            for state in reversed(range(topology.num_states(phone) - 1)):
                node = Split(STATE, frozenset([state]), Leaf(pdf + state), node)
            roots.append((frozenset([phone]), node))
            pdf = last + 1
        return cls(topology, 1, tuple(roots))

    @property
    def central(self) -> int:
        """Place of the phone itself in a window."""
        return self.width // 2

    def pdfs(self, window: Window) -> tuple[int, ...]:
        """The pdf of each state of the window's phone."""
        phone, places = window[self.central], PLACES[self.width]
        asked = dict(zip(places, window, strict=True))
        return tuple(
            _descend(self._root[phone], asked | {STATE: state}) for state in range(self.topology.num_states(phone))
        )

    @cached_property
    def _root(self) -> dict[int, Node]:
        return {phone: node for phones, node in self.roots for phone in phones}

    @cached_property
    def num_pdfs(self) -> int:
        """Number of leaves."""
        return 1 + max(leaf.pdf for _, node in self.roots for leaf in leaves(node))

    @cached_property
    def table(self) -> TransitionTable:
        """What the transition ids mean: in order of phone, state, pdf and the topology's ways out."""
        rows = [
            (phone, state, destination, pdf, probability)
            for phone, states in enumerate(self.topology.states, start=1)
            for state, ways in enumerate(states)
            for pdf in sorted({leaf.pdf for leaf in leaves(self._root[phone], {STATE: state, "phone": phone})})
            for destination, probability in ways
        ]
        return TransitionTable(*(np.array(column) for column in zip(*rows, strict=True)))

    @cached_property
    def hmm_numbers(self) -> dict[Window, int]:
        """Every window -> the number of its HMM, from 1."""
        numbers = {hmm: number for number, hmm in enumerate(self.hmms, start=1)}
        return {window: numbers[hmm] for window, hmm in self._hmm_of.items()}

    @cached_property
    def hmms(self) -> tuple[Hmm, ...]:
        """All HMMs, in order of phone and pdfs; HMM number n is entry n - 1."""
        return tuple(sorted(set(self._hmm_of.values()), key=lambda hmm: (hmm.phone, hmm.pdfs)))

    @cached_property
    def ways(self) -> HmmWays:
        """The transitions of all HMMs."""
        destination, rows = self.table.destination.tolist(), []
        for number, hmm in enumerate(self.hmms, start=1):
            for state, pdf in enumerate(hmm.pdfs):
                rows += [(number, state, destination[id], pdf, id) for id in self.table.of_state[hmm.phone, state, pdf]]
        columns = np.ascontiguousarray(np.array(rows, np.int32).T)
        return HmmWays(np.array([0, *(len(hmm.pdfs) for hmm in self.hmms)], np.int32), *columns)

    @cached_property
    def _hmm_of(self) -> dict[Window, Hmm]:
        return {window: Hmm(window[self.central], self.pdfs(window)) for window in self.windows()}

    def windows(self) -> Iterator[Window]:
        """Every window: no phone (0) may stand beside a phone, not in its place."""
        phones = range(1, len(self.topology.phones) + 1)
        sides = [0, *phones]
        return itertools.product(*(phones if place == "phone" else sides for place in PLACES[self.width]))

    @cached_property
    def fingerprint(self) -> str:
        """Hash of topology and tree, of monophones the topology's: what belongs together carries the same."""
        if self.width == 1 and self.roots == Tree.monophone(self.topology).roots:
            return self.topology.fingerprint
        return hashlib.sha256(json.dumps([self.topology.fingerprint, self.record()]).encode()).hexdigest()[:16]

    def pdf_names(self) -> list[str]:
        """A name for each pdf, `AH.1`: a phone of it and the state; of tied ones also the pdf, `AH.1.204`."""
        names = [""] * self.num_pdfs
        for phone, state, pdf in zip(self.table.phone, self.table.state, self.table.pdf, strict=True):
            names[pdf] = f"{self.topology.phones[phone - 1]}.{state}" + (f".{pdf}" if self.width > 1 else "")
        return names

    def silence_pdfs(self) -> list[int]:
        """The pdfs of silence phones."""
        phones = self.topology.phones
        silent = np.isin(self.table.phone, [phones.index(phone) + 1 for phone in self.topology.silence_phones])
        return [int(pdf) for pdf in np.unique(self.table.pdf[silent])]

    def record(self) -> dict[str, Any]:
        """The tree as JSON types; phones by name, `-` where no phone is."""
        names = ["-", *self.topology.phones]

        def node_record(node: Node) -> dict[str, Any]:
            if isinstance(node, Leaf):
                return {"pdf": node.pdf}
            members = sorted(node.members)
            said = members if node.ask == STATE else [names[member] for member in members]
            return {"ask": node.ask, "in": said, "yes": node_record(node.yes), "no": node_record(node.no)}

        roots = [
            {"phones": [names[phone] for phone in sorted(phones)], "node": node_record(node)}
            for phones, node in self.roots
        ]
        return {"width": self.width, "roots": roots}

    def write(self, path: str | Path) -> None:
        """Writes the tree as JSON."""
        io.write_json(path, self.record())


def leaves(node: Node, answers: dict[str, int] | None = None) -> Iterator[Leaf]:
    """The leaves below a node; with answers, such as {"state": 1}, those that they leave open."""
    if isinstance(node, Leaf):
        yield node
    elif answers and node.ask in answers:
        yield from leaves(node.yes if answers[node.ask] in node.members else node.no, answers)
    else:
        yield from leaves(node.yes, answers)
        yield from leaves(node.no, answers)


def read_tree(path: str | Path, topology: Topology) -> Tree:
    """Reads what `Tree.write` wrote. Raises Refusal if the file is absent, damaged or no tree of these phones."""
    record = io.read_json(path)
    numbers = {name: number for number, name in enumerate(["-", *topology.phones])}

    def node_of(record: dict[str, Any]) -> Node:
        if "pdf" in record:
            return Leaf(int(record["pdf"]))
        ask, said = record["ask"], record["in"]
        if ask not in (STATE, *PLACES[width]):
            raise KeyError(ask)
        members = frozenset(int(member) if ask == STATE else numbers[member] for member in said)
        return Split(ask, members, node_of(record["yes"]), node_of(record["no"]))

    try:
        width = int(record["width"])
        roots = tuple(
            (frozenset(numbers[name] for name in root["phones"]), node_of(root["node"])) for root in record["roots"]
        )
    except (KeyError, TypeError, ValueError) as error:
        raise Refusal("not a tree of these phones", where=path, found=repr(error), do=io.AGAIN) from None
    covered = sorted(phone for phones, _ in roots for phone in phones)
    if covered != list(range(1, len(topology.phones) + 1)):
        raise Refusal(
            "a tree of other phones",
            where=path,
            expected=f"a root for each of {len(topology.phones)} phones",
            found=f"roots for {len(covered)}",
            do=io.AGAIN,
        )
    return Tree(topology, width, roots)


def _descend(node: Node, asked: dict[str, int]) -> int:
    while isinstance(node, Split):
        node = node.yes if asked[node.ask] in node.members else node.no
    return node.pdf
