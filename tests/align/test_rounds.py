"""Rounds that cannot be: nothing aligned, options out of range; what happens before a round's statistics."""

from __future__ import annotations

import numpy as np
import pytest
import torch

pytest.importorskip("k2")

from kdasr.align import rounds
from kdasr.align.aligner import AlignOptions
from kdasr.align.gmm import flat_gmm
from kdasr.align.monophone import flat_part
from kdasr.align.part import Part, Share
from kdasr.align.rounds import RoundOptions
from kdasr.data.table import FrameTable
from kdasr.lang.topology import make_topology
from kdasr.lang.tree import Tree
from kdasr.refusal import Refusal
from tests import toy
from tests.align.here import Here
from tests.tables import write_features

LEXICON = toy.lexicon(3, 5)
OPTIONS = RoundOptions(iterations=4, realign=(2,), gaussians=40, grow_until=3)
SCALES = AlignOptions()


def test_training_on_nothing_but_lost_utterances_is_refused(tmp_path):
    """8 frames hold the word but not the flat start's two silences."""
    frames = np.random.default_rng(0).normal(size=(8, 4)).astype(np.float32)
    table = FrameTable(write_features(tmp_path / "mfcc", {"a1": frames}))
    parts = Here(flat_part, [Share(table.folder, ["a1"], ["A"], LEXICON)])
    tree = Tree.monophone(make_topology(LEXICON))
    with pytest.raises(Refusal, match="GMM training: no utterance aligns in round 0; check that audio and"):
        rounds.run(parts, flat_gmm(lambda: [torch.randn(9, 12)], 25), tree, OPTIONS, SCALES, first=0)  # type: ignore[arg-type]


def test_mixtures_may_be_changed_before_a_round_s_statistics(tmp_path):
    texts = toy.sentences(6)
    table = FrameTable(toy.write_speech(tmp_path / "mfcc", texts)[0])
    tree, seen = Tree.monophone(make_topology(LEXICON)), []
    parts = Here(flat_part, [Share(table.folder, list(texts), list(texts.values()), LEXICON)])
    parts.each(Part.tie, tree, SCALES, 0.0)

    def before(number, gmm):
        seen.append((number, len(gmm)))
        return gmm

    gmm = flat_gmm(lambda: [parts.parts[0].frames], tree.num_pdfs)
    rounds.run(parts, gmm, tree, OPTIONS, SCALES, first=1, before=before)  # type: ignore[arg-type]
    assert [number for number, _ in seen] == [1, 2, 3, 4] and seen[-1][1] > seen[0][1]


def test_options_out_of_range():
    for options in (
        {"iterations": 0},
        {"gaussians": 0},
        {"boost_silence": 0.0},
        {"variance_floor": 0.0},
        {"split_occupancy": 0.0},
    ):
        with pytest.raises(ValueError, match="iterations and gaussians must be at least 1, boost_silence, v"):
            RoundOptions(**options)  # type: ignore[arg-type]
