"""Growing a tree: the states of phones in context are split by questions as long as that gains the most likelihood.

The procedure is Kaldi's build-tree: one root for all states of a phone, the best of all splits made next, wherever it
is; then leaves of one root that hardly differ are joined. Every state of a silence phone keeps a pdf of its own.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from kdasr import log
from kdasr.lang.clustering import partition
from kdasr.lang.questions import Question, phone_clusters, read_questions, silence_questions
from kdasr.lang.statistics import ContextStatistics, PdfStatistics, log_likelihoods, pooled
from kdasr.lang.topology import Topology
from kdasr.lang.tree import PLACES, STATE, Leaf, Node, Split, Tree
from kdasr.refusal import Refusal

SAME = 1 - 1e-9  # splits of the same frames gain the same but for rounding: the first is taken


@dataclass(frozen=True)
class TreeOptions:
    """Options of state tying.

    Attributes:
        width: phones of a window: 3 for triphones, 2 for left biphones.
        leaves: grown in all, those of silence among them; clustering then joins some.
        minimum_occupancy: frames on either side of a split (Kaldi has none; its splits gain 300 of log-likelihood).
        cluster_threshold: leaves of a phone are joined where that loses less log-likelihood; 0: none are, below 0: than
            the poorest split gained (Kaldi: -1).
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


def build_tree(
    statistics: ContextStatistics, topology: Topology, options: TreeOptions
) -> tuple[Tree, PdfStatistics]:
    """Ties the states of all windows, those never seen too.

    Args:
        statistics: of the training set, with windows of `options.width` phones.
        topology: HMM states of the phones.
        options: size of the tree and limits.

    Returns:
        The tree, its first pdfs those of silence; and the sums of each pdf's frames, zeros where none were seen.

    Raises:
        Refusal: there are no statistics or but one phone besides silence, the tree cannot have so few or so many
            leaves, or the file of questions is none.
    """
    raise NotImplementedError
