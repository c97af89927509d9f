"""The grammar of a decoding graph: an ARPA n-gram as an acceptor of the lexicon's words."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from kdasr import log
from kdasr.lang.lexicon import Lexicon
from kdasr.lang.lm import read_arpa, unigrams
from kdasr.lang.transducer import Transducer
from kdasr.refusal import Refusal

NAMED = 10  # words outside the lexicon that the log names


def grammar(lexicon: Lexicon, arpa: str | Path) -> Any:
    """G: labels are word numbers, the number after the last word is #0, which back-off arcs read and nothing speaks.

    Args:
        lexicon: n-grams of other words are left out, those words counted in the log.
        arpa: n-gram file, unpacked where its name ends in `.gz`.

    Raises:
        Refusal: the file is damaged, or has no word of the lexicon.
    """
    import kaldifst
    import kaldilm

    text = read_arpa(arpa)  # refuses what kaldilm would end the process at
    _check_words(lexicon, unigrams(text), arpa)
    symbols = ["<eps>", *lexicon.words, "#0", "<s>", "</s>"]
    with tempfile.TemporaryDirectory() as folder, _silent_stderr():
        table, file = Path(folder) / "words.txt", Path(folder) / "lm.arpa"
        table.write_text("".join(f"{word} {number}\n" for number, word in enumerate(symbols)), encoding="utf-8")
        file.write_text(text, encoding="utf-8")
        rows = kaldilm.arpa2fst(str(file), "", disambig_symbol="#0", read_symbol_table=str(table), max_arpa_warnings=0)
    found = _without_bare_histories(Transducer.of(kaldifst.compile(rows)), len(lexicon.words) + 1).fst()
    kaldifst.connect(found)
    kaldifst.arcsort(found, "ilabel")
    return found


def _check_words(lexicon: Lexicon, words: list[str], arpa: str | Path) -> None:
    """Counts in the log the words that the lexicon lacks; refuses an n-gram all of whose words are such."""
    missing = [word for word in words if word not in lexicon.word_ids]
    if len(missing) == len(words):
        raise Refusal(
            "lexicon and n-gram have no word in common", where=arpa, do="use the same spelling and case in both"
        )
    if missing:
        named = " ".join(missing[:NAMED]) + (" ..." if len(missing) > NAMED else "")
        log.event(f"{arpa}: {len(missing)} of its {len(words)} words are not in the lexicon: {named}")


def _without_bare_histories(grammar: Transducer, back_off: int) -> Transducer:
    """Leads arcs past the states that do nothing but back off, of histories that no n-gram continues.

    They are most states of a pruned n-gram (as in Kaldi's arpa2fst, which kaldilm does not follow here).
    """
    states = np.arange(len(grammar.final))
    bare = (np.bincount(grammar.source, minlength=len(states)) == 1) & np.isinf(grammar.final)
    bare[grammar.start] = False
    passed = bare[grammar.source] & (grammar.arcs["label"] == back_off)
    target, cost = states.copy(), np.zeros(len(states), np.float32)
    target[grammar.source[passed]] = grammar.arcs["target"][passed]
    cost[grammar.source[passed]] = grammar.arcs["cost"][passed]
    while (target[target] != target).any():
        cost, target = cost + cost[target], target[target]
    arcs = grammar.arcs[~passed]
    arcs["cost"] += cost[arcs["target"]]
    arcs["target"] = target[arcs["target"]]
    return replace(grammar, source=grammar.source[~passed], arcs=arcs)


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
