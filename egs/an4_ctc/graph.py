"""The decoding graph of word pieces: k2's CTC topology, composed with lexicon and n-gram."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import kaldifst
import numpy as np
from sentencepiece import SentencePieceProcessor

from kdasr import fsa
from kdasr.lang.grammar import grammar
from kdasr.lang.lexicon import Lexicon
from kdasr.lang.transducer import Transducer


def piece_lexicon(words: Sequence[str], pieces: SentencePieceProcessor) -> Lexicon:
    """Words with their pieces for pronunciations."""
    return Lexicon({word: [tuple(pieces.encode(word, out_type=str))] for word in words})


def ctc_graph(lexicon: Lexicon, pieces: SentencePieceProcessor, arpa: Path) -> Any:
    """H o L o G, a k2 Fsa of labels 0 (blank) to the last piece; its `words` are numbers of the lexicon's words."""
    num_pieces, back_off = pieces.get_piece_size(), len(lexicon.words) + 1
    spelled = _transducer(lexicon, pieces, back_off)
    kaldifst.arcsort(spelled, "olabel")
    composed = kaldifst.compose(spelled, grammar(lexicon, arpa))
    kaldifst.determinize_star(composed, use_log=True)
    kaldifst.minimize_encoded(composed)
    k2 = fsa.k2()
    words = k2.arc_sort(_acceptor(Transducer.of(composed), num_pieces, back_off))
    words = k2.arc_sort(k2.connect(k2.remove_epsilon(words)))
    words.aux_labels = words.aux_labels.remove_values_eq(0)  # an epsilon would take a place of its own
    graph = k2.compose(k2.ctc_topo(num_pieces - 1), words)
    return k2.arc_sort(k2.connect(graph))


def _transducer(lexicon: Lexicon, pieces: SentencePieceProcessor, back_off: int) -> Any:
    """L: a loop of words. A word of which another one goes on ends in a symbol of its own, so L o G determinises."""
    spellings = {word: pieces.encode(word) for word in lexicon.words}
    begun = {tuple(row[:end]) for row in spellings.values() for end in range(1, len(row))}
    symbol = pieces.get_piece_size()  # of back-off; the one after it ends words
    lines, states = [f"0 0 {symbol} {back_off}"], 1
    for word, row in spellings.items():
        labels = [*row, symbol + 1] if tuple(row) in begun else row
        at, number = 0, lexicon.word_ids[word]
        for place, label in enumerate(labels, 1):
            target = 0 if place == len(labels) else states
            lines.append(f"{at} {target} {label} {number}")
            at, number, states = target, 0, states + (target != 0)
    return kaldifst.compile("\n".join([*lines, "0"]) + "\n")


def _acceptor(found: Transducer, num_pieces: int, back_off: int) -> Any:
    """A transducer in k2, symbols that nothing speaks become epsilons."""
    arcs = found.arcs
    labels = np.where(arcs["label"] < num_pieces, arcs["label"], 0)
    words = np.where(arcs["word"] < back_off, arcs["word"], 0)
    final, last = np.flatnonzero(np.isfinite(found.final)), len(found.final)
    numbers = np.arange(last + 1)
    numbers[[0, found.start]] = found.start, 0  # k2 begins at state 0
    rows = [*zip(numbers[found.source], numbers[arcs["target"]], labels, words, -arcs["cost"], strict=True)]
    rows += [(numbers[state], last, -1, -1, -found.final[state]) for state in final]
    lines = [f"{source} {target} {label} {word} {score}" for source, target, label, word, score in sorted(rows)]
    return fsa.k2().Fsa.from_str("\n".join([*lines, str(last)]), num_aux_labels=1)
