"""Monophone training from a flat start on toy speech, its parts in this process and in others."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch

pytest.importorskip("k2")

from kdasr.align import rounds
from kdasr.align.aligner import AlignOptions
from kdasr.align.gmm import flat_gmm
from kdasr.align.model import GmmModel, gmm_frames
from kdasr.align.monophone import MonophoneOptions, flat_part, train
from kdasr.align.part import NUM_PARTS, Part, TrainingSet
from kdasr.data.table import FrameTable
from kdasr.lang.topology import make_topology
from kdasr.lang.tree import Tree
from kdasr.refusal import Refusal
from tests import toy
from tests.align.here import Here

LEXICON = toy.lexicon(3, 5)
OPTIONS = MonophoneOptions(iterations=8, realign=(1, 2, 3, 4, 6), gaussians=40, grow_until=5, minimum_occupancy=3.0)
SCALES = AlignOptions()
TEXTS = toy.sentences(14)


@pytest.fixture(scope="module")
def speech(tmp_path_factory):
    folder, truth = toy.write_speech(tmp_path_factory.mktemp("speech") / "mfcc", TEXTS)
    return FrameTable(folder), truth


def rounds_here(table: FrameTable, options: MonophoneOptions = OPTIONS) -> tuple[GmmModel, list[list[int]], Here]:
    parts = Here(flat_part, TrainingSet.of(table, TEXTS, LEXICON, 0.0).shares)
    tree = Tree.monophone(make_topology(LEXICON))
    parts.each(Part.tie, tree, SCALES, float(np.log(options.boost_silence)))
    gmm = flat_gmm(lambda: gmm_frames(table), tree.num_pdfs)
    gmm, transitions, lost = rounds.run(parts, gmm, tree, options, SCALES, first=0)  # type: ignore[arg-type]
    return GmmModel(gmm, transitions, tree), lost, parts


@pytest.fixture(scope="module")
def trained(speech):
    return rounds_here(speech[0])


def test_training_in_other_processes_gives_the_same_model_bit_for_bit(speech, trained):
    model, names = train(speech[0], TEXTS, LEXICON, OPTIONS, SCALES, num_jobs=2)
    expected, lost, _ = trained
    assert names == [] and not any(lost)
    assert torch.equal(model.transition_log_probs, expected.transition_log_probs)
    tensors = expected.gmm.tensors()
    assert all(torch.equal(tensor, tensors[name]) for name, tensor in model.gmm.tensors().items())


def test_the_alignment_finds_the_phones(speech, trained):
    table, truth = speech
    model, _, parts = trained
    right = total = 0
    for number, part in enumerate(parts.parts):
        for id, path in zip(list(table.by_id)[number::NUM_PARTS], part.paths, strict=True):
            found = [model.topology.phones[phone - 1] for phone in model.table.phone[path]]
            assert len(found) == len(truth[id])
            right += sum(one == other for one, other in zip(found, truth[id], strict=True))
            total += len(found)
    assert right / total > 0.9


def test_likelihood_rises_and_mixtures_grow_to_the_wanted_number(speech, capsys):
    model, _, _ = rounds_here(speech[0])
    lines = re.findall(
        r"round (\d+): log-likelihood (\S+) per frame, (\d+) Gaussians, (\d+) removed", capsys.readouterr().err
    )
    likelihoods, sizes = [float(line[1]) for line in lines], [int(line[2]) for line in lines]
    assert len(lines) == OPTIONS.iterations + 1
    assert likelihoods[-1] > likelihoods[0] + 1 and all(np.diff(likelihoods) > -0.05)
    assert sizes[0] == model.table.num_pdfs and sizes[-1] > sizes[0] and len(model.gmm) <= OPTIONS.gaussians
    assert model.gmm.num_pdfs == model.table.num_pdfs  # pdfs that were never seen are still there


def test_what_leaves_a_state_sums_to_1(trained):
    model = trained[0]
    shares = np.bincount(model.table.leaving, weights=model.transition_log_probs.double().exp().numpy())
    assert np.allclose(shares, 1, atol=1e-5)
    assert not np.allclose(model.transition_log_probs.exp().numpy(), model.table.probability)


def test_bad_utterances_are_set_aside_by_name_up_to_max_bad(tmp_path, capsys):
    texts = toy.sentences(20)
    folder, _ = toy.write_speech(tmp_path / "mfcc", texts)
    texts["a00"] = ""
    with pytest.raises(Refusal, match=r"1 of 20 utterances did not align .expected at most 2%, found a00 .empty"):
        train(FrameTable(folder), texts, LEXICON, OPTIONS, AlignOptions(max_bad=0.02))
    assert "a00 (empty transcript)" in capsys.readouterr().err
