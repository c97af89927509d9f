"""What decoding searches with: log posterior - log prior, computed by hand from the folders' own files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from kdasr import io, models
from kdasr.data.table import FrameTable
from kdasr.decode.scorers import dnn_scorer
from kdasr.decode.search import DecodeOptions
from kdasr.models.dnn import DnnOptions
from kdasr.refusal import Refusal
from tests.tables import speech, write_features

NUM_PDFS, LEFT, RIGHT = 8, 3, 2
COUNTS = torch.tensor([[50, 0, 30, 20, 400, 100, 300, 100], [0, 70, 30, 60, 100, 500, 100, 140]])
FLOOR = 0.1  # of the uniform prior


def write_model(folder: Path, number: int, extractor: object = None) -> Path:
    """A finished model folder with random weights, counts and mean posterior."""
    torch.manual_seed(number)
    io.begin(folder, io.Made("train", {"seed": number}))
    model = models.build("dnn", DnnOptions(1, 16), (LEFT + 1 + RIGHT, 5), NUM_PDFS)
    models.save(folder / "model.safetensors", model)
    posterior = torch.rand(NUM_PDFS).softmax(0)
    io.save_tensors(folder / "priors.safetensors", {"counts": COUNTS[number], "mean_posterior": posterior})
    io.finish(folder, labelling="topo", num_pdfs=NUM_PDFS, dim=5, left=LEFT, right=RIGHT, extractor=extractor)
    return folder


@pytest.fixture
def folders(tmp_path) -> list[Path]:
    return [write_model(tmp_path / f"member-{number}", number) for number in range(2)]


@pytest.fixture
def features(tmp_path) -> FrameTable:
    return FrameTable(write_features(tmp_path / "feats", speech(3, seed=1)[0], extractor={"sampling_rate": 16000}))


def logits(folder: Path, frames: np.ndarray) -> torch.Tensor:
    """A member's logits of each frame in its window, the edges repeated."""
    places = np.arange(len(frames))[:, None] + np.arange(-LEFT, RIGHT + 1)
    seen = torch.from_numpy(frames[places.clip(0, len(frames) - 1)])
    with torch.no_grad():
        return models.load(folder / "model.safetensors")(seen).double()


def plain_prior(folders: list[Path], prior: str) -> torch.Tensor:
    """Shares of all members' counts, or their posteriors' mean, floored and made to sum to 1 again."""
    kept = [io.load_tensors(folder / "priors.safetensors")[0][prior].double() for folder in folders]
    share = sum(kept, torch.zeros(NUM_PDFS)) / sum(float(one.sum()) for one in kept)
    floored = share.clamp(min=FLOOR / NUM_PDFS)
    return floored / floored.sum()


@pytest.mark.parametrize("mean", ["arithmetic", "geometric"])
@pytest.mark.parametrize("prior", ["counts", "mean_posterior"])
@pytest.mark.parametrize("members", [1, 2])
def test_a_score_is_log_posterior_minus_log_prior(folders, features, members, prior, mean):
    chosen, options = folders[:members], DecodeOptions(prior=prior, prior_floor=FLOOR)
    features.info["extractor"] = None  # as the models'
    scorer = dnn_scorer(chosen, features, mean, options)
    for number, utterance in enumerate(features.utterances):
        z = [logits(folder, np.array(features.frames(utterance))) for folder in chosen]
        if mean == "arithmetic":  # posteriors are averaged before the log
            posterior = torch.stack([F.softmax(one, dim=1) for one in z]).mean(0)
        else:
            posterior = F.softmax(torch.stack(z).mean(0), dim=1)
        expected = posterior.log() - plain_prior(chosen, prior).log()
        found = scorer(number)
        assert found.shape == (utterance.num_frames, NUM_PDFS) and found.dtype == torch.float32
        torch.testing.assert_close(found.double(), expected, atol=1e-5, rtol=1e-5)


def test_the_floor_is_what_an_unseen_state_gets(folders, features):
    features.info["extractor"] = None
    by_floor = [dnn_scorer(folders[:1], features, "arithmetic", DecodeOptions(prior_floor=f))(0) for f in (0.1, 0.01)]
    assert float((by_floor[1] - by_floor[0])[:, 1].mean()) == pytest.approx(np.log(10), abs=0.02)


def test_features_of_another_dimension_are_refused(folders, tmp_path):
    wide = write_features(tmp_path / "wide", {"a": np.zeros((9, 7), np.float32)})
    with pytest.raises(
        Refusal, match="wide: dimension of features and model does not match .expected 5, found 7.; name"
    ):
        dnn_scorer(folders, FrameTable(wide), "arithmetic", DecodeOptions())


def test_features_made_with_other_settings_are_refused(tmp_path, features):
    model = write_model(tmp_path / "other", 1, {"sampling_rate": 8000})
    told = "feats: sampling_rate of the features' extractor does not match .expected 8000, found 16000.; name the set's"
    with pytest.raises(Refusal, match=told):
        dnn_scorer([model], features, "arithmetic", DecodeOptions())
    write_model(tmp_path / "same", 1, {"sampling_rate": 16000})
    assert len(dnn_scorer([tmp_path / "same"], features, "arithmetic", DecodeOptions())(0))
