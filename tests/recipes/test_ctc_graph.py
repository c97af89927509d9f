"""The decoding graph of egs/an4_ctc against sentences written out: pieces, repeats, blanks and n-gram."""

from __future__ import annotations

import importlib.util
import itertools
import math
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

pytest.importorskip("k2")
pytest.importorskip("kaldifst")
pytest.importorskip("kaldilm")
pytest.importorskip("sentencepiece")

from kdasr import fsa

ROOT = Path(__file__).parents[2]
SPELLED = {"A": [1], "AB": [1, 2], "B": [2], "BB": [2, 2], "BC": [2, 3]}  # A B is spelled as AB
ARPA = """\\data\\
ngram 1=7
ngram 2=3

\\1-grams:
-1.2 <s> -0.3
-0.7 </s>
-0.9 A -0.2
-1.1 AB -0.1
-0.8 B -0.4
-1.3 BB
-1.0 BC

\\2-grams:
-0.4 <s> A
-0.3 A B
-0.6 AB BC

\\end\\
"""
PAIRS = {("<s>", "A"): -0.4, ("A", "B"): -0.3, ("AB", "BC"): -0.6}
SINGLES = {"</s>": -0.7, "A": -0.9, "AB": -1.1, "B": -0.8, "BB": -1.3, "BC": -1.0}
BACK_OFF = {"<s>": -0.3, "A": -0.2, "AB": -0.1, "B": -0.4}


class Pieces:
    """A sentencepiece model's two functions."""

    def get_piece_size(self) -> int:
        return 4

    def encode(self, word: str, out_type: type = int) -> list:
        return [out_type(number) for number in SPELLED[word]]


@pytest.fixture(scope="module")
def recipe() -> ModuleType:
    spec = importlib.util.spec_from_file_location("ctc_graph", ROOT / "egs" / "an4_ctc" / "graph.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def lm_score(words: tuple[str, ...]) -> float:
    """log of the likelier of bigram and back-off at every word: the graph has both ways."""
    total = 0.0
    for history, word in itertools.pairwise(("<s>", *words, "</s>")):
        ways = [BACK_OFF.get(history, 0.0) + SINGLES[word], PAIRS.get((history, word), -math.inf)]
        total += max(ways) * math.log(10)
    return total


def ctc_score(labels: list[int], log_p: np.ndarray) -> float:
    """The best alignment of labels with blanks (0) between, which repeated labels need."""
    states = [0, *itertools.chain.from_iterable((label, 0) for label in labels)]
    best = np.full(len(states), -np.inf)
    best[0] = 0.0
    start = True
    for frame in log_p:
        before, best = best, np.full(len(states), -np.inf)
        for state, label in enumerate(states):
            ways = [before[state], before[state - 1] if state else -np.inf]
            if state > 1 and label and label != states[state - 2]:
                ways.append(before[state - 2])
            if start:
                ways = [0.0] if state < 2 else [-np.inf]
            best[state] = max(ways) + frame[label]
        start = False
    return float(max(best[-1], best[-2] if len(states) > 1 else -np.inf))


@pytest.mark.parametrize("seed", range(6))
def test_the_best_path_is_the_best_of_all_sentences(recipe, tmp_path, seed):
    (tmp_path / "lm.arpa").write_text(ARPA)
    lexicon = recipe.piece_lexicon(list(SPELLED), Pieces())
    graph = recipe.ctc_graph(lexicon, Pieces(), tmp_path / "lm.arpa")
    log_p = torch.randn(1, 6, 4, generator=torch.Generator().manual_seed(seed)).mul(3).log_softmax(2)
    k2 = fsa.k2()
    dense = k2.DenseFsaVec(log_p, torch.tensor([[0, 0, 6]], dtype=torch.int32))
    path = k2.shortest_path(k2.intersect_dense_pruned(graph, dense, 100.0, 100.0, 1, 10000), use_double_scores=True)
    found = tuple(lexicon.words[word - 1] for word in k2.get_aux_labels(path)[0])
    sentences = [words for count in range(5) for words in itertools.product(SPELLED, repeat=count)]

    def score(words: tuple[str, ...]) -> float:
        labels = [label for word in words for label in SPELLED[word]]
        return lm_score(words) + ctc_score(labels, log_p[0].double().numpy())

    scores = {words: score(words) for words in sentences}
    best = max(scores, key=lambda words: scores[words])
    total = float(path.get_tot_scores(use_double_scores=True, log_semiring=False))
    assert total == pytest.approx(scores[best], abs=1e-2)
    assert scores[found] == pytest.approx(scores[best], abs=1e-2)
