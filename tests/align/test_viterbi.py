"""State alignments at the size of real utterances against a Viterbi search in plain torch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch

pytest.importorskip("k2")

from kdasr.align.aligner import Aligner, AlignOptions
from kdasr.align.model import scaled_transitions
from kdasr.align.timing import timing
from kdasr.fsa import FINAL, Graph
from kdasr.lang.graph import alignment_graph
from kdasr.lang.lexicon import LangOptions, Lexicon
from kdasr.lang.topology import make_topology
from kdasr.lang.tree import Tree
from tests import toy

SCALE, NUM_UTTERANCES = 0.1, 12


def random_lexicon(num_phones: int = 20, num_words: int = 40) -> Lexicon:
    """Words of two to seven phones, every third with a variant."""
    rng = np.random.default_rng(0)
    phones = [f"p{number:02d}" for number in range(num_phones)]

    def spelt() -> tuple[str, ...]:
        return tuple(str(phone) for phone in rng.choice(phones, size=rng.integers(2, 8)))

    words = {f"W{number}": [spelt() for _ in range(1 + (number % 3 == 0))] for number in range(num_words)}
    return Lexicon({**words, "<UNK>": [("SPN",)]}, LangOptions())


LEXICON = random_lexicon()
TOPOLOGY = make_topology(LEXICON)
TREES = {
    "monophones": Tree.monophone(TOPOLOGY),
    "left biphones": toy.context_tree(TOPOLOGY, 2, 4),
    "triphones": toy.context_tree(TOPOLOGY, 3, 8),
}


def utterances(tree: Tree, seed: int) -> tuple[list[str], list[Graph], list[torch.Tensor]]:
    """Random sentences, their graphs, and log-likelihoods in which some path of the graph stands out from the noise."""
    rng = np.random.default_rng(seed)
    texts, graphs, matrices = [], [], []
    for number in range(NUM_UTTERANCES):
        words = [str(word) for word in rng.choice(LEXICON.words[1:], size=rng.integers(5, 16))]
        graph = alignment_graph(words, LEXICON, tree)
        leaving = np.searchsorted(graph.source, np.arange(graph.num_states + 1))
        state, labels = 0, []
        while (arc := int(rng.integers(leaving[state], leaving[state + 1]))) >= 0 and graph.label[arc] != FINAL:
            labels.append(int(graph.label[arc]) - 1)
            state = int(graph.target[arc])
        matrix = toy.random_frames(len(labels), tree.num_pdfs, 100 * seed + number, 30)
        matrix[torch.arange(len(labels)), torch.tensor(labels)] += float(rng.uniform(0, 60))
        texts.append(" ".join(words))
        graphs.append(graph)
        matrices.append(matrix - 80)
    return texts, graphs, matrices


def plain_viterbi(graph: Graph, scores: torch.Tensor) -> tuple[float, list[int]]:
    """The best path's score and transition ids, by tables of the arcs that enter each state, in float64."""
    rows = [np.flatnonzero((graph.target == state) & (graph.label != FINAL)) for state in range(graph.num_states)]
    entering = torch.full((len(rows), max(map(len, rows))), -1)
    for state, arcs in enumerate(rows):
        entering[state, : len(arcs)] = torch.from_numpy(arcs)
    source = torch.from_numpy(graph.source).long()[entering]
    pdf = torch.from_numpy(graph.label).long()[entering].sub(1).clamp(min=0)
    own = torch.from_numpy(graph.score).double()[entering].masked_fill(entering < 0, -torch.inf)
    best = torch.full((len(rows),), -torch.inf, dtype=torch.float64)
    best[0] = 0.0
    back = []
    for frame in scores.double():
        best, choice = (best[source] + own + frame[pdf]).max(dim=1)
        back.append(entering.gather(1, choice[:, None])[:, 0])
    ends = np.flatnonzero(graph.label == FINAL)
    totals = [float(best[graph.source[arc]]) + float(graph.score[arc]) for arc in ends]
    state, path = int(graph.source[ends[int(np.argmax(totals))]]), []
    for taken in reversed(back):
        path.append(int(graph.transition[taken[state]]))
        state = int(graph.source[taken[state]])
    return max(totals), path[::-1]


def k2_paths(
    graphs: Sequence[Graph], matrices: Sequence[torch.Tensor], scores: torch.Tensor
) -> list[np.ndarray | None]:
    made = Aligner(graphs, [len(matrix) for matrix in matrices], AlignOptions(acoustic_scale=SCALE))
    return made.align(lambda number, pdfs: matrices[number][:, pdfs], scores)


@pytest.mark.parametrize("name", TREES)
def test_scores_are_the_same_and_paths_but_for_near_ties(name):
    tree = TREES[name]
    texts, graphs, matrices = utterances(tree, len(name))
    scores = scaled_transitions(tree.table, torch.from_numpy(np.log(tree.table.probability)).float(), 1.0, 0.1)
    assert sum(map(len, matrices)) > 3000 and tree.num_pdfs >= 60
    same = 0
    paths = k2_paths(graphs, matrices, scores)
    for text, graph, matrix, path in zip(texts, graphs, matrices, paths, strict=True):
        assert path is not None
        weighted = graph.with_transitions(scores.numpy())
        best, expected = plain_viterbi(weighted, SCALE * matrix)
        found, _ = toy.viterbi(weighted, SCALE * matrix, path.tolist())  # the score of k2's own path
        assert found == pytest.approx(best, abs=1e-3)
        same += path.tolist() == expected
        spoken = timing(path, text, LEXICON, tree, len(path) / 100)
        assert " ".join(word for word, _, _ in spoken["word"] if word) == text
        assert all(intervals[-1].end == pytest.approx(len(path) / 100) for intervals in spoken.values())
    assert same >= NUM_UTTERANCES - 1
