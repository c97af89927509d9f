"""The decoding graph: lexicon and n-gram composed, determinised and minimised by kaldifst, expanded to HMM states.

L o G is made at the phone level with disambiguation symbols (#0 on back-off arcs, #1... on homophones and prefixes),
which become epsilons after determinisation and are removed before phones are expanded, while the graph is small.
"""

from __future__ import annotations

import math
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kdasr import fsa
from kdasr.fsa import FINAL, Graph, make_graph, phone_graph
from kdasr.lang.graph import expand_states
from kdasr.lang.lexicon import Lexicon
from kdasr.lang.lm import read_arpa
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
        Refusal: the n-gram's file is damaged, or has no word of the lexicon.
    """
    import kaldifst

    grammar = _grammar(lexicon, arpa)
    disambiguated, num_symbols = _disambiguate(lexicon)
    first_symbol = len(lexicon.phones) + 1
    words = _compiled(lexicon_arcs(lexicon, disambiguated, first_symbol, first_symbol + num_symbols), final=1)
    kaldifst.arcsort(words, "olabel")
    composed = kaldifst.compose(words, grammar)
    if options.determinize:
        kaldifst.determinize_star(composed, use_log=True)
        kaldifst.minimize_encoded(composed)
    phones = _without_epsilons(_graph_of(composed, first_symbol, len(lexicon.words)), len(lexicon.words))
    return expand_states(phones, tree)


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


def _grammar(lexicon: Lexicon, arpa: str | Path) -> Any:
    """G: the n-gram as an acceptor of the lexicon's words, #0 on the input of back-off arcs."""
    import kaldifst
    import kaldilm

    read_arpa(arpa)  # refuses what kaldilm would end the process at
    symbols = ["<eps>", *lexicon.words, "#0", "<s>", "</s>"]
    with tempfile.TemporaryDirectory() as folder, _silent_stderr():
        table = Path(folder) / "words.txt"
        table.write_text("".join(f"{word} {number}\n" for number, word in enumerate(symbols)), encoding="utf-8")
        text = kaldilm.arpa2fst(
            str(arpa),
            "",
            disambig_symbol="#0",
            read_symbol_table=str(table),
            max_arpa_warnings=0,
            ilabel_sort=True,
        )
    arcs = (fields for line in text.splitlines() if len(fields := line.split()) > 3)
    if not any(1 <= int(fields[3]) <= len(lexicon.words) for fields in arcs):
        raise Refusal(
            "lexicon and n-gram have no word in common", where=arpa, do="use the same spelling and case in both"
        )
    grammar = kaldifst.compile(text)
    kaldifst.arcsort(grammar, "ilabel")
    return grammar


@contextmanager
def _silent_stderr() -> Iterator[None]:
    """Lets nothing through to file descriptor 2: kaldilm's C++ tells there of every section that it reads."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def _compiled(arcs: list[Arc], final: int) -> Any:
    import kaldifst

    lines = [f"{source} {target} {phone} {word} {cost}" for source, target, phone, word, cost in sorted(arcs)]
    return kaldifst.compile("\n".join([*lines, f"{final} 0"]) + "\n")


def _graph_of(transducer: Any, first_symbol: int, num_words: int) -> Graph:
    """The arrays of a kaldifst transducer; disambiguation symbols become epsilon, costs scores; the start becomes 0.

    Args:
        transducer: its text has rows `source target phone word [cost]`, and `state [cost]` for final states; the first
            row begins with the start.
        first_symbol: smallest disambiguation symbol among the phones.
        num_words: larger word labels (#0) give out nothing.
    """
    rows = [line.split() for line in transducer.to_str().splitlines()]
    start = int(rows[0][0])
    final = 1 + max(int(state) for row in rows for state in row[: 2 if len(row) > 2 else 1])
    number = {start: 0, 0: start}
    arcs = []
    for row in rows:
        source = number.get(int(row[0]), int(row[0]))
        if len(row) <= 2:
            arcs.append((source, final, FINAL, -float(row[1]) if len(row) == 2 else 0.0, 0))
            continue
        target, phone, word = number.get(int(row[1]), int(row[1])), int(row[2]), int(row[3])
        score = -float(row[4]) if len(row) == 5 else 0.0
        arcs.append((source, target, phone if phone < first_symbol else 0, score, word if word <= num_words else 0))
    return make_graph(arcs)


def _without_epsilons(graph: Graph, num_words: int) -> Graph:
    """Removes epsilon arcs; an arc that takes over the words of epsilons beside it refers to a word sequence."""
    k2 = fsa.k2()
    removed = k2.connect(k2.remove_epsilon(fsa.fsa(graph)))
    rows: dict[tuple[int, ...], int] = {(): 0, **{(word,): word for word in range(1, num_words + 1)}}
    words = [rows.setdefault(tuple(sequence), len(rows)) for sequence in _sequences(removed.words)]
    source, target, label = removed.arcs.values().numpy()[:, :3].T
    return phone_graph(
        source, target, label, removed.scores.numpy(), np.array(words), tuple(list(rows)[num_words + 1 :])
    )


def _sequences(words: Any) -> list[list[int]]:
    """Word numbers of each arc, whether k2 made the attribute ragged or not."""
    lists = words.tolist()
    return [[word for word in (item if isinstance(item, list) else [item]) if word > 0] for item in lists]
