"""Trees of tied states for the reader: pdfs by phone, the questions asked most, one phone's tree; text and pictures."""

from __future__ import annotations

import itertools
import textwrap
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kdasr import io
from kdasr.lang.tree import PLACES, STATE, Leaf, Node, Split, Tree, leaves
from kdasr.refusal import unknown_name

MOST = 15  # questions that are listed
STATE_COLOURS = ("tab:blue", "tab:orange", "tab:green", "tab:red", "tab:purple")  # of states 0, 1, ..., and again
ASK_COLOURS = {"left": "tab:blue", "right": "tab:orange", "phone": "tab:gray", STATE: "tab:green"}


def pdf_counts(tree: Tree) -> dict[str, list[int]]:
    """Phone -> number of pdfs that it has in all, then that each of its states has."""
    counts = {}
    for number, phone in enumerate(tree.topology.phones, start=1):
        root = _root(tree, phone)
        states = range(tree.topology.num_states(number))
        open_to = [{leaf.pdf for leaf in leaves(root, {STATE: state, "phone": number})} for state in states]
        counts[phone] = [len(set().union(*open_to)), *map(len, open_to)]
    return counts


def asked(tree: Tree) -> Counter[tuple[str, frozenset[int]]]:
    """(what is asked for, members) -> in how many nodes of all roots."""
    return Counter((split.ask, split.members) for _, root in tree.roots for split in _splits(root))


def question_text(tree: Tree, ask: str, members: frozenset[int]) -> str:
    """A question in words: `left: M N`, `right: all but S Z`, `state: 0 1`; `-` is no phone."""
    if ask == STATE:
        return f"{ask}: {' '.join(map(str, sorted(members)))}"
    names = ["-", *tree.topology.phones]
    others = set(range(len(names))) - members
    told, numbers = ("", members) if len(members) <= 2 * len(others) else ("all but ", others)
    return f"{ask}: {told}{' '.join(names[number] for number in sorted(numbers))}"


def summary(tree: Tree) -> str:
    """The tree in a page: pdfs in all and by phone and state, and the questions asked most."""
    counts, questions = pdf_counts(tree), asked(tree)
    lines = [f"{tree.num_pdfs} pdfs of {len(counts)} phones; windows: {' '.join(PLACES[tree.width])}", ""]
    lines += ["phone    pdfs  of each state"]
    lines += [
        f"{phone:8} {total:4}  {' '.join(f'{count:3}' for count in each)}" for phone, (total, *each) in counts.items()
    ]
    by_ask = Counter[str]()
    for (ask, _), times in questions.items():
        by_ask[ask] += times
    told = ", ".join(f"{times} of {ask}" for ask, times in by_ask.most_common())
    lines += ["", f"questions: {told}; most often" if told else "no questions"]
    lines += [f"{times:5}  {question_text(tree, *question)}" for question, times in questions.most_common(MOST)]
    return "\n".join(lines)


def phone_text(tree: Tree, phone: str) -> str:
    """One phone's questions and pdfs, indented by depth. Raises Refusal if the tree has no such phone."""

    def lines(node: Node, answer: str, depth: int) -> Iterator[str]:
        if isinstance(node, Leaf):
            yield f"{'  ' * depth}{answer}pdf {node.pdf}"
        else:
            yield f"{'  ' * depth}{answer}{question_text(tree, node.ask, node.members)}"
            yield from lines(node.yes, "yes: ", depth + 1)
            yield from lines(node.no, "no: ", depth + 1)

    return "\n".join([phone, *lines(_root(tree, phone), "", 1)])


def draw(path: str | Path, tree: Tree) -> None:
    """Draws pdfs by phone and state, and the questions asked most, into a PNG, atomically."""
    from matplotlib.figure import Figure

    counts, questions = pdf_counts(tree), asked(tree).most_common(MOST)
    figure = Figure(figsize=(14, max(4, 1 + 0.2 * len(counts))), layout="constrained")
    left, right = figure.subplots(1, 2)
    for state in range(max(len(each) - 1 for each in counts.values())):
        widths = [dict(enumerate(each[1:])).get(state, 0) for each in counts.values()]
        begins = [sum(each[1 : 1 + state]) for each in counts.values()]
        colour = STATE_COLOURS[state % len(STATE_COLOURS)]
        left.barh(list(counts), widths, left=begins, color=colour, label=f"state {state}")
    left.set(xlabel="pdfs of each state", title=f"{tree.num_pdfs} pdfs of {len(counts)} phones")
    left.legend()
    texts = [textwrap.shorten(question_text(tree, *question), 60, placeholder=" …") for question, _ in questions]
    right.barh(
        range(len(texts)), [times for _, times in questions], color=[ASK_COLOURS[ask] for (ask, _), _ in questions]
    )
    right.set_yticks(range(len(texts)), texts)
    right.set(xlabel="nodes that ask", title="questions asked most")
    for axes in (left, right):
        axes.invert_yaxis()
        axes.grid(axis="x", alpha=0.3)
    _save(path, figure)


