"""The decoding graph: lexicon and n-gram composed, in context, determinised, minimised, expanded to HMM states.

L o G is made of phones, with disambiguation symbols (#0 on back-off arcs, #1... on homophones and prefixes) that keep
it determinisable; it is determinised before its context is composed and again when windows have become HMMs, and
minimised then: to do so before, too, takes as long and changes nothing. The symbols become epsilons and are removed
last, where only the arcs out of the last state of an HMM are multiplied.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kdasr.fsa import FINAL, Graph, phone_graph
from kdasr.lang.context import compose_context
from kdasr.lang.epsilons import without_epsilons
from kdasr.lang.grammar import grammar
from kdasr.lang.graph import expand_states
from kdasr.lang.lexicon import Lexicon
from kdasr.lang.transducer import Transducer
from kdasr.lang.tree import Tree
from kdasr.refusal import Refusal

Arc = tuple[int, int, int, int, float]  # source, target, phone, word, cost


@dataclass(frozen=True)
class GraphOptions:
    """Options of the decoding graph.

    Attributes:
        determinize: merge common beginnings of words (a lexicon tree); off only to test that it changes no best path.
        transition_scale: of transition log-probabilities (Kaldi's: 1).
        self_loop_scale: of staying in a state against leaving it (Kaldi's: 0.1).
    """

    determinize: bool = True
    transition_scale: float = 1.0
    self_loop_scale: float = 0.1


def decoding_graph(lexicon: Lexicon, arpa: str | Path, tree: Tree, options: GraphOptions) -> Graph:
    """The state-level decoding graph of a lexicon and an ARPA n-gram.

    Args:
        lexicon: pronunciations; words that the n-gram lacks cannot be decoded.
        arpa: n-gram file.
        tree: HMMs of the phones, and their pdfs.
        options: see there.

    Raises:
        Refusal: the n-gram's file is damaged, or has no word of the lexicon or no sentence of its words.
    """
    hmms = _hmm_graph(lexicon, arpa, tree, options.determinize)
    return without_epsilons(expand_states(hmms, tree), len(lexicon.words))


def _hmm_graph(lexicon: Lexicon, arpa: str | Path, tree: Tree, determinize: bool) -> Graph:
    """Lexicon and n-gram composed and in context: labels are HMM numbers, disambiguation symbols epsilons."""
    import kaldifst

    disambiguated, num_symbols = _disambiguate(lexicon)
    first_symbol = len(lexicon.phones) + 1
    words = _compiled(lexicon_arcs(lexicon, disambiguated, first_symbol, first_symbol + num_symbols), final=1)
    kaldifst.arcsort(words, "olabel")
    composed = kaldifst.compose(words, grammar(lexicon, arpa))
    if composed.start < 0:
        do = "check the probabilities of </s> and of the words"
        raise Refusal("the n-gram has no sentence of the lexicon's words", where=arpa, do=do)
    if determinize:
        kaldifst.determinize_star(composed, use_log=True)
    composed = compose_context(composed, tree, num_symbols + 1)
    if determinize:
        if tree.width > 1:
            kaldifst.determinize_star(composed, use_log=True)
        kaldifst.minimize_encoded(composed)
    return _graph_of(composed, len(tree.hmms), len(lexicon.words))


def lexicon_arcs(
    lexicon: Lexicon, disambiguated: list[tuple[str, list[int]]], symbol_0: int, silence_symbol: int
) -> list[Arc]:
    """Arcs of L with optional silence, as Kaldi builds it.

    States: 0 start, 1 between words (final), 2 silence to come after a word, 3 after silence.

    Args:
        lexicon: phones, words, silence.
        disambiguated: (word, phone and disambiguation labels) of each pronunciation.
        symbol_0: label of #0, which passes the n-gram's back-off arcs.
        silence_symbol: label of the disambiguation symbol after optional silence.
    """
    silent = -math.log(lexicon.options.silence_probability)
    spoken = -math.log(1 - lexicon.options.silence_probability)
    silence = lexicon.phone_ids[lexicon.options.silence_phone]
    arcs: list[Arc] = [
        (0, 1, 0, 0, spoken),
        (0, 3, silence, 0, silent),
        (2, 3, silence, 0, 0.0),
        (3, 1, silence_symbol, 0, 0.0),
    ]
    arcs.append((1, 1, symbol_0, len(lexicon.words) + 1, 0.0))
    num_states = 4
    for word, labels in disambiguated:
        source, number = 1, lexicon.word_ids[word]
        for label in labels[:-1]:
            arcs.append((source, num_states, label, number, 0.0))
            source, number, num_states = num_states, 0, num_states + 1
        arcs += [(source, 1, labels[-1], number, spoken), (source, 2, labels[-1], number, silent)]
    return arcs


def _disambiguate(lexicon: Lexicon) -> tuple[list[tuple[str, list[int]]], int]:
    """Labels of all pronunciations, made unlike each other and no prefix of another; and how many symbols that took."""
    entries = [(word, variant) for word in lexicon.words for variant in lexicon.pronunciations[word]]
    uses = Counter(variant for _, variant in entries)
    prefixes = {variant[:length] for variant in uses for length in range(1, len(variant))}
    taken: Counter[tuple[str, ...]] = Counter()
    result, first = [], len(lexicon.phones) + 1
    for word, variant in entries:
        labels = [lexicon.phone_ids[phone] for phone in variant]
        if uses[variant] > 1 or variant in prefixes:
            taken[variant] += 1
            labels.append(first + taken[variant])
        result.append((word, labels))
    return result, max(taken.values(), default=0) + 1


def _compiled(arcs: list[Arc], final: int) -> Any:
    import kaldifst

    lines = [f"{source} {target} {phone} {word} {cost}" for source, target, phone, word, cost in sorted(arcs)]
    return kaldifst.compile("\n".join([*lines, f"{final} 0"]) + "\n")


def _graph_of(transducer: Any, num_hmms: int, num_words: int) -> Graph:
    """The arrays of a kaldifst transducer; disambiguation symbols become epsilons, costs scores; the start becomes 0.

    Args:
        transducer: has a start.
        num_hmms: larger labels are disambiguation symbols.
        num_words: larger word labels (#0) give out nothing.
    """
    found = Transducer.of(transducer)
    arcs, final, ends = found.arcs, len(found.final), np.flatnonzero(np.isfinite(found.final))
    numbers = np.arange(final + 1)
    numbers[[0, found.start]] = found.start, 0
    source, nothing = numbers[np.append(found.source, ends)], np.zeros_like(ends)
    order = np.argsort(source, kind="stable")
    target = numbers[np.append(arcs["target"], nothing + final)]
    label = np.append(np.where(arcs["label"] <= num_hmms, arcs["label"], 0), nothing + FINAL)
    score = -np.append(arcs["cost"], found.final[ends])
    words = np.append(np.where(arcs["word"] <= num_words, arcs["word"], 0), nothing)
    return phone_graph(source[order], target[order], label[order], score[order], words[order])
