"""Graphs: of a transcript for alignment, of lexicon and n-gram for decoding; from phones down to HMM transitions.

At the phone level an arc's label is a phone number, then, in its context, an HMM number; at the state level it is
pdf + 1, and every arc that takes a frame carries its transition id.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from kdasr.fsa import FINAL, Graph, concatenated, join, make_graph, phone_graph, renumbered
from kdasr.lang.context import with_context
from kdasr.lang.lexicon import Lexicon
from kdasr.lang.tree import Tree
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


def alignment_graph(words: Sequence[str], lexicon: Lexicon, tree: Tree) -> Graph:
    """The state-level graph of a transcript: its phones in context, their HMMs expanded.

    Args:
        words: known words (see `Lexicon.known`), at least one.
        lexicon: pronunciations and silence.
        tree: HMMs of the phones in their contexts.

    Raises:
        Refusal: there are no words, or one is not in the lexicon.
    """
    return expand_states(with_context(transcript_graph(words, lexicon), tree), tree)


def expand_states(graph: Graph, tree: Tree) -> Graph:
    """Replaces every arc of an HMM by its states: an arc for each transition, labelled by the pdf of the state left.

    Arcs of the same HMM into the same state share its states. What differs is on the arcs out of an HMM's first state
    that leave the source of each such arc, so that no epsilon is needed: they carry its score and words and mark the
    phone's start.

    Args:
        graph: its labels are HMM numbers of the tree, of monophones the phones' own; epsilons (0) stay.
        tree: what the HMM numbers mean.

    Returns:
        The graph whose labels are pdf + 1, its states numbered without gaps.
    """
    takes = graph.label > 0
    chains = _Chains(graph.arcs(takes), tree, graph.num_states)
    return renumbered(
        concatenated([graph.arcs(~takes), chains.inside(), chains.entries()]),
        graph.num_states - 1,
    )


class _Chains:
    """The states of HMMs, once for each HMM and each state that it leads to.

    Args:
        arcs: labels are HMM numbers.
        tree: what they mean.
        first: number of the first new state.
    """

    def __init__(self, arcs: Graph, tree: Tree, first: int) -> None:
        self._arcs, self._ways, num_states = arcs, tree.ways, tree.ways.num_states
        keys = arcs.target.astype(np.int64) * len(num_states) + arcs.label
        chains, self._of_arc = np.unique(keys, return_inverse=True)
        self._end, self._hmm = np.divmod(chains, len(num_states))
        self._num_states = num_states[self._hmm]
        self._first = first + np.cumsum(self._num_states) - self._num_states

    def inside(self) -> Graph:
        """The transitions of all chains."""
        chain, way = join(self._hmm, self._ways.hmm)
        source, nothing = self._first[chain] + self._ways.state[way], np.zeros(len(chain), np.int32)
        return self._led(phone_graph(source, nothing, nothing, nothing, nothing), chain, way)

    def entries(self) -> Graph:
        """The transitions out of a chain's first state, once more from the source of each arc that enters it."""
        first = np.flatnonzero(self._ways.state == 0)
        arc, row = join(self._arcs.label, self._ways.hmm[first])
        starts = replace(self._arcs.arcs(arc), phone_start=np.ones(len(arc), np.int32))
        return self._led(starts, self._of_arc[arc], first[row])

    def _led(self, arcs: Graph, chain: np.ndarray, way: np.ndarray) -> Graph:
        """The arcs as transitions `way` in a chain, (num_arcs,) both."""
        destination, transition = self._ways.destination[way], self._ways.transition[way]
        target = np.where(
            destination == self._num_states[chain], self._end[chain], self._first[chain] + destination
        ).astype(np.int32)
        return replace(arcs, target=target, label=self._ways.pdf[way] + 1, transition=transition)
