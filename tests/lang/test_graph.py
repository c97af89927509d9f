"""Graphs of transcripts against every pronunciation and pause written out; their states against every state path."""

import itertools
import math
from collections import Counter

import numpy as np
import pytest

from kdasr.fsa import FINAL, make_graph
from kdasr.lang.graph import alignment_graph, expand_states, transcript_graph
from kdasr.lang.topology import make_topology
from kdasr.lang.tree import Leaf, Tree
from kdasr.refusal import Refusal
from tests import toy

LEXICON = toy.lexicon()


@pytest.mark.parametrize("text", ["A", "AB", "B", "A B", "B AB", "TO TWO B", "A A A", "<UNK> B"])
def test_a_transcript_s_graph_holds_every_pronunciation_and_pause_once(text):
    words = text.split()
    graph = transcript_graph(words, LEXICON)
    found: Counter = Counter()
    for path in toy.all_paths(graph):
        phones = tuple(int(graph.label[arc]) for arc in path[:-1])
        found[phones, round(float(graph.score[path].sum()), 4)] += 1
        assert toy.words_of(graph, path, len(LEXICON.words)) == [LEXICON.word_ids[word] for word in words]
    assert found == Counter((tuple(phones), round(score, 4)) for phones, score in toy.pronounced(words, LEXICON))


def test_silence_has_the_probability_of_the_options():
    lexicon = toy.lexicon()
    object.__setattr__(lexicon.options, "silence_probability", 0.2)
    scores = sorted(
        math.exp(transcript_graph(["A"], lexicon).score[path].sum())
        for path in toy.all_paths(transcript_graph(["A"], lexicon))
    )
    assert np.allclose(scores, [0.2 * 0.2, 0.2 * 0.8, 0.8 * 0.2, 0.8 * 0.8])


def test_a_transcript_without_words_is_refused():
    with pytest.raises(Refusal, match="a transcript without words cannot be aligned"):
        transcript_graph([], LEXICON)


def test_a_word_that_is_not_in_the_lexicon_is_refused():
    with pytest.raises(Refusal, match="the word 'ZEBRA' is not in the lexicon; replace it by Lexicon.known"):
        transcript_graph(["A", "ZEBRA"], LEXICON)
    assert len(transcript_graph(LEXICON.known("A ZEBRA"), LEXICON)) > 0


def state_paths(phones: list[int], tree: Tree, num_frames: int) -> Counter[tuple[int, ...]]:
    """Transition ids of every way through the HMMs of a phone sequence, by the topology's own lists."""
    table, topology = tree.table, tree.topology
    columns = (getattr(table, name).tolist() for name in ("phone", "state", "pdf", "destination"))
    number = {key: id for id, key in enumerate(zip(*columns, strict=True))}
    pdfs = [tree.pdfs(window) for window in toy.windows(phones, tree.width)]
    found: Counter = Counter()

    def walk(place: int, state: int, path: tuple[int, ...]) -> None:
        if place == len(phones):
            found[path] += len(path) == num_frames
        elif len(path) < num_frames:
            for to, _ in topology.states[phones[place] - 1][state]:
                leaves = to == topology.num_states(phones[place])
                id = number[phones[place], state, pdfs[place][state], to]
                walk(place + leaves, 0 if leaves else to, (*path, id))

    walk(0, 0, ())
    return +found


@pytest.mark.parametrize("width, group", [(1, 1), (2, 1), (2, 3), (3, 1), (3, 3)])
@pytest.mark.parametrize("states, silence_states", [(1, 2), (2, 3), (3, 4)])
@pytest.mark.parametrize("text", ["A", "B"])
def test_the_expanded_graph_holds_every_state_path_once(text, states, silence_states, width, group):
    lexicon = toy.lexicon(states, silence_states)
    tree = toy.context_tree(make_topology(lexicon), width, group)
    graph = alignment_graph([text], lexicon, tree)
    for num_frames in (1, 4, 6):
        expected: Counter = Counter()
        for phones, _ in toy.pronounced([text], lexicon):
            expected += state_paths(phones, tree, num_frames)
        found = Counter(tuple(graph.transition[path[:-1]].tolist()) for path in toy.all_paths(graph, num_frames))
        assert found == expected


