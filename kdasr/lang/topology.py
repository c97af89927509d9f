"""HMM topology: states and transitions of every phone, and the numbering of transitions.

A transition id names (phone, state, pdf, which way out of the state). Alignments and graphs carry transition ids
because the statistics of tree, transitions and durations need more than the pdf. Ids begin at 0; a tree numbers them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from kdasr import io
from kdasr.differences import plain
from kdasr.lang.lexicon import Lexicon
from kdasr.refusal import Refusal

# destination state, initial probability; the number of states as destination is the exit
Transition = tuple[int, float]


@dataclass(frozen=True)
class TransitionTable:
    """What each transition id means, as parallel arrays of shape (num_transitions,).

    Attributes:
        phone: phone number, from 1.
        state: HMM state that is left, from 0.
        destination: HMM state that is entered; the phone's number of states at its exit.
        pdf: the state's distribution, from 0.
        probability: initial transition probability.
    """

    phone: np.ndarray
    state: np.ndarray
    destination: np.ndarray
    pdf: np.ndarray
    probability: np.ndarray

    def __len__(self) -> int:
        return len(self.phone)

    @property
    def num_pdfs(self) -> int:
        """Number of distributions."""
        return int(self.pdf.max()) + 1

    @cached_property
    def leaving(self) -> np.ndarray:
        """Number of the HMM state (phone, state and pdf together) that each transition leaves: (num_transitions,)."""
        _, group = np.unique(np.stack([self.phone, self.state, self.pdf]), axis=1, return_inverse=True)
        return np.asarray(group).reshape(-1)

    @property
    def is_self_loop(self) -> np.ndarray:
        """Whether the transition stays in its state: (num_transitions,) bool."""
        loops: np.ndarray = self.state == self.destination
        return loops

    @cached_property
    def of_state(self) -> dict[tuple[int, int, int], list[int]]:
        """(phone, state, pdf) -> the transition ids that leave it."""
        found: dict[tuple[int, int, int], list[int]] = {}
        for id, key in enumerate(zip(self.phone.tolist(), self.state.tolist(), self.pdf.tolist(), strict=True)):
            found.setdefault(key, []).append(id)
        return found


@dataclass(frozen=True)
class Topology:
    """The HMMs of a lexicon's phones.

    Attributes:
        phones: names; a phone's number is its place, from 1.
        silence_phones: those with silence's topology.
        states: for every phone its states, each a list of (destination, probability).
    """

    phones: tuple[str, ...]
    silence_phones: tuple[str, ...]
    states: tuple[tuple[tuple[Transition, ...], ...], ...]

    @cached_property
    def fingerprint(self) -> str:
        """Hash of the topology; alignments, models and graphs that belong together carry the same."""
        return hashlib.sha256(json.dumps(plain(self)).encode()).hexdigest()[:16]

    @cached_property
    def silence_numbers(self) -> tuple[int, ...]:
        """Numbers of the silence phones."""
        return tuple(self.phones.index(phone) + 1 for phone in self.silence_phones)

    def num_states(self, phone: int) -> int:
        """Emitting states of phone number `phone`."""
        return len(self.states[phone - 1])

    def minimum_frames(self, phone: int) -> int:
        """Fewest frames that the phone can take: the shortest way through its states."""
        states, frames, reached = self.states[phone - 1], 0, {0}
        while len(states) not in reached:
            reached = {destination for state in reached for destination, _ in states[state]}
            frames += 1
        return frames

    def write(self, path: str | Path) -> None:
        """Writes the topology as JSON."""
        io.write_json(path, self)


def make_topology(lexicon: Lexicon) -> Topology:
    """Left-to-right HMMs for speech, Kaldi's ergodic one for silence and noise phones."""
    options = lexicon.options
    silence, speech = silence_states(options.silence_states), left_to_right(options.states)
    kinds = tuple(silence if phone in lexicon.silence_phones else speech for phone in lexicon.phones)
    return Topology(tuple(lexicon.phones), lexicon.silence_phones, kinds)


def left_to_right(num_states: int) -> tuple[tuple[Transition, ...], ...]:
    """Each state loops (0.75) or goes on (0.25), as in Kaldi."""
    return tuple(((state, 0.75), (state + 1, 0.25)) for state in range(num_states))


def silence_states(num_states: int) -> tuple[tuple[Transition, ...], ...]:
    """First state, ergodic middle, last state: for 5 states Kaldi's silence topology."""
    last = num_states - 1
    if num_states == 2:
        return (((0, 0.5), (1, 0.5)), ((1, 0.75), (2, 0.25)))
    share = 1 / last
    first = tuple((destination, share) for destination in range(last))
    middle = tuple(tuple((destination, share) for destination in range(1, num_states)) for _ in range(1, last))
    return (first, *middle, ((last, 0.75), (num_states, 0.25)))


def read_topology(path: str | Path) -> Topology:
    """Reads what `Topology.write` wrote. Raises Refusal if the file is absent, damaged or no topology."""
    record = io.read_json(path)
    try:
        states = tuple(
            tuple(tuple((int(to), float(share)) for to, share in state) for state in phone)
            for phone in record["states"]
        )
        return Topology(tuple(record["phones"]), tuple(record["silence_phones"]), states)
    except (KeyError, TypeError, ValueError) as error:
        raise Refusal("not a topology", where=path, found=repr(error), do=io.AGAIN) from None


def equal_alignment(
    phones: Sequence[int], table: TransitionTable, topology: Topology, num_frames: int
) -> np.ndarray | None:
    """The flat start: the frames shared out equally over the states of a phone sequence, in order.

    Args:
        phones: phone numbers, from 1.
        table: numbering of transitions.
        topology: states of the phones.
        num_frames: frames to share out.

    Returns:
        Transition ids `(num_frames,)`, or None when there are fewer frames than states.
    """
    states = [(phone, state) for phone in phones for state in range(topology.num_states(phone))]
    if num_frames < len(states):
        return None
    edges = np.linspace(0, num_frames, len(states) + 1).round().astype(int)
    ids = {
        (int(p), int(s), int(d)): i
        for i, (p, s, d) in enumerate(zip(table.phone, table.state, table.destination, strict=True))
    }
    alignment = np.empty(num_frames, dtype=np.int32)
    for (phone, state), begin, end in zip(states, edges[:-1], edges[1:], strict=True):
        alignment[begin : end - 1] = ids.get((phone, state, state), -1)
        alignment[end - 1] = ids[phone, state, state + 1]
    return alignment
