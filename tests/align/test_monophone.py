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
from kdasr.align.part import NUM_PARTS, Part, Share, TrainingSet
from kdasr.data.table import FrameTable
from kdasr.lang.topology import make_topology
from kdasr.lang.tree import Tree
from kdasr.refusal import Refusal
from tests import toy
from tests.align.here import Here
from tests.tables import write_features

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
    gmm = flat_gmm(torch.cat(gmm_frames(table)), tree.num_pdfs)
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


def part_of(table: FrameTable, texts: dict[str, str], boost: float = 0.0) -> Part:
    part = flat_part(Share(table.folder, list(texts), list(texts.values()), LEXICON))
    part.tie(part.tree, SCALES, boost)
    return part


def test_an_utterance_too_short_for_the_flat_start_is_found_by_realignment(tmp_path):
    rng = np.random.default_rng(0)
    features = {"a1": rng.normal(size=(60, 4)), "a2": rng.normal(size=(8, 4))}  # SIL A SIL is flat from 13 frames on
    table = FrameTable(write_features(tmp_path / "mfcc", {id: array.astype("f4") for id, array in features.items()}))
    part = part_of(table, {"a1": "A", "a2": "A"})
    gmm = flat_gmm(part.frames, part.tree.table.num_pdfs)
    statistics, counts, lost = part.statistics(gmm)
    assert lost == [1] and statistics.num_frames == 60 == counts.sum()
    part.align(gmm, torch.zeros(len(part.tree.table)))
    statistics, counts, lost = part.statistics(gmm)
    assert lost == [] and statistics.num_frames == 68 == counts.sum()


def test_boosted_silence_takes_more_frames(speech, trained):
    table, model = speech[0], trained[0]
    frames = []
    for boost in (0.0, 60.0):
        part = part_of(table, TEXTS, boost)
        part.align(model.gmm, torch.zeros(len(part.tree.table)))
        frames.append(sum(int((model.table.phone[path] == 1).sum()) for path in part.paths if path is not None))
    assert frames[1] > frames[0] > 0


def test_bad_utterances_are_set_aside_by_name_up_to_max_bad(tmp_path, capsys):
    texts = toy.sentences(20)
    folder, _ = toy.write_speech(tmp_path / "mfcc", texts)
    texts["a00"] = ""
    with pytest.raises(Refusal, match=r"1 of 20 utterances did not align .expected at most 2%, found a00 .empty"):
        train(FrameTable(folder), texts, LEXICON, OPTIONS, AlignOptions(max_bad=0.02))
    assert "a00 (empty transcript)" in capsys.readouterr().err


def test_training_on_nothing_but_lost_utterances_is_refused(tmp_path):
    """8 frames hold the word but not the flat start's two silences."""
    frames = np.random.default_rng(0).normal(size=(8, 4)).astype(np.float32)
    table = FrameTable(write_features(tmp_path / "mfcc", {"a1": frames}))
    parts = Here(flat_part, [Share(table.folder, ["a1"], ["A"], LEXICON)])
    tree = Tree.monophone(make_topology(LEXICON))
    with pytest.raises(Refusal, match="GMM training: no utterance aligns in round 0; check that audio and"):
        rounds.run(parts, flat_gmm(torch.randn(9, 12), 25), tree, OPTIONS, SCALES, first=0)  # type: ignore[arg-type]


def test_options_out_of_range():
    for options in ({"iterations": 0}, {"gaussians": 0}, {"boost_silence": 0.0}, {"variance_floor": 0.0}):
        with pytest.raises(ValueError, match="iterations and gaussians must be at least 1, boost_silence and"):
            MonophoneOptions(**options)  # type: ignore[arg-type]
