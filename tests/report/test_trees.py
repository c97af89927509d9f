"""Trees for the reader: their text, and the lines and places of their pictures."""

from __future__ import annotations

import pytest

from kdasr.lang.tree import Leaf, Node, Split, Tree
from kdasr.refusal import Refusal
from kdasr.report import trees
from tests.lang import seen

TOPOLOGY = seen.topology("abc", states=3)  # SIL 1, SPN 2, a to c 3 to 5
MIDDLE, LAST = frozenset([0, 1]), frozenset([0])
OF_A = Split(
    "left",
    frozenset([0, 1]),
    Split("state", LAST, Leaf(4), Leaf(5)),
    Split("right", frozenset([4, 5]), Leaf(4), Split("state", MIDDLE, Leaf(6), Leaf(7))),
)
OF_B = Split("left", frozenset([0, 1]), Leaf(8), Split("left", frozenset([0, 1, 2, 3, 5]), Leaf(9), Leaf(10)))
SPEECH: dict[int, Node] = {3: OF_A, 4: OF_B, 5: Leaf(11)}
SILENCE = Tree.monophone(TOPOLOGY).roots[:2]
TREE = Tree(TOPOLOGY, 3, (*SILENCE, *((frozenset([phone]), node) for phone, node in SPEECH.items())))


def test_pdfs_are_counted_by_phone_and_state():
    assert trees.pdf_counts(TREE) == {
        "SIL": [2, 1, 1],
        "SPN": [2, 1, 1],
        "a": [4, 2, 3, 3],  # state 0: 4, 6; state 1: 5, 4, 6; state 2: 5, 4, 7
        "b": [3, 3, 3, 3],
        "c": [1, 1, 1, 1],
    }


def test_questions_are_counted_over_all_roots():
    asked = trees.asked(TREE)
    assert asked["left", frozenset([0, 1])] == 2 and asked["state", LAST] == 1 + 2  # silences ask it too
    assert sum(asked.values()) == 4 + 2 + 2


@pytest.mark.parametrize(
    "ask, members, text",
    [
        ("left", [4, 3], "left: a b"),
        ("right", [0, 1], "right: - SIL"),
        ("right", [0, 1, 2, 3, 5], "right: all but b"),
        ("left", [0, 2, 3, 5], "left: - SPN a c"),
        ("state", [1, 0], "state: 0 1"),
    ],
)
def test_a_question_is_told_by_names_the_larger_by_what_it_leaves_out(ask, members, text):
    assert trees.question_text(TREE, ask, frozenset(members)) == text


def test_the_summary_has_a_line_a_phone_and_the_questions_in_order():
    lines = trees.summary(TREE).splitlines()
    assert lines[0] == "12 pdfs of 5 phones; windows: left phone right"
    assert "a           4    2   3   3" in lines and "SIL         2    1   1" in lines
    title = lines.index("questions: 4 of state, 3 of left, 1 of right; most often")
    assert lines[title + 1 : title + 3] == ["    3  state: 0", "    2  left: - SIL"]
    assert len(lines) == title + 1 + len(trees.asked(TREE))


def test_a_tree_without_questions_has_a_summary_too():
    single = Tree(TOPOLOGY, 1, tuple((frozenset([phone]), Leaf(phone - 1)) for phone in range(1, 6)))
    assert trees.summary(single).splitlines()[-1] == "no questions"


def test_one_phone_is_indented_by_depth():
    assert trees.phone_text(TREE, "a").splitlines() == [
        "a",
        "  left: - SIL",
        "    yes: state: 0",
        "      yes: pdf 4",
        "      no: pdf 5",
        "    no: right: b c",
        "      yes: pdf 4",
        "      no: state: 0 1",
        "        yes: pdf 6",
        "        no: pdf 7",
    ]
    assert trees.phone_text(TREE, "c") == "c\n  pdf 11"


def test_an_unknown_phone_is_refused(tmp_path):
    for call in (lambda: trees.phone_text(TREE, "A"), lambda: trees.draw_phone(tmp_path / "x.png", TREE, "A")):
        with pytest.raises(Refusal, match="--phone: unknown phone 'A'; known: SIL, SPN, a, b, c"):
            call()
    assert not list(tmp_path.iterdir())


def test_leaves_have_a_row_each_and_questions_stand_between_their_answers():
    nodes = list(trees.place(OF_A, frozenset([0, 1, 2])).below())
    found = [(node.node.pdf, node.depth, node.row, set(node.states)) for node in nodes if isinstance(node.node, Leaf)]
    assert found == [(4, 2, 0, {0}), (5, 2, 1, {1, 2}), (4, 2, 2, {0, 1, 2}), (6, 3, 3, {0, 1}), (7, 3, 4, {2})]
    splits = [(node.depth, node.row) for node in nodes if isinstance(node.node, Split)]
    assert splits == [(0, 1.625), (1, 0.5), (1, 2.75), (2, 3.5)]


@pytest.fixture
def figures(monkeypatch):
    from matplotlib.figure import Figure

    drawn: list[Figure] = []
    save = Figure.savefig

    def note(figure, path, **arguments):
        drawn.append(figure)
        save(figure, path, **arguments)

    monkeypatch.setattr(Figure, "savefig", note)
    return drawn


def test_the_picture_of_a_phone_has_all_its_nodes(tmp_path, figures):
    trees.draw_phone(tmp_path / "a.png", TREE, "a")
    texts = [text.get_text() for text in figures[0].axes[0].texts]
    assert sorted(texts)[:3] == ["left: - SIL", "pdf 4, state 0", "pdf 4, state 0 1 2"] and len(texts) == 9
    assert len(figures[0].axes[0].lines) == 8
    trees.draw_phone(tmp_path / "c.png", TREE, "c")
    assert [text.get_text() for text in figures[1].axes[0].texts] == ["pdf 11, state 0 1 2"]


def test_the_picture_of_all_has_a_bar_for_each_state_and_question(tmp_path, figures):
    trees.draw(tmp_path / "all.png", TREE)
    phones, questions = figures[0].axes
    widths = {bar.get_label(): [patch.get_width() for patch in bar] for bar in phones.containers}
    assert widths == {"state 0": [1, 1, 2, 3, 1], "state 1": [1, 1, 3, 3, 1], "state 2": [0, 0, 3, 3, 1]}
    assert [patch.get_width() for patch in questions.patches[:2]] == [3, 2]
    assert [label.get_text() for label in questions.get_yticklabels()[:2]] == ["state: 0", "left: - SIL"]


def test_pictures_are_pngs_and_the_same_again(tmp_path):
    for name in ("one", "two"):
        trees.draw(tmp_path / f"{name}.png", TREE)
        trees.draw_phone(tmp_path / f"{name}-a.png", TREE, "a")
    for kind in ("", "-a"):
        first = (tmp_path / f"one{kind}.png").read_bytes()
        assert first.startswith(b"\x89PNG") and first == (tmp_path / f"two{kind}.png").read_bytes()
    assert len(list(tmp_path.iterdir())) == 4
