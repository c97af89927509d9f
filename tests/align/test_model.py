"""The GMM on disk and its transitions: scaled as in Kaldi, re-estimated to sums of 1, foreign files refused."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from kdasr import io
from kdasr.align.frontend import DELTAS, Projection
from kdasr.align.gmm import flat_gmm
from kdasr.align.model import (
    GmmModel,
    expect_cepstra,
    expect_topology,
    gmm_frames,
    read_model,
    read_model_tree,
    scaled_transitions,
    transition_estimate,
)
from kdasr.data.table import FrameTable
from kdasr.lang.topology import make_topology
from kdasr.lang.tree import Tree
from kdasr.refusal import Refusal
from tests import toy
from tests.tables import write_features

TREE = Tree.monophone(make_topology(toy.lexicon(3, 5)))
TOPOLOGY, TABLE = TREE.topology, TREE.table
LOG_PROBS = torch.from_numpy(np.log(TABLE.probability)).float()


def toy_model(dim: int = 6) -> GmmModel:
    frames = torch.randn(50, dim)
    return GmmModel(flat_gmm(lambda: [frames], TABLE.num_pdfs), LOG_PROBS, TREE)


@pytest.fixture
def folder(tmp_path):
    out = tmp_path / "mono"
    io.begin(out, io.Made("mono", {}))
    toy_model().write(out)
    io.finish(out, topology=TOPOLOGY.fingerprint)
    return out


def test_a_model_reads_back(folder):
    again = read_model(folder)
    assert again.topology == TOPOLOGY and torch.equal(again.transition_log_probs, LOG_PROBS)
    assert again.gmm.num_pdfs == TABLE.num_pdfs and again.gmm.mean.shape == (TABLE.num_pdfs, 6)


def test_a_monophone_older_than_trees_has_the_tree_of_its_topology(folder):
    (folder / "tree.json").unlink()
    assert read_model(folder).tree == read_model_tree(folder) == TREE


def adaptive_model() -> GmmModel:
    """Of spliced cepstra and two passes."""
    model = toy_model()
    first = replace(model.gmm, mean=model.gmm.mean + 1)
    return replace(model, frontend=Projection(torch.randn(6, 10), 2), first_pass=first)


@pytest.fixture
def adaptive(tmp_path):
    out = tmp_path / "sat"
    io.begin(out, io.Made("tri", {}))
    torch.manual_seed(0)
    adaptive_model().write(out)
    io.finish(out, topology=TOPOLOGY.fingerprint)
    return out


def test_front_end_and_first_pass_read_back(adaptive):
    torch.manual_seed(0)
    model, again = adaptive_model(), read_model(adaptive)
    assert isinstance(again.frontend, Projection) and again.frontend.context == 2
    assert torch.equal(again.frontend.matrix, model.frontend.matrix)  # type: ignore[union-attr]
    for name, tensor in model.first_pass.tensors().items():  # type: ignore[union-attr]
        assert again.first_pass is not None and torch.equal(again.first_pass.tensors()[name], tensor)


def test_a_model_without_them_sees_differences_in_one_pass(folder):
    model = read_model(folder)
    assert model.frontend is DELTAS and model.first_pass is None


def test_a_projection_to_another_dimension_is_refused(adaptive):
    tensors, metadata = io.load_tensors(adaptive / "model.safetensors")
    tensors["projection"] = torch.zeros(5, 10)
    io.save_tensors(adaptive / "model.safetensors", tensors, metadata)
    with pytest.raises(Refusal, match="dimension of projection and GMM does not match .expected 6, found 5."):
        read_model(adaptive)


def test_a_first_pass_of_other_gaussians_is_refused(adaptive):
    tensors, _ = io.load_tensors(adaptive / "first_pass.safetensors")
    shorter = {name: tensor[:-1] for name, tensor in tensors.items()}
    io.save_tensors(adaptive / "first_pass.safetensors", shorter)
    told = "first_pass.safetensors: shape of both passes' means does not match .expected .25, 6., found .24, 6.."
    with pytest.raises(Refusal, match=told):
        read_model(adaptive)
    io.save_tensors(adaptive / "first_pass.safetensors", {"pdf": tensors["pdf"]})
    told = "first_pass.safetensors: not a GMM .expected tensors mean, pdf, variance, weight, found pdf.; name a folder"
    with pytest.raises(Refusal, match=told):
        read_model(adaptive)


def test_features_of_another_dimension_than_the_projection_s_are_refused(tmp_path):
    write_features(tmp_path / "mfcc", {"a1": np.zeros((5, 13), np.float32)})
    told = "mfcc: dimension of features and GMM does not match .expected 2, found 13.; name the cepstra"
    with pytest.raises(Refusal, match=told):
        expect_cepstra(adaptive_model(), FrameTable(tmp_path / "mfcc"))


def test_a_damaged_model_is_refused(folder):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(Refusal, match="model.safetensors: damaged or foreign tensor file"):
        read_model(folder)


def test_a_model_of_another_kind_is_refused(folder):
    io.save_tensors(folder / "model.safetensors", {"layers.0.weight": torch.zeros(3)})
    told = (
        "not a GMM .expected tensors mean, pdf, .*found layers.0.weight.; name a folder made by kdasr mono or kdasr tri"
    )
    with pytest.raises(Refusal, match=told):
        read_model(folder)


def test_a_topology_that_was_exchanged_is_refused(folder):
    make_topology(toy.lexicon(2, 5)).write(folder / "topology.json")
    told = r"number of states and transitions does not match .expected \(25, 56\), found \(25, 66\)."
    with pytest.raises(Refusal, match=told):
        read_model(folder)


def test_a_language_of_another_topology_is_refused(folder):
    expect_topology(folder, TOPOLOGY.fingerprint)
    other = make_topology(toy.lexicon(2, 5)).fingerprint
    told = (
        f"topology of language and model does not match .expected {other}, found {TOPOLOGY.fingerprint}.; name the lang"
    )
    with pytest.raises(Refusal, match=told):
        expect_topology(folder, other)


def test_features_of_another_dimension_are_refused(tmp_path):
    write_features(tmp_path / "fbank", {"a1": np.zeros((5, 40), np.float32)})
    told = "fbank: dimension of features and GMM does not match .expected 2, found 40.; name the cepstra"
    with pytest.raises(Refusal, match=told):
        expect_cepstra(toy_model(), FrameTable(tmp_path / "fbank"))


def test_features_made_with_other_settings_are_refused(tmp_path):
    extractor = {"type": "kdasr-mfcc", "sample_scale": 1.0}
    write_features(tmp_path / "mfcc", {"a1": np.zeros((5, 2), np.float32)}, extractor=extractor)
    model = replace(toy_model(), extractor={"type": "kdasr-mfcc", "sample_scale": 32768.0})
    told = (
        "mfcc: sample_scale of the features' extractor does not match .expected 32768.0, found 1.0.; make the features"
    )
    with pytest.raises(Refusal, match=told):
        expect_cepstra(model, FrameTable(tmp_path / "mfcc"))


def test_frames_are_normalised_by_speaker_with_two_orders_of_deltas(tmp_path):
    rng = np.random.default_rng(0)
    loud = {
        name: rng.normal(scale, scale, (30, 2)).astype(np.float32) for name, scale in (("a1", 5), ("a2", 5), ("b1", 1))
    }
    write_features(tmp_path / "mfcc", loud)
    table = FrameTable(tmp_path / "mfcc")
    frames = gmm_frames(table)
    assert [matrix.shape for matrix in frames] == [(30, 6)] * 3 and frames[0].dtype == torch.float32
    speaker = torch.cat(frames[:2])[:, :2]
    assert torch.allclose(speaker.mean(0), torch.zeros(2), atol=1e-4)
    assert torch.allclose(speaker.std(0, unbiased=False), torch.ones(2), atol=1e-3)
    chosen = gmm_frames(table, [table.by_id["a2"]])
    assert torch.equal(chosen[0], frames[1])  # by all that the speaker said, not by what is asked for


def test_frames_of_a_speaker_adaptive_model_are_transformed_for_each_speaker(tmp_path):
    rng = np.random.default_rng(0)
    write_features(tmp_path / "mfcc", {id: rng.normal(size=(9, 2)).astype(np.float32) for id in ("a1", "b1", "b2")})
    table, projection = FrameTable(tmp_path / "mfcc"), Projection(torch.randn(4, 6), 1)
    transforms = {"a": torch.randn(4, 5), "b": torch.randn(4, 5)}
    plain = gmm_frames(table, frontend=projection)
    moved = gmm_frames(table, frontend=projection, transforms=transforms)
    for speaker, before, after in zip("abb", plain, moved, strict=True):
        matrix = transforms[speaker]
        expected = torch.stack([matrix[:, :4] @ x + matrix[:, 4] for x in before])
        assert torch.allclose(after, expected, atol=1e-5)


def test_transitions_are_scaled_as_in_kaldi():
    """Staying at the self-loop scale; leaving too, and the way out, given that it is left, at the transition scale."""
    scores = scaled_transitions(TABLE, LOG_PROBS, 1.0, 0.1)
    for id in range(len(TABLE)):
        loops = TABLE.is_self_loop & (TABLE.leaving == TABLE.leaving[id])
        stay = float(TABLE.probability[loops].sum())
        if TABLE.is_self_loop[id]:
            expected = 0.1 * math.log(stay)
        else:
            expected = math.log(TABLE.probability[id] / (1 - stay)) + 0.1 * math.log(1 - stay)
        assert float(scores[id]) == pytest.approx(expected, abs=1e-5)


def test_at_scales_of_1_transitions_are_their_probabilities():
    assert torch.allclose(scaled_transitions(TABLE, LOG_PROBS, 1.0, 1.0), LOG_PROBS, atol=1e-5)
    assert torch.allclose(scaled_transitions(TABLE, LOG_PROBS, 0.0, 0.0), torch.zeros(len(TABLE)))


def test_what_leaves_a_state_sums_to_1_after_estimation():
    counts = np.random.default_rng(0).integers(0, 50, len(TABLE))
    counts[TABLE.phone == 3] = 0
    estimate = transition_estimate(TABLE, counts, LOG_PROBS.numpy())
    assert np.allclose(np.bincount(TABLE.leaving, weights=np.exp(estimate)), 1, atol=1e-6)
    assert np.array_equal(estimate[TABLE.phone == 3], LOG_PROBS.numpy()[TABLE.phone == 3])  # unseen: as before
    seen = np.bincount(TABLE.leaving, weights=counts)[TABLE.leaving]
    shares = counts / np.maximum(seen, 1)
    plain = (seen >= 5) & (np.isin(TABLE.leaving, TABLE.leaving[shares < 0.01], invert=True))
    assert plain.any() and np.allclose(np.exp(estimate[plain]), shares[plain])


def test_no_transition_is_ruled_out():
    counts = np.where(TABLE.is_self_loop, 1000, 0)
    assert np.exp(transition_estimate(TABLE, counts, LOG_PROBS.numpy())).min() > 0.009
