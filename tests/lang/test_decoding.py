"""The decoding graph against sentences written out: lexicon, n-gram and HMMs in context, whatever was merged."""

from __future__ import annotations

import gzip
import itertools
import math
from collections.abc import Callable, Iterable

import numpy as np
import pytest

pytest.importorskip("k2")
pytest.importorskip("kaldifst")
pytest.importorskip("kaldilm")

from kdasr import fsa
from kdasr.align.model import scaled_transitions
from kdasr.fsa import ARRAYS, FINAL, Graph, make_graph
from kdasr.lang.decoding import GraphOptions, decoding_graph
from kdasr.lang.graph import alignment_graph, expand_states, transcript_graph
from kdasr.lang.lexicon import LangOptions, Lexicon
from kdasr.lang.topology import make_topology
from kdasr.lang.tree import Tree
from kdasr.refusal import Refusal
from tests import toy

BIGRAMS = {
    ("<s>", "A"): -0.4, ("A", "TO"): -0.3, ("AB", "TWO"): -0.6, ("B", "</s>"): -0.3, ("TO", "A"): -0.9,
    ("TWO", "</s>"): -0.2,
}  # fmt: skip
UNIGRAMS = {"A": -0.9, "AB": -1.1, "B": -0.8, "TO": -1.2, "TWO": -1.0, "</s>": -0.7}
ROUNDING = 5e-3  # minimisation rounds scores to 1/1024 (Kaldi's too)
BACKOFF = {"<s>": -0.3, "A": -0.2, "AB": -0.1, "B": -0.4, "TO": -0.2, "TWO": -0.1}


def lm_score(words: tuple[str, ...]) -> float:
    """log of the likelier of bigram and back-off at every word: a graph has both ways."""
    total = 0.0
    for history, word in itertools.pairwise(("<s>", *words, "</s>")):
        total += max(BIGRAMS.get((history, word), -math.inf), BACKOFF[history] + UNIGRAMS[word])
    return total * math.log(10)


def build(lexicon: Lexicon, arpa, tree: Tree | None = None, **options: bool) -> Graph:
    tree = tree or Tree.monophone(make_topology(lexicon))
    return decoding_graph(lexicon, arpa, tree, GraphOptions(**options))


@pytest.fixture(scope="module")
def arpa(tmp_path_factory):
    return toy.write_arpa(tmp_path_factory.mktemp("lm") / "toy.arpa")


TREES = {
    f"width {width}, groups of {group}": toy.context_tree(make_topology(toy.lexicon()), width, group)
    for width, group in ((1, 1), (2, 1), (2, 3), (3, 1), (3, 3))
}


@pytest.fixture(scope="module", params=TREES.values(), ids=list(TREES))
def in_context(arpa, request):
    """A tree, and the decoding graphs of its windows."""
    tree = request.param
    return tree, [build(toy.lexicon(), arpa, tree, determinize=determinize) for determinize in (True, False)]


@pytest.fixture(scope="module")
def graphs(arpa):
    return {determinize: build(toy.lexicon(), arpa, determinize=determinize) for determinize in (True, False)}


def decode(graph: Graph, frames) -> tuple[float, list[str]]:
    lexicon = toy.lexicon()
    score, arcs = toy.viterbi(graph, frames)
    return score, [lexicon.words[word - 1] for word in toy.words_of(graph, arcs, len(lexicon.words))]


@pytest.mark.parametrize("seed", range(6))
def test_the_best_path_is_the_best_sentence_written_out(graphs, seed):
    lexicon = toy.lexicon()
    topology = make_topology(lexicon)
    frames = toy.random_frames(5, Tree.monophone(topology).num_pdfs, seed)
    scores = {}
    for size in (1, 2, 3):
        for words in itertools.product(UNIGRAMS.keys() - {"</s>"}, repeat=size):
            graph = expand_states(transcript_graph(words, lexicon), Tree.monophone(topology))
            scores[words] = lm_score(words) + toy.viterbi(graph, frames)[0]
    best = max(scores, key=lambda words: scores[words])
    for determinize in (True, False):
        score, found = decode(graphs[determinize], frames)
        if len(found) in (1, 2, 3):  # longer and empty sentences are not written out
            assert score == pytest.approx(scores[best], abs=ROUNDING)
            assert found == list(best)
        assert score > scores[best] - ROUNDING


@pytest.mark.parametrize("seed", range(20))
def test_determinising_changes_no_best_path(graphs, seed):
    frames = toy.random_frames(9, 9, 100 + seed)
    (score, words), (plain_score, plain_words) = (decode(graphs[determinize], frames) for determinize in (True, False))
    assert words == plain_words and score == pytest.approx(plain_score, abs=ROUNDING)