def test_arcs_of_an_hmm_into_the_same_state_share_its_states():
    tree = Tree.monophone(make_topology(toy.lexicon(3, 5)))
    arcs = [(0, 1, 3, -1.0, 1), (0, 2, 4, 0.0, 0), (1, 2, 3, -2.0, 2), (0, 2, 3, -3.0, 4), (0, 2, 3, -4.0, 0)]
    graph = expand_states(make_graph([*arcs, (2, 3, FINAL, 0.0, 0)]), tree)
    assert graph.num_states == 4 + 3 * 3  # phone 3 into 1 and into 2, phone 4 into 2
    into_2 = (graph.phone_start == 1) & (tree.table.phone[graph.transition] == 3) & np.isin(graph.words, (0, 2, 4))
    starts = {(graph.source[arc], graph.score[arc], graph.words[arc]) for arc in np.flatnonzero(into_2)}
    assert starts == {(0, -3.0, 4), (0, -4.0, 0), (1, -2.0, 2)}


def test_score_words_and_phone_start_stand_on_the_first_frame_of_a_phone():
    lexicon = toy.lexicon(2, 3)
    topology = make_topology(lexicon)
    table = Tree.monophone(topology).table
    phones = transcript_graph(["AB", "B"], lexicon)
    graph = expand_states(phones, Tree.monophone(topology))
    scores: dict[tuple[int, ...], float] = {}
    for path in toy.all_paths(phones):
        scores[tuple(int(phones.label[arc]) for arc in path[:-1])] = float(phones.score[path].sum())
    for path in itertools.islice(toy.all_paths(graph, 13), 3000):
        arcs = np.array(path[:-1])
        starts = graph.phone_start[arcs] == 1
        assert (graph.words[arcs][~starts] == 0).all() and (graph.score[arcs][~starts] == 0).all()
        assert starts[0] and (table.state[graph.transition[arcs]][starts] == 0).all()
        spoken = tuple(table.phone[graph.transition[arcs]][starts].tolist())
        assert float(graph.score[path].sum()) == pytest.approx(scores[spoken], abs=1e-5)
        assert [lexicon.words[word - 1] for word in graph.words[arcs] if word] == ["AB", "B"]


def test_labels_are_the_pdf_of_the_state_left():
    topology = make_topology(toy.lexicon(3, 5))
    graph = expand_states(transcript_graph(["TO"], toy.lexicon(3, 5)), Tree.monophone(topology))
    frames = graph.label != FINAL
    assert (graph.label[frames] == Tree.monophone(topology).table.pdf[graph.transition[frames]] + 1).all()
    assert (graph.transition[~frames] == -1).all() and (graph.target[~frames] == graph.num_states - 1).all()


def test_arcs_are_sorted_and_states_numbered_without_gaps():
    topology = make_topology(toy.lexicon(3, 5))
    graph = expand_states(transcript_graph(["B", "AB"], toy.lexicon(3, 5)), Tree.monophone(topology))
    order = np.lexsort((graph.label, graph.source))
    assert (order == np.arange(len(graph))).all()
    assert set(np.union1d(graph.source, graph.target)) == set(range(graph.num_states))
    assert {array.dtype for array in (graph.source, graph.label, graph.words)} == {np.dtype(np.int32)}


def test_the_pdfs_of_a_state_are_the_tree_s_matter():
    """Tied states: the two states of each phone share a pdf."""
    lexicon = toy.lexicon(2, 2)
    topology = make_topology(lexicon)
    roots = tuple((frozenset([phone]), Leaf(phone - 1)) for phone in range(1, len(topology.phones) + 1))
    tied = Tree(topology, 1, roots)
    plain = expand_states(transcript_graph(["AB"], lexicon), Tree.monophone(topology))
    graph = expand_states(transcript_graph(["AB"], lexicon), tied)
    frames = graph.label != FINAL
    assert (graph.label[frames] == tied.table.pdf[graph.transition[frames]] + 1).all()
    assert (graph.label[frames] == tied.table.phone[graph.transition[frames]]).all()
    assert len(graph) == len(plain) and graph.num_states == plain.num_states


def test_an_empty_graph_is_an_error():
    with pytest.raises(ValueError, match="a graph needs arcs"):
        make_graph([])
