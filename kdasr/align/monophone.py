"""Monophone GMMs from a flat start: equal alignment, then rounds of realignment, re-estimation and splitting."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from kdasr import jobs
from kdasr.align import rounds
from kdasr.align.aligner import AlignOptions
from kdasr.align.frontend import DELTAS, Cepstra
from kdasr.align.gmm import flat_gmm
from kdasr.align.model import GmmModel, speaker_frames
from kdasr.align.part import Part, Share, TrainingSet
from kdasr.align.rounds import RoundOptions
from kdasr.data.table import FrameTable
from kdasr.lang.lexicon import Lexicon
from kdasr.lang.topology import equal_alignment, make_topology
from kdasr.lang.tree import Tree


@dataclass(frozen=True)
class MonophoneOptions(RoundOptions):
    """Options of monophone training; fewer rounds than Kaldi's 40."""


def train(
    features: FrameTable,
    texts: Mapping[str, str],
    lexicon: Lexicon,
    options: MonophoneOptions,
    align_options: AlignOptions,
    num_jobs: int = 1,
) -> tuple[GmmModel, list[str]]:
    """Trains monophone mixtures from a flat start.

    Args:
        features: raw cepstra of the training set.
        texts: utterance id -> transcript.
        lexicon: pronunciations of their words.
        options: rounds, sizes, floors.
        align_options: scales and beams.
        num_jobs: processes that share the utterances.

    Returns:
        The model, and the ids of the utterances that have no alignment at the end, sorted.

    Raises:
        Refusal: more than `align_options.max_bad` of the utterances do not align.
    """
    tree = Tree.monophone(make_topology(lexicon))
    chosen = TrainingSet.of(features, texts, lexicon, align_options.max_bad)
    cepstra = Cepstra(features, [features.by_id[id] for id in chosen.ids])
    gmm = flat_gmm(lambda: speaker_frames(cepstra, DELTAS, None), tree.num_pdfs)
    with jobs.one_thread(), jobs.Workers(flat_part, chosen.shares, num_jobs) as parts:
        parts.each(Part.tie, tree, align_options, float(np.log(options.boost_silence)))
        gmm, transitions, lost = rounds.run(parts, gmm, tree, options, align_options, first=0)
    return GmmModel(gmm, transitions, tree), chosen.not_aligned(lost)


def flat_part(share: Share) -> Part:
    """A part of the training set whose frames are shared out equally over the states of each transcript."""
    tree = Tree.monophone(make_topology(share.lexicon))
    table = FrameTable(share.features)
    lengths = (table.by_id[id].num_frames for id in share.ids)
    phones = (_flat_phones(text, share.lexicon) for text in share.texts)
    paths = (equal_alignment(p, tree.table, tree.topology, n) for p, n in zip(phones, lengths, strict=True))
    return Part(share, tree, paths, DELTAS)


def _flat_phones(text: str, lexicon: Lexicon) -> list[int]:
    silence = (lexicon.options.silence_phone,)
    variants = [silence, *(lexicon.pronunciations[word][0] for word in lexicon.known(text)), silence]
    return [lexicon.phone_ids[phone] for variant in variants for phone in variant]