Score = Callable[[tuple[str, ...]], float]  # of the words of a sentence by the n-gram


def straight(graph: Graph, tree: Tree) -> Graph:
    """The graph without the transitions that stay in their state."""
    return graph.arcs((graph.transition < 0) | ~tree.table.is_self_loop[graph.transition])


Sentences = dict[tuple[tuple[int, ...], tuple[str, ...]], float]  # (pdfs, words) -> best score


def written_out(lexicon: Lexicon, words: Iterable[str], score_of: Score, tree: Tree, most: int) -> Sentences:
    """Every sentence, variant and pause that takes up to `most` frames when none stays in its state."""
    found: Sentences = {}
    for spoken in itertools.chain.from_iterable(itertools.product(words, repeat=size) for size in range(most + 1)):
        for phones, score in toy.pronounced(spoken, lexicon):
            pdfs = tuple(pdf for window in toy.windows(phones, tree.width) for pdf in tree.pdfs(window))
            if len(pdfs) <= most:
                found[pdfs, spoken] = max(score + score_of(spoken), found.get((pdfs, spoken), -math.inf))
    return found


def held(graph: Graph, lexicon: Lexicon, tree: Tree, most: int) -> Sentences:
    """What the graph has of such sentences."""
    moves, found = straight(graph, tree), Sentences()
    for path in itertools.chain.from_iterable(toy.all_paths(moves, size) for size in range(most + 1)):
        words = tuple(lexicon.words[word - 1] for word in toy.words_of(moves, path, len(lexicon.words)))
        key, score = (tuple((moves.label[path[:-1]] - 1).tolist()), words), float(moves.score[path].sum())
        found[key] = max(score, found.get(key, -math.inf))
    return found


def test_the_graph_holds_every_sentence_with_its_windows_words_and_score_and_nothing_else(in_context):
    lexicon, (tree, graphs) = toy.lexicon(), in_context
    expected = written_out(lexicon, UNIGRAMS.keys() - {"</s>"}, lm_score, tree, most=4)
    for graph in graphs:
        assert held(graph, lexicon, tree, most=4) == pytest.approx(expected, abs=ROUNDING)


@pytest.mark.parametrize("width", (1, 2, 3))
def test_words_of_silence_and_of_noise_are_words_like_others(width, tmp_path):
    """A pause and a word of silence sound the same, as do a pause before a word and a word that begins with silence."""
    spoken = {"A": "a", "PAUSE": "SIL", "LONG": "SIL a", "NOISE": "NSN", "<UNK>": "SPN"}
    words = {word: [tuple(phones.split())] for word, phones in spoken.items()}
    lexicon = Lexicon(words, LangOptions(states=1, silence_states=2, noise_words=("NOISE=NSN",)))
    scores = {word: -0.5 - 0.1 * number for number, word in enumerate(("A", "PAUSE", "LONG", "NOISE", "</s>"))}
    rows = "".join(f"{score}\t{word}\n" for word, score in scores.items())
    path = toy.write_arpa(tmp_path / "lm", f"\\data\\\nngram 1=6\n\n\\1-grams:\n-99\t<s>\n{rows}\n\\end\\\n")
    tree = toy.context_tree(make_topology(lexicon), width)

    def score_of(spoken: tuple[str, ...]) -> float:
        return math.log(10) * sum(scores[word] for word in (*spoken, "</s>"))

    expected = written_out(lexicon, scores.keys() - {"</s>"}, score_of, tree, most=4)
    for determinize in (True, False):
        graph = build(lexicon, path, tree, determinize=determinize)
        assert held(graph, lexicon, tree, most=4) == pytest.approx(expected, abs=ROUNDING)


def spelled(graph: Graph, words: list[int], num_words: int) -> Graph:
    """The paths of a graph that give out just these words: a state for each of its states and word to come."""
    rows = [(), *((word,) for word in range(1, num_words + 1)), *graph.word_sequences]
    arcs, size, final = [], len(words) + 1, graph.num_states - 1
    columns = (graph.source, graph.target, graph.label, graph.score, graph.words)
    for source, target, label, score, row in zip(*(column.tolist() for column in columns), strict=True):
        for begin in range(size):
            end = begin + len(rows[row])
            if list(rows[row]) == words[begin:end] and (target != final or end == len(words)):
                arcs.append((source * size + begin, target * size + end, label, score, 0))
    return make_graph(arcs)


