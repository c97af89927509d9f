"""A toy language small enough to enumerate, and plain searches that k2 is measured by."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch

from kdasr.fsa import FINAL, Graph
from kdasr.lang.lexicon import LangOptions, Lexicon

# A is a prefix of AB and one phone long, B has a variant, TO and TWO are homophones
LEXICON = "A a\nAB a b\nB b\nB(2) p b\nTO t u\nTWO t u\n"
ARPA = """\\data\\
ngram 1=8
ngram 2=6

\\1-grams:
-99\t<s>\t-0.3
-0.9\tA\t-0.2
-1.1\tAB\t-0.1
-0.8\tB\t-0.4
-1.2\tTO\t-0.2
-1.0\tTWO\t-0.1
-0.7\t</s>
-1.5\tELSEWHERE\t0.0

\\2-grams:
-0.4\t<s> A
-0.3\tA TO
-0.6\tAB TWO
-0.3\tB </s>
-0.9\tTO A
-0.2\tTWO </s>

\\end\\
"""


def lexicon(states: int = 1, silence_states: int = 2, noise_words: tuple[str, ...] = ()) -> Lexicon:
    """The toy lexicon; one state a phone keeps enumerations small."""
    pronunciations: dict[str, list[tuple[str, ...]]] = {}
    for line in LEXICON.splitlines():
        word, *phones = line.split()
        pronunciations.setdefault(word.removesuffix("(2)"), []).append(tuple(phones))
    pronunciations["<UNK>"] = [("SPN",)]
    options = LangOptions(states=states, silence_states=silence_states, noise_words=noise_words)
    return Lexicon(pronunciations, options)


def all_paths(graph: Graph, num_frames: int | None = None) -> Iterator[list[int]]:
    """Every path from the start to the final state as its arcs; with `num_frames`, only those that take so many."""
    leaving: dict[int, list[int]] = {}
    for arc, source in enumerate(graph.source.tolist()):
        leaving.setdefault(source, []).append(arc)

    def walk(state: int, path: list[int]) -> Iterator[list[int]]:
        for arc in leaving.get(state, []):
            if graph.label[arc] == FINAL:
                if num_frames is None or len(path) == num_frames:
                    yield [*path, arc]
            elif num_frames is None or len(path) < num_frames:
                yield from walk(int(graph.target[arc]), [*path, arc])

    return walk(0, [])


def words_of(graph: Graph, arcs: Sequence[int], num_words: int) -> list[int]:
    """The word numbers that a path gives out."""
    rows = [(), *((word,) for word in range(1, num_words + 1)), *graph.word_sequences]
    return [word for arc in arcs for word in rows[graph.words[arc]]]


def viterbi(
    graph: Graph, log_likelihoods: torch.Tensor, transitions: Sequence[int] | None = None
) -> tuple[float, list[int]]:
    """The best path by plain dynamic programming in float64; with `transitions`, among the paths that take just these.

    Returns:
        Its score (-inf if there is none), and its arcs.
    """
    frames = log_likelihoods.double().numpy()
    best = np.full(graph.num_states, -np.inf)
    best[0] = 0.0
    source, target, label, score = graph.source, graph.target, graph.label, graph.score.astype(np.float64)
    back = []
    for t in range(len(frames)):
        allowed = (label > 0) if transitions is None else (label > 0) & (graph.transition == transitions[t])
        candidate = np.where(allowed, best[source] + score + frames[t, np.maximum(label, 1) - 1], -np.inf)
        best = np.full(graph.num_states, -np.inf)
        np.maximum.at(best, target, candidate)
        came_by = np.full(graph.num_states, -1)
        for arc in np.flatnonzero((candidate == best[target]) & (candidate > -np.inf)):
            came_by[target[arc]] = arc
        back.append(came_by)
    candidate = np.where(label == FINAL, best[source] + score, -np.inf)
    arc = int(candidate.argmax())
    total = float(candidate[arc])
    arcs = [arc]
    if total > -np.inf:
        for came_by in reversed(back):
            arcs.insert(0, int(came_by[source[arcs[0]]]))
    return total, arcs


def random_frames(num_frames: int, num_pdfs: int, seed: int, spread: float = 3.0) -> torch.Tensor:
    """Log-likelihoods of no speech at all."""
    return torch.randn(num_frames, num_pdfs, generator=torch.Generator().manual_seed(seed)) * spread


def write_arpa(path: Path, text: str = ARPA) -> Path:
    """The toy bigram."""
    path.write_text(text)
    return path
