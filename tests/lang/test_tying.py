"""Trees grown by likelihood, against a plain search over all questions on the frames themselves."""

from __future__ import annotations

import itertools
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest

from kdasr.lang.questions import phone_clusters
from kdasr.lang.tree import PLACES, Leaf, Split, Tree, Window, read_tree
from kdasr.lang.tying import TreeOptions, build_tree
from kdasr.refusal import Refusal
from tests.lang import seen

TOPOLOGY = seen.topology()  # SIL 1 and SPN 2, with 2 states each; a to d are 3 to 6, with 2
FILE = "a b\na c d\nc\nd b\nSIL a\n"
SETS = [{3, 4}, {3, 5, 6}, {5}, {6, 4}, {1, 3}, {0}, {1}, {2}, {0, 1, 2}]  # those of the file and of silence
OPTIONS = TreeOptions(leaves=16, minimum_occupancy=5, cluster_threshold=0, variance_floor=0.05)


class Twin:
    """The plain search: every question tried at every leaf before each split; then every pair of leaves.

    Args:
        spoken: the frames.
        options: as of the tree.
        phone: whose states are tied, in one root.
    """

    def __init__(self, spoken: seen.Seen, options: TreeOptions) -> None:
        self.spoken, self.options, self.gains = spoken, options, list[float]()
        self.tree: dict[int, Any] = {phone: tuple(spoken.of_phone(phone)) for phone in (3, 4, 5, 6)}
        while self.leaves() < options.leaves - 4 and (best := self.best()):
            gain, phone, path, question, parts = best
            self.gains.append(gain)
            self.tree[phone] = put(self.tree[phone], path, (question, *parts))
        threshold = min(self.gains, default=0.0) if options.cluster_threshold < 0 else options.cluster_threshold
        self.joined = {rows: number for number, part in enumerate(self.merged(threshold)) for rows in part}

    def leaves(self) -> int:
        return sum(1 for tree in self.tree.values() for _ in ends(tree))

    @cache  # noqa: B019
    def likelihood(self, rows: frozenset[seen.Row]) -> float:
        frames = [self.spoken.frames[row] for row in sorted(rows)]
        return seen.log_likelihood(np.concatenate(frames), self.options.variance_floor)

    def best(self) -> tuple[Any, ...] | None:
        found = None
        for phone, tree in self.tree.items():
            for path, rows in ends(tree):
                for question in questions(self.options.width):
                    parts = [tuple(row for row in rows if answer(row, question) is told) for told in (True, False)]
                    frames = [sum(len(self.spoken.frames[row]) for row in part) for part in parts]
                    if min(frames) >= self.options.minimum_occupancy:
                        after = sum(self.likelihood(frozenset(part)) for part in parts)
                        gain = after - self.likelihood(frozenset(rows))
                        if found is None or gain > found[0]:
                            found = gain, phone, path, question, parts
        return found

    def merged(self, threshold: float) -> list[set[tuple[seen.Row, ...]]]:
        clusters = []
        for tree in self.tree.values():
            standing = [{rows} for _, rows in ends(tree)]
            while len(standing) > 1:
                pairs = itertools.combinations(range(len(standing)), 2)
                loss, one, other = min((self.loss(standing[one], standing[other]), one, other) for one, other in pairs)
                if loss >= threshold * (1 - 1e-9):
                    break
                standing[one] |= standing.pop(other)
            clusters += standing
        return clusters

    def loss(self, *clusters: set[tuple[seen.Row, ...]]) -> float:
        each = [frozenset(row for rows in cluster for row in rows) for cluster in clusters]
        return sum(map(self.likelihood, each)) - self.likelihood(frozenset.union(*each))

    def pdf(self, window: Window, state: int) -> int:
        """The cluster that a window's state comes to."""
        node = self.tree[window[len(window) // 2]]
        while is_split(node):
            node = node[1] if answer((window, state), node[0]) else node[2]
        return self.joined[node]


def questions(width: int) -> list[tuple[str, set[int]]]:
    return [
        *((place, phones) for place in ("left", "right")[: width - 1] for phones in SETS),
        ("state", {0}),
    ]


def answer(row: seen.Row, question: tuple[str, set[int]]) -> bool:
    window, state = row
    return (dict(zip(PLACES[len(window)], window, strict=True)) | {"state": state})[question[0]] in question[1]


def is_split(tree: Any) -> bool:
    return bool(tree) and isinstance(tree[0][0], str)


def ends(tree: Any, path: tuple[int, ...] = ()) -> Any:
    if is_split(tree):
        yield from ends(tree[1], (*path, 1))
        yield from ends(tree[2], (*path, 2))
    else:
        yield path, tree


def put(tree: Any, path: tuple[int, ...], new: Any) -> Any:
    if not path:
        return new
    changed = list(tree)
    changed[path[0]] = put(tree[path[0]], path[1:], new)
    return tuple(changed)


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "questions.txt"
    path.write_text(FILE)
    return str(path)


def speech_pdfs(tree: Tree) -> dict[tuple[Window, int], int]:
    """Every window and state of a to d -> its pdf."""
    windows = (window for window in tree.windows() if window[tree.central] > 2)
    return {(window, state): pdf for window in windows for state, pdf in enumerate(tree.pdfs(window))}


@pytest.mark.parametrize("width", [2, 3])
@pytest.mark.parametrize("leaves", [8, 12, 20, 30])
@pytest.mark.parametrize("threshold, floor", [(0.0, 0.05), (-1.0, 0.05), (25.0, 1.0)])
def test_the_tree_is_that_of_the_plain_search(file, width, leaves, threshold, floor):
    options = replace(
        OPTIONS, width=width, leaves=leaves, cluster_threshold=threshold, variance_floor=floor, questions=file
    )
    spoken = seen.speak(120, width=width, seed=leaves)
    tree, _ = build_tree(spoken.statistics(), TOPOLOGY, options)
    twin, found = Twin(spoken, options), speech_pdfs(tree)
    pairs = {(pdf, twin.pdf(*row)) for row, pdf in found.items()}  # windows never seen are among them
    assert len(pairs) == len({pdf for pdf, _ in pairs}) == len({cluster for _, cluster in pairs})
    assert tree.num_pdfs == 4 + len(set(twin.joined.values())) and len(found) > len(spoken.frames)
    assert leaves > 20 or threshold or tree.num_pdfs == leaves  # at 30 the minimum occupancy may stop it


def test_the_cases_are_not_all_the_same(file):
    """Clustering joins leaves, and minimum occupancy holds splits back."""
    spoken = seen.speak(120, seed=20)
    options = replace(OPTIONS, leaves=20, questions=file)
    joined, held_back = replace(options, cluster_threshold=-1.0), replace(options, minimum_occupancy=60.0)
    sizes = [build_tree(spoken.statistics(), TOPOLOGY, each)[0].num_pdfs for each in (options, joined, held_back)]
    assert sizes[0] == 20 and sizes[1] < 20 and sizes[2] < 20


def test_each_pdf_has_the_frames_that_the_tree_sends_to_it():
    spoken = seen.speak(150, seed=3)
    tree, statistics = build_tree(spoken.statistics(), TOPOLOGY, OPTIONS)
    frames: dict[int, list[np.ndarray]] = {}
    for (window, state), x in spoken.frames.items():
        frames.setdefault(tree.pdfs(window)[state], []).append(x)
    assert statistics.occupancy.shape == (tree.num_pdfs,) and statistics.first.shape == (tree.num_pdfs, 2)
    for pdf in range(tree.num_pdfs):
        x = np.concatenate([np.empty((0, 2)), *frames.get(pdf, [])])
        assert statistics.occupancy[pdf] == len(x)
        assert np.allclose(statistics.first[pdf], x.sum(0)) and np.allclose(statistics.second[pdf], (x**2).sum(0))
    assert statistics.occupancy[:2].min() > 0 and statistics.occupancy[2:4].tolist() == [0, 0]  # SPN is not seen


def test_silence_is_untied_and_its_pdfs_come_first():
    tree, _ = build_tree(seen.speak().statistics(), TOPOLOGY, OPTIONS)
    assert tree.silence_pdfs() == [0, 1, 2, 3]
    assert {tree.pdfs(window) for window in tree.windows() if window[1] == 1} == {(0, 1)}
    assert {tree.pdfs(window) for window in tree.windows() if window[1] == 2} == {(2, 3)}
    assert min(speech_pdfs(tree).values()) == 4 and set(speech_pdfs(tree).values()) == set(range(4, tree.num_pdfs))


def test_silence_phones_that_are_not_the_first_ones_have_the_first_pdfs_too():
    """The topology of a user's own may have them anywhere."""
    order = [2, 1, 0, 3, 4, 5]  # places of a, SPN, SIL, b, c, d
    moved = replace(
        TOPOLOGY,
        phones=tuple(TOPOLOGY.phones[place] for place in order),
        states=tuple(TOPOLOGY.states[place] for place in order),
    )
    number = {0: 0, **{place + 1: new + 1 for new, place in enumerate(order)}}
    frames: dict[seen.Row, np.ndarray] = {
        ((number[left], number[phone], number[right]), state): x
        for ((left, phone, right), state), x in seen.speak().frames.items()
    }
    tree, statistics = build_tree(seen.Seen(moved, frames).statistics(), moved, OPTIONS)
    assert tree.silence_pdfs() == [0, 1, 2, 3] and tree.pdfs((0, 3, 0)) == (0, 1) and tree.pdfs((0, 1, 0))[0] > 3
    assert statistics.occupancy[4:].min() > 0


def test_a_phone_that_was_never_seen_has_one_pdf_without_frames():
    spoken = seen.speak(phones="abc")  # d, which is 6, is in the lexicon
    tree, statistics = build_tree(spoken.statistics(), seen.topology("abcd"), OPTIONS)
    of_d = {pdf for window in tree.windows() if window[1] == 6 for pdf in tree.pdfs(window)}
    assert len(of_d) == 1 and statistics.occupancy[of_d.pop()] == 0
    assert tree.pdfs((6, 3, 6))  # and may stand beside others


def test_the_tree_reads_back_and_asks_clusters_of_phones(tmp_path):
    spoken = seen.speak(150, seed=4)
    tree, _ = build_tree(spoken.statistics(), TOPOLOGY, replace(OPTIONS, leaves=20))
    tree.write(tmp_path / "tree.json")
    assert read_tree(tmp_path / "tree.json", TOPOLOGY) == tree
    clusters = phone_clusters(spoken.statistics(), TOPOLOGY, OPTIONS.variance_floor)
    allowed = {*clusters, *map(frozenset, ([0], [1], [2], [0, 1, 2]))}

    def check(node: Leaf | Split) -> None:
        if isinstance(node, Split):
            assert node.yes != node.no and (node.members == {0} if node.ask == "state" else node.members in allowed)
            check(node.yes)
            check(node.no)

    for _, root in tree.roots[2:]:
        check(root)
    assert any(isinstance(root, Split) for _, root in tree.roots[2:])


def test_the_log_tells_leaves_and_gain_over_monophones(capsys):
    spoken = seen.speak(150, seed=5)
    tree, _ = build_tree(spoken.statistics(), TOPOLOGY, replace(OPTIONS, leaves=14))
    mono = Tree.monophone(TOPOLOGY)

    def likelihood(pdf_of: Any) -> float:
        frames: dict[int, list[np.ndarray]] = {}
        for row, x in spoken.frames.items():
            frames.setdefault(pdf_of(row), []).append(x)
        return sum(seen.log_likelihood(np.concatenate(x), OPTIONS.variance_floor) for x in frames.values())

    after = likelihood(lambda row: tree.pdfs(row[0])[row[1]])
    before = likelihood(lambda row: mono.pdfs((row[0][1],))[row[1]])
    speech = sum(len(x) for (window, _), x in spoken.frames.items() if window[1] > 2)
    gain = (after - before) / speech
    told = f"tree: 14 leaves of 14 asked, 14 pdfs; log-likelihood {gain:.3f} per frame of speech above monophones\n"
    assert capsys.readouterr().err.endswith(told) and gain > 0.1


def refusal(spoken: seen.Seen, topology: Any = TOPOLOGY, **changed: Any) -> str:
    with pytest.raises(Refusal) as caught:
        build_tree(spoken.statistics(), topology, replace(OPTIONS, **changed))
    return str(caught.value)


def test_one_phone_alone_is_refused():
    told = "lexicon: states cannot be tied (expected two phones or more besides silence, found 1); stay with monophones"
    assert refusal(seen.speak(phones="a"), seen.topology("a")) == told


def test_no_statistics_are_refused():
    silence = {row: x for row, x in seen.speak().frames.items() if row[0][1] == 1}
    assert refusal(seen.Seen(TOPOLOGY, silence)) == "tree: no statistics of phones in context; align speech first"


def test_more_leaves_than_states_in_context_are_refused():
    spoken = seen.speak(30)
    seen_states = sum(len(spoken.of_phone(phone)) for phone in (3, 4, 5, 6))
    told = refusal(spoken, leaves=seen_states + 5)
    assert told.startswith("tree.leaves: more leaves than states of phones in context were seen (expected at most ")
    assert f"most {seen_states + 4}, found {seen_states + 5}); ask for fewer" in told
    build_tree(spoken.statistics(), TOPOLOGY, replace(OPTIONS, leaves=seen_states + 4))


def test_fewer_leaves_than_roots_are_refused():
    told = "too few leaves (expected at least 8, 4 states of silence and a root for each of 4 phones, found 7)"
    assert refusal(seen.speak(), leaves=7) == f"tree.leaves: {told}"
    assert build_tree(seen.speak().statistics(), TOPOLOGY, replace(OPTIONS, leaves=8))[0].num_pdfs == 8


def test_an_unknown_phone_in_the_file_of_questions_is_refused(tmp_path):
    (tmp_path / "q.txt").write_text("a e\n")
    assert "q.txt:1: unknown phone 'e'" in refusal(seen.speak(), questions=str(tmp_path / "q.txt"))


@pytest.mark.parametrize(
    "changed", [{"width": 1}, {"width": 4}, {"leaves": 0}, {"minimum_occupancy": 0.5}, {"variance_floor": 0.0}]
)
def test_options_out_of_range_are_errors(changed):
    with pytest.raises(ValueError, match="must be"):
        replace(OPTIONS, **changed)