@pytest.mark.parametrize(
    "text", ["A", "B B", "TO A", "AB TWO B", "TWO TO", "A AB A B", "B A TO AB TWO", "A A A A", "TO TWO TO TWO"]
)
def test_every_transcript_is_accepted_and_scores_as_its_alignment_and_its_n_gram(in_context, text):
    lexicon, (tree, graphs), words = toy.lexicon(), in_context, text.split()
    frames = toy.random_frames(14, tree.num_pdfs, len(text))
    alignment, _ = toy.viterbi(alignment_graph(words, lexicon, tree), frames)
    for graph in graphs:
        only = spelled(graph, [lexicon.word_ids[word] for word in words], len(lexicon.words))
        score, _ = toy.viterbi(only, frames)
        assert score == pytest.approx(alignment + lm_score(tuple(words)), abs=2 * ROUNDING)


@pytest.mark.parametrize("seed", range(4))
def test_determinising_changes_no_best_path_in_context(in_context, seed):
    lexicon, (tree, graphs) = toy.lexicon(), in_context
    frames = toy.random_frames(9, tree.num_pdfs, seed)
    (score, arcs), (plain_score, plain_arcs) = (toy.viterbi(graph, frames) for graph in graphs)
    assert score == pytest.approx(plain_score, abs=2 * ROUNDING)
    words = [
        toy.words_of(graph, path, len(lexicon.words)) for graph, path in zip(graphs, (arcs, plain_arcs), strict=True)
    ]
    assert words[0] == words[1]


def test_determinising_merges_beginnings(tmp_path):
    words = [f"W{number}" for number in range(8)]
    rows = "".join(f"-0.9\t{word}\n" for word in words)
    text = f"\\data\\\nngram 1=10\n\n\\1-grams:\n-99\t<s>\n-0.9\t</s>\n{rows}\n\\end\\\n"
    path = toy.write_arpa(tmp_path / "lm.arpa", text)
    lexicon = Lexicon({"<UNK>": [("SPN",)], **{word: [("l", "o", "n", "g", word)] for word in words}})
    merged, plain = (build(lexicon, path, determinize=determinize) for determinize in (True, False))
    assert merged.num_states < plain.num_states / 2 and len(merged) < len(plain) / 2


@pytest.mark.parametrize("text", ["A", "AB", "A AB", "A B", "TWO", "A TO", "AB TWO", "B B A TO", "TO A TO"])
def test_a_sentence_is_accepted_with_its_score_among_homophones_and_prefixes(graphs, text):
    """Words are read from all paths of the transcript's phones: the graph must hold the sentence among them.

    Of homophones between the same states of the n-gram only the likelier is left, which no search could tell apart.
    """
    lexicon = toy.lexicon()
    words = tuple(text.split())
    pdfs = []
    for word in words:
        for phone in lexicon.pronunciations[word][0]:
            pdfs.append(lexicon.phone_ids[phone] + 1)  # two states of SIL and SPN each come first: pdf = number + 1
    expected = lm_score(words) + (len(words) + 1) * math.log(0.5)
    for graph in graphs.values():
        found: dict[tuple[str, ...], float] = {}
        for path in toy.all_paths(restricted(graph, pdfs), len(pdfs)):
            read = tuple(
                lexicon.words[w - 1] for w in toy.words_of(graph, original(graph, pdfs, path), len(lexicon.words))
            )
            score = float(graph.score[original(graph, pdfs, path)].sum())
            found[read] = max(score, found.get(read, -math.inf))
        assert found[words] == pytest.approx(expected, abs=ROUNDING)


def kept(graph: Graph, pdfs: list[int]) -> np.ndarray:
    return np.flatnonzero(np.isin(graph.label, [pdf + 1 for pdf in pdfs]) | (graph.label == FINAL))


def restricted(graph: Graph, pdfs: list[int]) -> Graph:
    """The arcs of a set of pdfs alone, so that the rest need not be enumerated."""
    rows = kept(graph, pdfs)
    columns = {name: getattr(graph, name)[rows] for name in ("source", "target", "label", "score", "words")}
    return Graph(**columns, transition=graph.transition[rows], phone_start=graph.phone_start[rows])


def original(graph: Graph, pdfs: list[int], path: list[int]) -> list[int]:
    return kept(graph, pdfs)[path].tolist()


def test_a_long_known_sentence_is_found(graphs):
    lexicon = toy.lexicon()
    words = ["A", "TO", "A", "TO", "B"]
    pdfs = [lexicon.phone_ids[phone] + 1 for word in words for phone in lexicon.pronunciations[word][0]]
    frames = toy.random_frames(len(pdfs), 9, 0) - 40
    frames[range(len(pdfs)), pdfs] = 0
    assert decode(graphs[True], frames)[1] == words and decode(graphs[False], frames)[1] == words


