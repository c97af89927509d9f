"""Graphs as arrays, and the one door to k2: late import, version message, demands on sorting and types met here.

State 0 is a graph's start, its largest state is final, and the arcs that enter that one have label -1 and take no
frame, as k2 wants it. k2's own `Fsa` has no static types; it appears as `Any` outside of this file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch

from kdasr import io
from kdasr.refusal import Refusal

IMPOSSIBLE = -1e9  # log-likelihood of the epsilon column, which no path may take
FINAL = -1
GRAPH = "graph.safetensors"


@dataclass(frozen=True)
class Graph:
    """Arcs as parallel arrays of shape (num_arcs,), sorted by source.

    Attributes:
        source: state that an arc leaves, int32.
        target: state that it enters, int32.
        label: phone number, HMM number or pdf + 1; 0 of epsilons, -1 on arcs into the final state, int32.
        score: log of lexicon, n-gram and pronunciation probabilities (no transition probabilities), float32.
        words: row of `word_sequences` that the arc gives out, int32; 0 is no word, row w <= number of words is word w.
        transition: transition id, -1 where the arc takes no frame or at the phone level, int32.
        phone_start: whether the arc takes the first frame of a phone, int32 (0 or 1).
        word_sequences: word numbers, by row, beyond the single words; row `num_words + 1 + i` is entry i.
    """

    source: np.ndarray
    target: np.ndarray
    label: np.ndarray
    score: np.ndarray
    words: np.ndarray
    transition: np.ndarray
    phone_start: np.ndarray
    word_sequences: tuple[tuple[int, ...], ...] = ()

    @property
    def num_states(self) -> int:
        """Number of states, the final one included."""
        return int(self.target.max()) + 1

    @property
    def max_label(self) -> int:
        """Largest label: at the state level at most the number of pdfs."""
        return int(self.label.max())

    def __len__(self) -> int:
        return len(self.source)

    def arcs(self, rows: np.ndarray) -> Graph:
        """A graph of some of the arcs: their numbers, or a mask."""
        return replace(self, **{name: getattr(self, name)[rows] for name in ARRAYS})

    def with_transitions(self, transition_scores: np.ndarray) -> Graph:
        """The graph with the scores of its transition ids, (num_transitions,), added to its arcs' scores."""
        added = np.append(transition_scores, 0.0)[self.transition]  # id -1, no transition, is the last
        return replace(self, score=(self.score + added).astype(np.float32))


ARRAYS = tuple(field.name for field in fields(Graph) if field.name != "word_sequences")


def make_graph(arcs: Sequence[tuple[int, int, int, float, int]]) -> Graph:
    """A phone-level graph of (source, target, phone, score, words) rows in any order.

    Raises:
        ValueError: there are no arcs.
    """
    if not arcs:
        raise ValueError("a graph needs arcs")
    source, target, label, score, words = (np.array(column) for column in zip(*sorted(arcs), strict=True))
    return phone_graph(source, target, label, score, words)


def phone_graph(
    source: np.ndarray,
    target: np.ndarray,
    label: np.ndarray,
    score: np.ndarray,
    words: np.ndarray,
    word_sequences: tuple[tuple[int, ...], ...] = (),
) -> Graph:
    """A phone-level graph, none of whose arcs has a transition yet, of columns `(num_arcs,)` sorted by source."""
    source, target, label, words = (np.ascontiguousarray(column, np.int32) for column in (source, target, label, words))
    none = np.full(len(source), -1, np.int32)
    score = np.ascontiguousarray(score, np.float32)
    return Graph(source, target, label, score, words, none, np.zeros_like(none), word_sequences)


def concatenated(graphs: Sequence[Graph]) -> Graph:
    """A graph of the arcs of several, one after the other; states and word sequences are the same in all."""
    arrays = {name: np.concatenate([getattr(graph, name) for graph in graphs]) for name in ARRAYS}
    return replace(graphs[0], **arrays)


def renumbered(graph: Graph, final: int) -> Graph:
    """Arcs sorted by source, states numbered without gaps, the start 0 and the final state last.

    Args:
        graph: its arcs in any order.
        final: its final state.
    """
    used = np.zeros(max(graph.source.max(), graph.target.max()) + 1, bool)
    used[graph.source] = used[graph.target] = True
    numbers = np.cumsum(used, dtype=np.int32) - 1
    numbers[final + 1 :] -= 1
    numbers[final] = used.sum() - 1
    source, target = numbers[graph.source], numbers[graph.target]
    # k2 wants arcs sorted by label within a state; of arcs in sorted pieces one key is sorted faster than two
    order = np.argsort(source.astype(np.int64) * (graph.max_label + 2) + graph.label, kind="stable")
    return replace(graph, source=source, target=target).arcs(order)


