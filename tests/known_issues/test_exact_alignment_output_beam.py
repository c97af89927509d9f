"""An output beam of 1e-3 lost a third of AN4's utterances: float32 scores of thousands are rounded by more than that.

k2 keeps an arc if the scores forward and backward through it come within the beam of the total; on a long utterance
they miss it by rounding, and the lattice has no path left.
"""

from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("k2")

from kdasr.align.aligner import Aligner, AlignOptions
from kdasr.lang.graph import alignment_graph
from kdasr.lang.topology import make_topology
from kdasr.lang.tree import Tree
from tests import toy

LEXICON = toy.lexicon(3, 5)
TREE = Tree.monophone(make_topology(LEXICON))
TOPOLOGY, TABLE = TREE.topology, TREE.table
LENGTHS = [1500, 1100, 900, 700, 500]


def aligned(**options: Any) -> list[np.ndarray | None]:
    graph = alignment_graph(["A", "TO", "B", "AB"] * 3, LEXICON, TREE)
    frames = [toy.random_frames(length, TABLE.num_pdfs, length, 60) - 300 for length in LENGTHS]
    made = Aligner([graph] * len(LENGTHS), LENGTHS, AlignOptions(**options))
    scores = torch.from_numpy(np.log(TABLE.probability)).float()
    return made.align(lambda batch: [frames[number] for number in batch], scores)


def test_long_utterances_with_large_scores_align_at_the_first_beam():
    paths = aligned(retry_beam=1e-6)
    assert [len(path) if path is not None else 0 for path in paths] == LENGTHS


def test_and_what_a_narrow_beam_loses_the_second_finds():
    narrow = aligned(beam=1e-6, retry_beam=1e-6)
    assert any(path is None for path in narrow), "k2 rounds no more: the retry could go"
    assert all(path is not None for path in aligned(beam=1e-6))
