"""Growing a tree: the states of phones in context are split by questions where that gains the most likelihood.

The procedure is that of Kaldi's build-tree: all states of a phone begin in one root; the next split is the best of all,
in whichever root; then leaves of one root that hardly differ are joined. A silence phone's states keep pdfs of their
own. Windows that were never seen go where the questions send them.
"""

from __future__ import annotations

import heapq
import itertools
from dataclasses import dataclass

import numpy as np

from kdasr import log
from kdasr.lang.clustering import partition
from kdasr.lang.questions import Phones, Question, phone_clusters, questions, read_questions
from kdasr.lang.splitting import SAME, BestSplit, Splitter
from kdasr.lang.statistics import ContextStatistics, PdfStatistics, log_likelihoods, pooled
from kdasr.lang.topology import Topology
from kdasr.lang.tree import Leaf, Node, Split, Tree, untied
from kdasr.refusal import Refusal


@dataclass(frozen=True)
class TreeOptions:
    """Options of state tying.

    Attributes:
        width: phones of a window: 3 for triphones, 2 for left biphones.
        leaves: grown in all, those of silence among them; some are joined afterwards.
        minimum_occupancy: frames on either side of a split (Kaldi: none; but a split must gain 300 of log-likelihood).
        cluster_threshold: leaves of a phone are joined where that loses less log-likelihood than this; 0: none are,
            below 0: less than the poorest split gained (Kaldi: -1).
        variance_floor: smallest variance (Kaldi: 0.01).
        questions: file of `PHONE PHONE ...` lines, a question a line; if none is named, phones are clustered.
    """

    width: int = 3
    leaves: int = 2000
    minimum_occupancy: float = 50.0
    cluster_threshold: float = -1.0
    variance_floor: float = 0.01
    questions: str = ""

    def __post_init__(self) -> None:
        if self.width not in (2, 3):
            raise ValueError(f"width must be 2 or 3, found {self.width}")
        if self.leaves < 1 or self.minimum_occupancy < 1 or self.variance_floor <= 0:
            raise ValueError("leaves and minimum_occupancy must be at least 1, variance_floor above 0")


@dataclass
class _Growing:
    """A node: the rows of statistics that come here; then a question and where they go on, or their pdf."""

    rows: np.ndarray
    question: Question | None = None
    branches: tuple[_Growing, ...] = ()
    pdf: int = -1

    def ends(self) -> list[_Growing]:
        """The leaves below, from yes to no."""
        return [end for branch in self.branches for end in branch.ends()] or [self]

    def node(self) -> Node:
        """What the tree is made of; a question whose answers both lead to one pdf is left out."""
        if self.question is None:
            return Leaf(self.pdf)
        yes, no = (branch.node() for branch in self.branches)
        return yes if yes == no else Split(*self.question, yes, no)


