"""A toy language small enough to enumerate, and plain searches that k2 is measured by."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch

from kdasr.fsa import FINAL, Graph
from kdasr.lang.lexicon import LangOptions, Lexicon
from kdasr.lang.topology import Topology
from kdasr.lang.tree import PLACES, Leaf, Node, Split, Tree
from tests.tables import write_features

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


def pronounced(words: Sequence[str], lexicon: Lexicon) -> Iterator[tuple[list[int], float]]:
    """Phones and score of every choice of variants, and of silence or none at every edge of a word."""
    silence = lexicon.phone_ids["SIL"]
    for variants in itertools.product(*(lexicon.pronunciations[word] for word in words)):
        for pauses in itertools.product((False, True), repeat=len(words) + 1):
            phones = [silence] * pauses[0]
            for variant, pause in zip(variants, pauses[1:], strict=True):
                phones += [lexicon.phone_ids[phone] for phone in variant] + [silence] * pause
            yield phones, (len(words) + 1) * math.log(0.5)


def context_tree(topology: Topology, width: int, group: int = 1) -> Tree:
    """A tree in which a phone's pdfs depend on which group of `group` numbers the phones beside it are of.

    Silences have their own, whatever stands beside them.
    """
    sides = range(len(topology.phones) + 1)
    groups = [frozenset(sides[begin : begin + group]) for begin in range(0, len(sides), group)]
    pdf = itertools.count()

    def grown(questions: Sequence[tuple[str, Sequence[frozenset[int]]]]) -> Node:
        if not questions:
            return Leaf(next(pdf))
        (ask, answers), *others = questions
        *asked, _ = branches = [(members, grown(others)) for members in answers]
        node = branches[-1][1]
        for members, yes in reversed(asked):
            node = Split(ask, members, yes, node)
        return node

    roots = []
    for phone, name in enumerate(topology.phones, start=1):
        questions = [("state", [frozenset([state]) for state in range(topology.num_states(phone))])]
        if name not in topology.silence_phones:
            questions += [(place, groups) for place in PLACES[width] if place != "phone"]
        roots.append((frozenset([phone]), grown(questions)))
    return Tree(topology, width, tuple(roots))


def windows(phones: Sequence[int], width: int) -> list[tuple[int, ...]]:
    """The window of each phone."""
    padded = [0, *phones, 0]
    reach = {1: (1, 2), 2: (0, 2), 3: (0, 3)}[width]
    return [tuple(padded[place + reach[0] : place + reach[1]]) for place in range(len(phones))]


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


def write_speech(
    folder: Path,
    texts: dict[str, str],
    seed: int = 0,
    dim: int = 4,
    silence: int = 6,
    spread: float = 0.4,
    extractor: object = None,
) -> tuple[Path, dict[str, list[str]]]:
    """A finished feature table in which every phone shows a pattern of its own, by state, for 4 to 7 frames a state.

    Returns:
        The folder, and for every utterance the phone of each frame.
    """
    spoken = lexicon(states=3, silence_states=5)
    patterns = np.random.default_rng(99).normal(size=(len(spoken.phones), 3, dim)) * 3
    rng = np.random.default_rng(seed)
    features, truth = {}, {}
    for id, text in texts.items():
        phones = ["SIL", *(phone for word in text.split() for phone in spoken.pronunciations[word][0]), "SIL"]
        frames, names = [], []
        for phone in phones:
            for state in range(3):
                length = silence if phone == "SIL" else int(rng.integers(4, 8))
                pattern = patterns[spoken.phone_ids[phone] - 1, 0 if phone == "SIL" else state]
                frames.append(pattern + rng.normal(size=(length, dim)) * spread)
                names += [phone] * length
        features[id], truth[id] = np.concatenate(frames).astype(np.float32), names
    return write_features(folder, features, extractor=extractor), truth


def sentences(num: int, seed: int = 0, prefix: str = "") -> dict[str, str]:
    """Random transcripts; ids begin with the speaker, `a` or `b`."""
    rng = np.random.default_rng(seed)
    words = ["A", "AB", "B", "TO"]
    texts = {}
    for number in range(num):
        chosen = rng.choice(words, size=1 + number % 4)
        texts[f"{'ab'[number % 2]}{prefix}{number:02d}"] = " ".join(str(word) for word in chosen)
    return texts