@pytest.mark.parametrize("words", [("TO", "TWO"), ("TWO", "TO")])
def test_of_homophones_as_likely_as_each_other_the_first_word_is_found(tmp_path, words):
    """The search itself, whose choice between equals rests on the order of arcs."""
    rows = "".join(f"-0.5\t{word}\n" for word in words)
    text = f"\\data\\\nngram 1=4\n\n\\1-grams:\n-99\t<s>\n-0.5\t</s>\n{rows}\n\\end\\\n"
    lexicon = toy.lexicon()
    graph = build(lexicon, toy.write_arpa(tmp_path / "lm.arpa", text))
    pdfs = [lexicon.phone_ids[phone] + 1 for phone in ("t", "u", "t", "u")]
    frames = toy.random_frames(4, 9, 0)
    frames[range(4), pdfs] += 20
    lattices = fsa.k2().intersect_dense_pruned(fsa.stack([fsa.fsa(graph)]), fsa.dense([frames]), 20, 8, 30, 1000)
    (found,) = fsa.path_rows(fsa.best_paths(lattices), "words", final=True)
    assert [lexicon.words[row - 1] for row in found if row] == ["TO", "TO"]


def test_words_that_the_lexicon_lacks_are_left_out(graphs):
    assert "ELSEWHERE" in toy.ARPA
    given = {word for graph in graphs.values() for word in graph.words.tolist() if 0 < word <= 6}
    assert given == {toy.lexicon().word_ids[word] for word in ("A", "AB", "B", "TO", "TWO")}


def test_transition_scores_are_kaldi_s_and_added_once(graphs):
    topology = make_topology(toy.lexicon())
    table = Tree.monophone(topology).table
    scores = scaled_transitions(table, np_log(table.probability), 1.0, 0.1).numpy()
    scored = graphs[True].with_transitions(scores)
    frames = graphs[True].label != FINAL
    added = scored.score - graphs[True].score
    assert np.allclose(added[frames], scores[graphs[True].transition[frames]], atol=1e-5)
    assert (added[~frames] == 0).all()
    loops = table.is_self_loop[graphs[True].transition[frames]]
    assert np.allclose(added[frames][loops & (graphs[True].label[frames] > 4)], 0.1 * math.log(0.75), atol=1e-5)


def np_log(probability: np.ndarray):
    import torch

    return torch.from_numpy(np.log(probability)).float()


def test_nothing_of_kaldilm_s_chatter_reaches_the_log(arpa, capfd):
    build(toy.lexicon(), arpa)
    out, err = capfd.readouterr()
    assert out == "" and err.count("\n") == 1 and "toy.arpa: 1 of its 6 words are not in the lexicon: ELSEWHERE" in err


def test_a_lexicon_and_an_n_gram_without_a_common_word_are_refused(tmp_path):
    path = toy.write_arpa(tmp_path / "other.arpa", toy.ARPA.replace("\tT", "\tX").replace("\tA", "\tY"))
    other = Lexicon({"HELLO": [("h",)], "<UNK>": [("SPN",)]})
    with pytest.raises(Refusal, match="other.arpa: lexicon and n-gram have no word in common; use the same spelling"):
        build(other, path)


def test_a_damaged_n_gram_is_refused_before_kaldilm_can_end_the_process(tmp_path):
    path = toy.write_arpa(tmp_path / "lm.arpa", toy.ARPA.replace("-0.3\tA TO", "?\tA TO"))
    with pytest.raises(Refusal, match="lm.arpa:17: not a line of an ARPA file"):
        build(toy.lexicon(), path)


def test_an_n_gram_that_ends_no_sentence_of_the_lexicon_is_refused(tmp_path):
    """A probability so small that no path has it."""
    text = toy.ARPA.replace("-0.7\t</s>", "-3e38\t</s>").replace("-0.3\tB </s>\n", "").replace("-0.2\tTWO </s>\n", "")
    path = toy.write_arpa(tmp_path / "lm.arpa", text.replace("ngram 2=6", "ngram 2=4"))
    with pytest.raises(Refusal, match="lm.arpa: the n-gram has no sentence of the lexicon's words; check the prob"):
        build(toy.lexicon(), path)


def test_a_packed_n_gram_makes_the_same_graph(arpa, tmp_path):
    (tmp_path / "lm.arpa.gz").write_bytes(gzip.compress(arpa.read_bytes()))
    graph, packed = build(toy.lexicon(), arpa), build(toy.lexicon(), tmp_path / "lm.arpa.gz")
    assert all(np.array_equal(getattr(graph, name), getattr(packed, name)) for name in ARRAYS)


def test_a_damaged_packed_n_gram_is_refused(arpa, tmp_path):
    (tmp_path / "lm.arpa.gz").write_bytes(gzip.compress(arpa.read_bytes())[:-20])
    with pytest.raises(Refusal, match="lm.arpa.gz: damaged gzip file .*; fetch or make it again"):
        build(toy.lexicon(), tmp_path / "lm.arpa.gz")