def build_tree(statistics: ContextStatistics, topology: Topology, options: TreeOptions) -> tuple[Tree, PdfStatistics]:
    """Ties the states of all windows, seen or not.

    Args:
        statistics: of the training set, with windows of `options.width` phones.
        topology: HMM states of the phones.
        options: size of the tree, limits, questions.

    Returns:
        The tree, silence's pdfs first; and the sums of each pdf's frames, zeros where none were seen.

    Raises:
        Refusal: no statistics, but one phone besides silence, fewer leaves asked than the roots need or more than there
            are states in context, or a file of questions that cannot be used.
    """
    phones = statistics.windows[:, options.width // 2]
    speech = [phone for phone in range(1, len(topology.phones) + 1) if phone not in topology.silence_numbers]
    roots = {phone: _Growing(np.flatnonzero(phones == phone)) for phone in speech}
    num_silent = sum(map(topology.num_states, topology.silence_numbers))
    _check([len(root.rows) for root in roots.values()], num_silent, options.leaves)
    asked = questions(topology, options.width, _beside(statistics, topology, options))
    splitter = Splitter(statistics, asked, options.minimum_occupancy, options.variance_floor)
    gains = _grow(list(roots.values()), splitter, options.leaves - num_silent)
    threshold = min(gains, default=0.0) if options.cluster_threshold < 0 else options.cluster_threshold

    nodes: dict[int, Node] = {}
    pdfs: list[np.ndarray] = []  # sums of each
    for phone in topology.silence_numbers:
        nodes[phone] = untied(topology.num_states(phone), len(pdfs))
        for state in range(topology.num_states(phone)):
            pdfs.append(statistics.sums[(phones == phone) & (statistics.states == state)].sum(0))
    for phone, root in roots.items():
        pdfs += _number(root, statistics.sums, len(pdfs), options.variance_floor, threshold)
        nodes[phone] = root.node()
    tree = Tree(topology, options.width, tuple((frozenset([phone]), nodes[phone]) for phone in sorted(nodes)))
    gain = _gain(statistics, phones, np.stack(pdfs), num_silent, options.variance_floor)
    log.event(
        f"tree: {num_silent + len(roots) + len(gains)} leaves of {options.leaves} asked, {len(pdfs)} pdfs;"
        f" log-likelihood {gain:.3f} per frame of speech above monophones"
    )
    return tree, PdfStatistics.of_sums(np.stack(pdfs))


def _beside(statistics: ContextStatistics, topology: Topology, options: TreeOptions) -> list[Phones]:
    """The sets of phones that are asked for."""
    if options.questions:
        return read_questions(options.questions, topology)
    return phone_clusters(statistics, topology, options.variance_floor)


def _check(rows: list[int], num_silent: int, leaves: int) -> None:
    """Refuses what no tree can be grown of: states in context seen of each speech phone, pdfs of silence, leaves."""
    if len(rows) < 2:
        raise Refusal(
            "states cannot be tied",
            where="lexicon",
            expected="two phones or more besides silence",
            found=len(rows),
            do="stay with monophones",
        )
    if not any(rows):
        raise Refusal("no statistics of phones in context", where="tree", do="align speech first")
    fewest, most = num_silent + len(rows), num_silent + sum(max(count, 1) for count in rows)
    if leaves < fewest:
        raise Refusal(
            "too few leaves",
            where="tree.leaves",
            expected=f"at least {fewest}, {num_silent} states of silence and a root for each of {len(rows)} phones",
            found=leaves,
        )
    if leaves > most:
        raise Refusal(
            "more leaves than states of phones in context were seen",
            where="tree.leaves",
            expected=f"at most {most}",
            found=leaves,
            do="ask for fewer, or train on more speech",
        )


def _grow(roots: list[_Growing], splitter: Splitter, leaves: int) -> list[float]:
    """Splits nodes, always the one that gains most, until there are so many leaves; the gain of each split."""
    queue: list[tuple[float, int, _Growing, BestSplit]] = []
    numbers = itertools.count()  # decide between equal gains, so that nodes are never compared

    def put(node: _Growing) -> None:
        if best := splitter.best(node.rows):
            heapq.heappush(queue, (-best.gain, next(numbers), node, best))

    for root in roots:
        put(root)
    gains: list[float] = []
    while queue and len(roots) + len(gains) < leaves:
        _, _, node, best = heapq.heappop(queue)
        node.question, node.branches = best.question, (_Growing(best.yes), _Growing(best.no))
        gains.append(best.gain)
        for branch in node.branches:
            put(branch)
    return gains


def _number(root: _Growing, sums: np.ndarray, pdf: int, variance_floor: float, threshold: float) -> list[np.ndarray]:
    """Gives the leaves of a root their pdfs, from `pdf` on, leaves that hardly differ the same; the sums of each."""
    ends = root.ends()
    leaf_sums = np.stack([sums[end.rows].sum(0) for end in ends])
    cluster = partition(leaf_sums, variance_floor, threshold * SAME)
    for end, number in zip(ends, cluster.tolist(), strict=True):
        end.pdf = pdf + number
    return list(pooled(leaf_sums, cluster, cluster.max() + 1))


def _gain(
    statistics: ContextStatistics, phones: np.ndarray, pdfs: np.ndarray, num_silent: int, variance_floor: float
) -> float:
    """How much more log-likelihood a frame of speech has with one Gaussian a pdf than with one a monophone's state."""
    _, state = np.unique(np.stack([phones, statistics.states]), axis=1, return_inverse=True)
    monophones = pooled(statistics.sums, state.reshape(-1), state.max() + 1)
    after, before = (log_likelihoods(sums, variance_floor).sum() for sums in (pdfs, monophones))
    return float((after - before) / pdfs[num_silent:, 0].sum())