def draw_phone(path: str | Path, tree: Tree, phone: str) -> None:
    """Draws one phone's tree from left to right, yes above no, into a PNG, atomically.

    Raises:
        Refusal: the tree has no such phone.
    """
    from matplotlib.figure import Figure

    top = place(_root(tree, phone), frozenset(range(tree.topology.num_states(tree.topology.phones.index(phone) + 1))))
    nodes = list(top.below())
    depth, rows = max(node.depth for node in nodes), 1 + max(node.row for node in nodes)
    figure = Figure(figsize=(2.4 * (depth + 1), 0.4 * (rows + 2)), layout="constrained")
    axes = figure.subplots()
    for node in nodes:
        for branch in node.branches:
            axes.plot([node.depth, node.depth, branch.depth], [node.row, branch.row, branch.row], color="black", lw=0.8)
        colour = "white" if isinstance(node.node, Leaf) else ASK_COLOURS[node.node.ask]
        box = {"boxstyle": "round", "facecolor": "white", "edgecolor": colour}
        axes.text(node.depth, node.row, _node_text(tree, node), va="center", fontsize=7, bbox=box)
    axes.set(xlim=(-0.1, depth + 0.6), ylim=(rows, -1), title=f"{phone}: yes above, no below")
    axes.axis("off")
    _save(path, figure)


@dataclass(frozen=True)
class Placed:
    """A node in a picture.

    Attributes:
        node: the node.
        depth: column, 0 of the root.
        row: line from the top; leaves have one each, in order, a question stands midway between its answers.
        states: of the phone, those that come here.
        branches: its answers, yes and no.
    """

    node: Node
    depth: int
    row: float
    states: frozenset[int]
    branches: tuple[Placed, ...] = ()

    def below(self) -> Iterator[Placed]:
        """This node and all below."""
        yield self
        for branch in self.branches:
            yield from branch.below()


def place(node: Node, states: frozenset[int], depth: int = 0, rows: Iterator[int] | None = None) -> Placed:
    """Where a node and those below stand in a picture; `rows` counts those that leaves took already."""
    rows = itertools.count() if rows is None else rows
    if isinstance(node, Leaf):
        return Placed(node, depth, next(rows), states)
    yes, no = (states & node.members, states - node.members) if node.ask == STATE else (states, states)
    branches = place(node.yes, yes, depth + 1, rows), place(node.no, no, depth + 1, rows)
    return Placed(node, depth, (branches[0].row + branches[1].row) / 2, states, branches)


def _node_text(tree: Tree, placed: Placed) -> str:
    if isinstance(placed.node, Leaf):
        return f"pdf {placed.node.pdf}, state {' '.join(map(str, sorted(placed.states)))}"
    text = question_text(tree, placed.node.ask, placed.node.members)
    return "\n".join(textwrap.wrap(text, 28, max_lines=2, placeholder=" …"))


def _root(tree: Tree, phone: str) -> Node:
    """The root of a phone. Raises Refusal if the tree has none."""
    if phone not in tree.topology.phones:
        raise unknown_name("phone", phone, tree.topology.phones, "--phone")
    number = tree.topology.phones.index(phone) + 1
    return next(node for phones, node in tree.roots if number in phones)


def _splits(node: Node) -> Iterator[Split]:
    """The questions of a node and below."""
    if isinstance(node, Split):
        yield node
        yield from _splits(node.yes)
        yield from _splits(node.no)


def _save(path: str | Path, figure: Any) -> None:
    with io.atomic(path) as part:
        figure.savefig(part, format="png", dpi=100, metadata={"Software": None})  # no version: the same bytes
