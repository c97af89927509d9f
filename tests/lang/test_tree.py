"""Trees: windows, HMMs and transitions, and the way to disk and back."""

from __future__ import annotations

import json
import re

import pytest

from kdasr.lang.topology import make_topology
from kdasr.lang.tree import Hmm, Leaf, Split, Tree, leaves, read_tree
from kdasr.refusal import Refusal
from tests import toy

LEXICON = toy.lexicon(2, 2)
TOPOLOGY = make_topology(LEXICON)
A, B = LEXICON.phone_ids["a"], LEXICON.phone_ids["b"]


def tied() -> Tree:
    """The first state of `a` asks whether `b`, or no phone, stands before; all else is as in a monophone."""
    plain = dict((min(phones), node) for phones, node in Tree.monophone(TOPOLOGY).roots)
    last = Tree.monophone(TOPOLOGY).num_pdfs
    first, second = Tree.monophone(TOPOLOGY).pdfs((A,))
    before = Split("left", frozenset([0, B]), Leaf(first), Leaf(last))
    plain[A] = Split("state", frozenset([0]), before, Leaf(second))
    return Tree(TOPOLOGY, 3, tuple((frozenset([phone]), node) for phone, node in plain.items()))


def test_of_monophones_hmm_numbers_are_phone_numbers():
    tree = Tree.monophone(TOPOLOGY)
    assert tree.hmm_numbers == {(phone,): phone for phone in range(1, len(TOPOLOGY.phones) + 1)}
    assert tree.fingerprint == TOPOLOGY.fingerprint and tree.central == 0


def test_a_window_asks_its_way_to_the_pdfs():
    tree, plain = tied(), Tree.monophone(TOPOLOGY)
    own = plain.pdfs((A,))
    assert tree.pdfs((B, A, B)) == tree.pdfs((0, A, A)) == own
    assert tree.pdfs((A, A, B)) == (plain.num_pdfs, own[1])
    assert tree.pdfs((A, B, 0)) == plain.pdfs((B,))
    assert len(tree.hmms) == len(TOPOLOGY.phones) + 1 and tree.hmms[tree.hmm_numbers[A, A, B] - 1] == Hmm(
        A, (14, own[1])
    )
    assert tree.fingerprint != TOPOLOGY.fingerprint


def test_the_table_has_a_row_for_each_way_out_of_each_pdf_of_each_state():
    tree = tied()
    rows = list(
        zip(*(getattr(tree.table, name).tolist() for name in ("phone", "state", "pdf", "destination")), strict=True)
    )
    assert rows == sorted(rows, key=lambda row: row[:3]) and len(set(rows)) == len(rows)
    assert {pdf for phone, state, pdf, _ in rows if (phone, state) == (A, 0)} == {4, 14}
    seen = {(hmm.phone, state, pdf) for hmm in tree.hmms for state, pdf in enumerate(hmm.pdfs)}
    assert seen == set(tree.table.of_state) and {pdf for *_, pdf, _ in rows} == set(range(tree.num_pdfs))


def test_leaves_are_those_that_the_answers_leave_open():
    root = dict((min(phones), node) for phones, node in tied().roots)[A]
    assert [leaf.pdf for leaf in leaves(root)] == [4, 14, 5]
    assert [leaf.pdf for leaf in leaves(root, {"state": 0})] == [4, 14]
    assert [leaf.pdf for leaf in leaves(root, {"state": 0, "left": A})] == [14]


def test_a_tree_survives_the_disk_as_readable_json(tmp_path):
    tree = tied()
    tree.write(tmp_path / "tree.json")
    assert read_tree(tmp_path / "tree.json", TOPOLOGY) == tree
    node = json.loads((tmp_path / "tree.json").read_text())["roots"][A - 1]["node"]
    assert node["yes"]["ask"] == "left" and node["yes"]["in"] == ["-", "b"]


def test_names_tell_phone_state_and_pdf():
    assert tied().pdf_names()[14] == "a.0.14" and tied().silence_pdfs() == [0, 1, 2, 3]


@pytest.mark.parametrize(
    "old, new, told",
    [
        ('"width": 3', '"width": 7', "not a tree of these phones .*7"),
        ('"left"', '"middle"', "not a tree of these phones .*middle"),
        ('"in": ["-", "b"]', '"in": ["x"]', "not a tree of these phones .*x"),
    ],
)
def test_a_damaged_tree_is_refused(tmp_path, old, new, told):
    tied().write(tmp_path / "tree.json")
    text = json.dumps(json.loads((tmp_path / "tree.json").read_text()))
    assert old in text
    (tmp_path / "tree.json").write_text(text.replace(old, new, 1))
    with pytest.raises(Refusal, match=re.compile(told)):
        read_tree(tmp_path / "tree.json", TOPOLOGY)


def test_a_tree_without_a_phone_is_refused(tmp_path):
    tree = tied()
    Tree(TOPOLOGY, 3, tree.roots[1:]).write(tmp_path / "tree.json")
    with pytest.raises(Refusal, match="expected a root for each of 7 phones, found roots for 6"):
        read_tree(tmp_path / "tree.json", TOPOLOGY)
