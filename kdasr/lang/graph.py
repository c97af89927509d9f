"""Graphs: of a transcript for alignment, of lexicon and n-gram for decoding; from phones down to HMM transitions.

At the phone level an arc's label is a phone number; at the state level it is pdf + 1, and every arc that takes a frame
carries its transition id.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from kdasr.fsa import ARRAYS, FINAL, Graph, make_graph
from kdasr.lang.lexicon import Lexicon
from kdasr.lang.topology import Topology, TransitionTable
from kdasr.refusal import Refusal


def transcript_graph(words: Sequence[str], lexicon: Lexicon) -> Graph:
    """The phone-level graph of a transcript: pronunciation variants, optional silence around every word.

    Args:
        words: known words (see `Lexicon.known`), at least one.
        lexicon: pronunciations and silence.

    Returns:
        An epsilon-free graph; words stand on the first phone of their pronunciations.

    Raises:
        Refusal: there are no words, or one is not in the lexicon.
    """
    if not words:
        raise Refusal("a transcript without words cannot be aligned", do="take the utterance out of the cuts")
    silent = math.log(lexicon.options.silence_probability)
    spoken = math.log(1 - lexicon.options.silence_probability)
    silence = lexicon.phone_ids[lexicon.options.silence_phone]
    arcs: list[tuple[int, int, int, float, int]] = [(0, 1, silence, silent, 0)]
    sources, num_states = {0: spoken, 1: 0.0}, 2  # where a word may begin -> score of beginning there
    for word in words:
        if word not in lexicon.word_ids:
            raise Refusal(f"the word {word!r} is not in the lexicon", do="replace it by Lexicon.known")
        number, after, pause = lexicon.word_ids[word], num_states, num_states + 1
        num_states += 2
        for variant in lexicon.pronunciations[word]:
            phones = [lexicon.phone_ids[phone] for phone in variant]
            chain = list(range(num_states, num_states + len(phones) - 1))
            num_states += len(chain)
            ends = {after: spoken, pause: silent}
            for position, phone in enumerate(phones):
                starts = sources if position == 0 else {chain[position - 1]: 0.0}
                stops = ends if position == len(phones) - 1 else {chain[position]: 0.0}
                label = number if position == 0 else 0
                arcs += [(s, t, phone, a + b, label) for s, a in starts.items() for t, b in stops.items()]
        arcs.append((pause, after, silence, 0.0, 0))
        sources = {after: 0.0}
    arcs.append((after, num_states, FINAL, 0.0, 0))
    return make_graph(arcs)


def expand_states(graph: Graph, topology: Topology, table: TransitionTable) -> Graph:
    """Replaces every phone arc by the phone's HMM: an arc for each transition, labelled by the pdf of the state left.

    The arcs out of a phone's first state also leave the phone arc's source, so that no epsilon is needed; they carry
    score and words and mark the phone's start.
    """
    sizes = np.array([0, *(len(states) for states in topology.states)])
    final = graph.label == FINAL
    inner = np.where(final, 0, sizes[graph.label])
    base = graph.num_states + np.cumsum(inner) - inner
    pieces = [_columns(graph, final, graph.source, graph.target, FINAL, -1, entry=True)]
    for phone in np.unique(graph.label[~final]):
        chosen = graph.label == phone
        for transition in table.of_phone[int(phone)].tolist():
            state, destination = int(table.state[transition]), int(table.destination[transition])
            target = graph.target if destination == sizes[phone] else base + destination
            label = int(table.pdf[transition]) + 1
            pieces.append(_columns(graph, chosen, base + state, target, label, transition, entry=False))
            if state == 0:
                pieces.append(_columns(graph, chosen, graph.source, target, label, transition, entry=True))
    arrays = {name: np.concatenate([piece[name] for piece in pieces]) for name in ARRAYS}
    return _renumbered(Graph(**arrays, word_sequences=graph.word_sequences), graph.num_states - 1)


def _columns(
    graph: Graph,
    chosen: np.ndarray,
    source: np.ndarray,
    target: np.ndarray,
    label: int,
    transition: int,
    entry: bool,
) -> dict[str, np.ndarray]:
    """The arcs that stand for one transition in all chosen phone arcs; only entries carry score, words, phone start."""
    size = int(chosen.sum())
    return {
        "source": source[chosen].astype(np.int32),
        "target": target[chosen].astype(np.int32),
        "label": np.full(size, label, np.int32),
        "score": graph.score[chosen] if entry else np.zeros(size, np.float32),
        "words": graph.words[chosen] if entry else np.zeros(size, np.int32),
        "transition": np.full(size, transition, np.int32),
        "phone_start": np.full(size, entry and label != FINAL, np.int32),
    }


def _renumbered(graph: Graph, final: int) -> Graph:
    """Arcs sorted by source, states numbered without gaps, the start 0 and the final state last."""
    used = np.union1d(graph.source, graph.target)
    order = np.concatenate([used[used != final], [final]])
    numbers = np.zeros(used.max() + 1, np.int32)
    numbers[order] = np.arange(len(order))
    source, target = numbers[graph.source], numbers[graph.target]
    rows = np.lexsort((graph.label, source))  # k2 wants arcs sorted by label within a state
    arrays = {name: getattr(graph, name)[rows] for name in ARRAYS}
    return replace(graph, **{**arrays, "source": source[rows], "target": target[rows]})