def join(keys: np.ndarray, sorted_keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Every pair of places at which two arrays of numbers from 0, such as states, hold the same number.

    Args:
        keys: in any order, (K,).
        sorted_keys: in rising order, (S,).

    Returns:
        Places in `keys`, rising, and in `sorted_keys`, both (num_pairs,).
    """
    counts = np.bincount(sorted_keys, minlength=int(keys.max(initial=0)) + 1)
    begins, counts = (np.cumsum(counts) - counts)[keys], counts[keys]
    place = np.repeat(np.arange(len(keys)), counts)
    return place, np.arange(len(place)) + np.repeat(begins - np.cumsum(counts) + counts, counts)


def write_graph(path: str | Path, graph: Graph, **facts: object) -> None:
    """Writes a graph as safetensors; `facts` go into its metadata."""
    tensors = {name: torch.from_numpy(np.ascontiguousarray(getattr(graph, name))) for name in ARRAYS}
    io.save_tensors(path, tensors, {"word_sequences": graph.word_sequences, **facts})


def read_graph(path: str | Path) -> Graph:
    """Reads what `write_graph` wrote. Raises Refusal if the file is absent, damaged or no graph."""
    tensors, metadata = io.load_tensors(path)
    missing = [name for name in ARRAYS if name not in tensors]
    if missing or "word_sequences" not in (metadata or {}):
        raise Refusal(
            "not a graph",
            where=path,
            expected=f"tensors {', '.join(ARRAYS)}",
            found=", ".join(tensors) or "none",
            do="name a folder made by kdasr graph",
        )
    sequences = tuple(tuple(sequence) for sequence in metadata["word_sequences"])
    return Graph(**{name: tensors[name].numpy() for name in ARRAYS}, word_sequences=sequences)


def k2() -> Any:
    """The k2 module. Raises Refusal when it is missing or was built for another torch."""
    try:
        import k2 as module
    except ImportError as error:
        raise Refusal(
            "k2 cannot be imported",
            where="alignment and decoding",
            expected="k2 1.23 or 1.24 built for this torch",
            found=f"torch {torch.__version__}, {error}",
            do="run local/setup.sh, or take the wheel for your torch from https://k2-fsa.github.io/k2/",
        ) from None
    return module


def fsa(graph: Graph, attributes: Sequence[str] = ("words", "transition", "phone_start")) -> Any:
    """A k2 Fsa of a graph, with integer attributes; each takes memory, in every lattice too.

    For a search the arcs must be sorted by label within a state, as `expand_states` leaves them.
    """
    return of_arcs(arcs(graph), {name: getattr(graph, name) for name in attributes})


def arcs(graph: Graph) -> np.ndarray:
    """The arcs of a graph as k2 keeps them, (num_arcs, 4) int32: source, target, label, and the bits of the score."""
    bits = np.ascontiguousarray(graph.score, np.float32).view(np.int32)
    return np.stack([graph.source, graph.target, graph.label, bits], axis=1)


def of_arcs(arcs: np.ndarray, attributes: Mapping[str, np.ndarray]) -> Any:
    """A k2 Fsa of the arcs that `arcs` gives, with integer attributes `(num_arcs,)` by name."""
    result = k2().Fsa(torch.from_numpy(np.array(arcs)))
    for name, values in attributes.items():
        setattr(result, name, torch.from_numpy(np.array(values)))
    return result


def stack(fsas: Sequence[Any]) -> Any:
    """One FsaVec of several Fsas."""
    return k2().create_fsa_vec(list(fsas))


def dense(log_likelihoods: Sequence[torch.Tensor]) -> Any:
    """A DenseFsaVec of log-likelihoods, to be searched with graphs whose labels are pdf + 1.

    Args:
        log_likelihoods: (T, num_pdfs) float32 of each utterance, longest first (k2's demand); where one has fewer pdfs
            than another, no path takes those that it lacks.

    Raises:
        ValueError: the utterances are not sorted by length, longest first.
    """
    lengths = [len(matrix) for matrix in log_likelihoods]
    if lengths != sorted(lengths, reverse=True):
        raise ValueError("k2 wants utterances sorted by length, longest first")
    num_pdfs = max(matrix.shape[1] for matrix in log_likelihoods)
    padded = log_likelihoods[0].new_full((len(lengths), max(lengths), num_pdfs + 1), IMPOSSIBLE)
    for row, matrix in enumerate(log_likelihoods):
        padded[row, : len(matrix), 1 : matrix.shape[1] + 1] = matrix
    segments = torch.tensor([[row, 0, length] for row, length in enumerate(lengths)], dtype=torch.int32)
    return k2().DenseFsaVec(padded, segments)


def best_paths(lattices: Any) -> Any:
    """The best path of every lattice, as an FsaVec; a lattice without a path gives an Fsa without arcs."""
    return k2().shortest_path(lattices, use_double_scores=True)


def path_rows(paths: Any, name: str, final: bool = False) -> list[np.ndarray]:
    """An integer attribute along each path, one array per utterance.

    Args:
        paths: from `best_paths`.
        name: of the attribute.
        final: with the final arc, which takes no frame but may carry the words of epsilons that stood before it.
    """
    values, labels = getattr(paths, name).cpu().numpy(), paths.labels.cpu().numpy()
    return [values[begin:end][final | (labels[begin:end] != FINAL)] for begin, end in pairwise(arc_splits(paths))]


def arc_splits(fsas: Any) -> np.ndarray:
    """First arc of every Fsa of an FsaVec, and the number of arcs: (num_fsas + 1,)."""
    shape = fsas.arcs.shape()
    states, arcs = shape.row_splits(1).cpu().numpy(), shape.row_splits(2).cpu().numpy()
    splits: np.ndarray = arcs[states]
    return splits


def depths(fsas: Any) -> np.ndarray:
    """Arcs on the way to each state, of the longest way: (num_states,) float64, -inf where there is none."""
    scores = fsas.scores.clone()  # k2 hands out a view
    fsas.scores = torch.ones_like(scores)
    found = fsas.get_forward_scores(use_double_scores=True, log_semiring=False)
    fsas.scores = scores
    depths: np.ndarray = found.cpu().numpy()
    return depths
