"""Transducers as arrays against kaldifst's own text of them."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("kaldifst")

import kaldifst

from kdasr.lang.transducer import Transducer


def compiled(seed: int):
    rng = np.random.default_rng(seed)
    rows = [f"{s} {t} {i} {o} {w / 8}" for s, t, i, o, w in rng.integers(0, 5, (20, 5)).tolist()]
    fst = kaldifst.compile("\n".join(["3 0 1 1 0.5", *rows, "4 0.25", "1"]) + "\n")  # begins in state 3
    return kaldifst.StdVectorFst(fst)


def rows_of(text: str) -> set[tuple[float, ...]]:
    return {tuple(map(float, line.split())) for line in text.splitlines()}


@pytest.mark.parametrize("seed", range(5))
def test_the_arrays_hold_every_arc_and_end(seed):
    fst = compiled(seed)
    found, rows = Transducer.of(fst), rows_of(fst.to_str())
    arcs = (found.source, *(found.arcs[name] for name in ("target", "label", "word")), found.arcs["cost"])
    told = {(*row[:-1], *row[-1:][: row[-1] != 0]) for row in zip(*(column.tolist() for column in arcs), strict=True)}
    ends = {(state, *[cost][: cost != 0]) for state, cost in enumerate(found.final.tolist()) if cost < np.inf}
    assert told | ends == rows and found.start == fst.start
    assert (np.diff(found.source) >= 0).all() and len(found.final) == fst.num_states


@pytest.mark.parametrize("seed", range(5))
def test_there_and_back_is_the_same_transducer(seed):
    fst = compiled(seed)
    again = Transducer.of(fst).fst()
    assert again.to_str() == fst.to_str() and again.start == fst.start
    for state in range(fst.num_states):
        assert again.num_input_epsilons(state) == fst.num_input_epsilons(state)
        assert again.num_arcs(state) == fst.num_arcs(state)


def test_what_comes_back_can_be_changed_and_composed():
    fst = Transducer.of(compiled(0)).fst()
    kaldifst.arcsort(fst, "olabel")
    kaldifst.connect(fst)
    assert kaldifst.compose(fst, kaldifst.compile("0 0 1 1\n0 0 2 2\n0 0 3 3\n0 0 4 4\n0\n")).num_states > 0


def test_a_transducer_without_states_has_no_start():
    empty = Transducer.of(kaldifst.StdVectorFst())
    assert empty.start == -1 and len(empty.final) == len(empty.arcs) == 0
    assert empty.fst().num_states == 0
