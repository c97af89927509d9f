"""What is written for Kaldi: log posteriors, likelihoods by the decoder's own rule, soft targets as posteriors."""

from __future__ import annotations

import numpy as np
import pytest
import torch

pytest.importorskip("kaldiio")
pytest.importorskip("lhotse")
pytest.importorskip("k2")

from kdasr import io
from kdasr.data.table import FrameTable
from kdasr.decode.scorers import dnn_scorer
from kdasr.decode.search import DecodeOptions
from kdasr.distill.ensemble import Ensemble
from kdasr.distill.sparse import Sparse
from kdasr.exchange import archive, posteriors
from kdasr.refusal import Refusal
from tests.decode.test_scorers import write_model
from tests.tables import speech, write_features

IDS = {"u10": "u0", "u9": "u1"}  # in the order of Kaldi's tables, which is another than the table's


@pytest.fixture
def models(tmp_path):
    return [write_model(tmp_path / f"member-{number}", number) for number in range(2)]


@pytest.fixture
def features(tmp_path):
    frames = speech(2, seed=1)[0]
    return write_features(tmp_path / "feats", {id: frames[IDS[id]] for id in ("u9", "u10")})


@pytest.mark.parametrize("mean", ["arithmetic", "geometric"])
def test_posteriors_are_the_ensemble_s(tmp_path, models, features, mean):
    posteriors.write_scores(tmp_path / "out", models, features, mean)
    ensemble, table = Ensemble.load(models, mean), FrameTable(features)
    for place in ("log_posteriors.ark", "log_posteriors.scp"):
        found = dict(archive.matrices([f"{tmp_path}/out/{place}"]))
        assert list(found) == list(IDS)
        for id, rows in found.items():
            np.testing.assert_array_equal(rows, ensemble.log_posteriors(table.frames(id)).numpy())
            np.testing.assert_allclose(np.logaddexp.reduce(rows, axis=1), 0, atol=1e-5)
    info = io.read_info(tmp_path / "out")
    assert (info["num_pdfs"], info["topology"], info["num_utterances"]) == (8, "topo", 2)


@pytest.mark.parametrize("prior", ["counts", "mean_posterior"])
def test_likelihoods_are_what_kdasr_itself_decodes_with(tmp_path, models, features, prior):
    options = DecodeOptions(prior=prior, prior_floor=0.1)
    posteriors.write_scores(tmp_path / "out", models, features, prior=options)
    table = FrameTable(features)
    scorer = dnn_scorer(models, table, "arithmetic", options)
    found = dict(archive.matrices([f"{tmp_path}/out/log_likelihoods.ark"]))
    for number, utterance in enumerate(table.utterances):
        np.testing.assert_array_equal(found[utterance.id], scorer(number).numpy())
    assert not (tmp_path / "out" / "log_posteriors.ark").exists()


def test_features_of_another_kind_are_told_and_nothing_is_begun(tmp_path, models):
    wide = write_features(tmp_path / "wide", {"u0": np.zeros((4, 6), np.float32)})
    with pytest.raises(Refusal, match="dimension of features and model does not match .expected 5, found 6"):
        posteriors.write_scores(tmp_path / "out", models, wide)
    other = write_features(tmp_path / "other", speech(1, seed=1)[0], extractor={"type": "kaldi"})
    with pytest.raises(Refusal, match="the features' extractor does not match"):
        posteriors.write_scores(tmp_path / "out", models, other)
    assert not (tmp_path / "out").exists()


def test_kept_states_have_their_probabilities():
    shape = torch.tensor([0.5, 0.25, 0.25])
    index, excess = torch.tensor([2, 0, 7]), torch.tensor([0.6, 0.1, 0.0])  # frames 0, 0 and 2 of three
    soft = Sparse(torch.tensor([0.3, 1.0, 0.4]), shape, index, excess)
    counts, pdfs, weights = posteriors.kept(soft)
    assert counts.tolist() == [2, 0, 1] and pdfs.tolist() == [2, 0, 1]
    dense = soft.dense()
    np.testing.assert_allclose(weights, [dense[0, 2], dense[0, 0], dense[2, 1]])
