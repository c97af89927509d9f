"""Ensembles: laws of the two means, decoding's posteriors, members that do not belong together."""

from __future__ import annotations

import json
import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from kdasr.data.frames import FrameOptions, FrameSource
from kdasr.distill.ensemble import Ensemble, model_folders, tally
from kdasr.distill.soft_targets import LiveTargets
from kdasr.refusal import Refusal
from kdasr.train.accuracy import evaluate
from tests.distill.conftest import source
from tests.tables import speech, write_alignment, write_features


@pytest.fixture
def x(examples) -> torch.Tensor:
    return examples.batch(torch.arange(0, len(examples), 7))[0]


@pytest.mark.parametrize("mean", ["arithmetic", "geometric"])
@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_the_means_are_those_of_section_2(data, x, mean, temperature):
    ensemble = Ensemble.load(data / "teachers", mean)
    with torch.no_grad():
        logits = [member(x).double() for member in ensemble.members]
    expected = (
        torch.stack([F.softmax(z / temperature, dim=1) for z in logits]).mean(0)
        if mean == "arithmetic"
        else F.softmax(torch.stack(logits).mean(0).div(temperature), dim=1)
    )
    found = ensemble.probabilities(x, temperature)
    torch.testing.assert_close(found.double(), expected, atol=1e-6, rtol=1e-5)
    torch.testing.assert_close(found.sum(1), torch.ones(len(x)))
    assert len(ensemble) == 3 and float((expected - F.softmax(logits[0] / temperature, 1)).abs().max()) > 0.01


@pytest.mark.parametrize("mean", ["arithmetic", "geometric"])
@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_an_ensemble_of_one_is_itself(data, x, mean, temperature):
    one = Ensemble.load(data / "teachers" / "member-1", mean)
    with torch.no_grad():
        expected = F.softmax(one.members[0](x) / temperature, dim=1)
    torch.testing.assert_close(one.probabilities(x, temperature), expected)


def test_decoding_sees_the_windows_of_training(data, examples):
    ensemble = Ensemble.load(data / "teachers")
    for part in examples.parts[:4]:
        index = torch.arange(part.begin, part.begin + part.num_frames)
        expected = ensemble.probabilities(examples.batch(index)[0]).log()
        found = ensemble.log_posteriors(examples.features.frames(part.id))
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
        assert found.shape == (part.num_frames, ensemble.num_pdfs) and found.dtype == torch.float32


def test_decoding_a_long_utterance_is_the_same_in_parts(data):
    ensemble = Ensemble.load(data / "teachers")
    frames = np.random.default_rng(0).normal(size=(4500, 5)).astype(np.float16)
    whole = ensemble.log_posteriors(frames)
    torch.testing.assert_close(
        whole[2040:2060], ensemble.log_posteriors(frames[2000:2100])[40:60], atol=1e-5, rtol=1e-5
    )
    torch.testing.assert_close(whole.exp().sum(1), torch.ones(4500))
    assert ensemble.log_posteriors(frames[:0]).shape == (0, 8)


def test_read_only_frames_are_copied_without_a_warning(data):
    frames = np.random.default_rng(0).normal(size=(20, 5)).astype(np.float32)
    frames.setflags(write=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Ensemble.load(data / "teachers").log_posteriors(frames)


def test_frames_of_another_dimension_are_refused(data):
    with pytest.raises(Refusal, match=r"frames of another dimension .*\(expected \(T, 5\), found \(10, 4\)\)"):
        Ensemble.load(data / "teachers").log_posteriors(np.zeros((10, 4), np.float32))


def test_the_score_of_ensemble_and_members_in_one_pass(data, examples):
    ensemble = Ensemble.load(data / "teachers")
    together, each = tally(ensemble, examples)
    assert [one.score().accuracy for one in each] == [
        evaluate(member, examples).accuracy for member in ensemble.members
    ]
    assert together.score() == evaluate(ensemble.log_probabilities, examples)
    # cross-entropy is convex: the log of a mean is never below the mean of the logs
    assert together.score().cross_entropy <= sum(one.score().cross_entropy for one in each) / 3


def test_priors_of_an_ensemble(data, examples):
    ensemble = Ensemble.load(data / "teachers")
    counts = examples.label_counts()
    assert ensemble.counts is not None and ensemble.mean_posterior is not None
    torch.testing.assert_close(ensemble.counts / ensemble.counts.sum(), counts / counts.sum())
    x = examples.batch(torch.arange(len(examples)))[0]
    torch.testing.assert_close(ensemble.mean_posterior, ensemble.probabilities(x).mean(0), atol=1e-5, rtol=1e-4)


def test_bf16_is_close_to_fp32(data, x):
    exact, quick = (Ensemble.load(data / "teachers", compute=compute).probabilities(x) for compute in ("fp32", "bf16"))
    assert float((exact - quick).abs().max()) < 0.05 and not torch.equal(exact, quick)


def test_member_folders_are_found_in_the_order_of_their_seeds(tmp_path):
    for name in ("member-10", "member-2", "member-x", "log"):
        (tmp_path / "ens" / name).mkdir(parents=True)
    (tmp_path / "single").mkdir()
    found = model_folders([tmp_path / "ens", tmp_path / "single"])
    assert [path.name for path in found] == ["member-2", "member-10", "single"]


def copy_with(data: Path, to: Path, **facts: object) -> Path:
    shutil.copytree(data / "teachers" / "member-0", to)
    info = json.loads((to / "info.json").read_text())
    (to / "info.json").write_text(json.dumps({**info, **facts}))
    return to


def test_members_of_another_labelling_are_refused(data, tmp_path):
    other = copy_with(data, tmp_path / "other", labelling="tree")
    match = (
        "other: labelling of the ensemble's members does not match .*expected topo, found tree.*; leave it out beside"
    )
    with pytest.raises(Refusal, match=match):
        Ensemble.load([data / "teachers", other])


def test_members_of_another_context_are_refused(data, tmp_path):
    with pytest.raises(Refusal, match=r"left of the ensemble's members does not match \(expected 3, found 9\)"):
        Ensemble.load([data / "teachers", copy_with(data, tmp_path / "other", left=9)])


def test_folders_that_are_no_models_are_refused(tmp_path):
    with pytest.raises(Refusal, match="nothing: the folder is absent"):
        Ensemble.load(tmp_path / "nothing")
    with pytest.raises(Refusal, match="no model named"):
        Ensemble.load([])


def test_a_truncated_model_is_refused(data, tmp_path):
    other = copy_with(data, tmp_path / "other")
    whole = (other / "model.safetensors").read_bytes()
    (other / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(Refusal, match=r"model.safetensors: damaged or foreign tensor file"):
        Ensemble.load(other)


def test_an_unknown_mean_is_refused(data):
    with pytest.raises(Refusal, match="unknown mean 'aritmetic'; did you mean 'arithmetic'"):
        Ensemble.load(data / "teachers", "aritmetic")


def test_scoring_labels_of_another_topology_is_refused(data, tmp_path):
    features, pdfs = speech(2, seed=1)
    write_features(tmp_path / "feats", features)
    write_alignment(tmp_path / "ali", pdfs, 8, topology="other")
    from kdasr.data.frames import FrameOptions, FrameSource

    other = FrameSource(tmp_path / "feats", tmp_path / "ali", FrameOptions(3, 2)).open()
    with pytest.raises(Refusal, match="labelling of models and examples does not match .*expected other, found topo"):
        tally(Ensemble.load(data / "teachers"), other)


def test_scoring_examples_of_another_window_is_refused(data):
    wider = FrameSource(data / "dev" / "feats", data / "dev" / "ali", FrameOptions(4, 2)).open()
    told = r"member-0: the input shape of models and examples does not match .expected \(7, 5\), found \(6, 5\).; set"
    with pytest.raises(Refusal, match=told):
        tally(Ensemble.load(data / "teachers"), wider)


def test_scoring_features_made_with_other_settings_is_refused(data):
    examples = source(data, "dev").open()
    ensemble = Ensemble.load(data / "teachers")
    examples.extractor, ensemble.infos[0]["extractor"] = {"sample_scale": 1.0}, {"sample_scale": 32768.0}
    told = (
        "sample_scale of the extractor of models and examples does not match .expected 1.0, found 32768.0.; make the fe"
    )
    for use in (lambda: tally(ensemble, examples), lambda: LiveTargets(ensemble, 2.0, examples)):
        with pytest.raises(Refusal, match=told):
            use()
