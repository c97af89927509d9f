"""What the search is given for each frame: a GMM's log-likelihoods, or posteriors of DNNs over the prior."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from kdasr import io
from kdasr.align import fmllr
from kdasr.align.model import expect_cepstra, gmm_frames, read_model
from kdasr.data.table import FrameTable
from kdasr.decode.first_pass import speaker_transforms
from kdasr.decode.prior import log_prior
from kdasr.decode.search import DecodeOptions, Searcher
from kdasr.distill.ensemble import Ensemble
from kdasr.distill.onnx import OnnxNets, nets

Scorer = Callable[[int], torch.Tensor]  # number of the utterance -> (T, S) float32


def gmm_scorer(folder: Path, features: FrameTable, searcher: Searcher) -> tuple[Scorer, dict[str, float]]:
    """Log-likelihoods of the mixtures; of a speaker-adaptive model after a first pass, which it runs.

    Args:
        folder: GMM.
        features: of the set.
        searcher: of the first pass.

    Returns:
        The scorer, and the seconds of the first pass, `first_pass`, if there is one.

    Raises:
        Refusal: the folder holds no GMM, or the features are not made as those that it was trained on.
    """
    model = read_model(folder)
    expect_cepstra(model, features)
    frames, seconds = gmm_frames(features, frontend=model.frontend), dict[str, float]()
    if model.first_pass is not None:
        speakers = [utterance.speaker for utterance in features.utterances]
        transforms, seconds["first_pass"] = speaker_transforms(model, searcher, frames, speakers)
        frames = [fmllr.apply(transforms[speaker], each) for speaker, each in zip(speakers, frames, strict=True)]
    return lambda number: model.gmm.log_likelihoods(frames[number]), seconds


def fitting_nets(folders: Sequence[Path], features: FrameTable, mean: str) -> Ensemble | OnnxNets:
    """The models whose posteriors of these features are wanted; those of several are averaged before the log.

    Args:
        folders: models.
        features: as the models were trained on.
        mean: of the posteriors, `arithmetic` or `geometric`.

    Raises:
        Refusal: the models do not belong together, or the features are not made as those that they were trained on.
    """
    ensemble = nets(folders, mean)
    info, do = ensemble.infos[0], "name the set's filterbanks, made with the settings of the models' own"
    io.expect_same("dimension of features and model", info["dim"], features.dim, features.folder, do)
    io.expect_same(
        "the features' extractor", info.get("extractor"), features.info.get("extractor"), features.folder, do
    )
    return ensemble


def dnn_scorer(folders: Sequence[Path], features: FrameTable, mean: str, options: DecodeOptions) -> Scorer:
    """`log posterior - log prior`: log-likelihoods but for p(frame), which is the same for all states.

    Args:
        folders: models.
        features: as the models were trained on.
        mean: of the posteriors, `arithmetic` or `geometric`.
        options: which prior, and its floor.

    Raises:
        Refusal: as `fitting_nets`.
    """
    ensemble = fitting_nets(folders, features, mean)
    prior = log_prior(getattr(ensemble, options.prior), options.prior_floor)
    return lambda number: ensemble.log_posteriors(features.frames(features.utterances[number])) - prior
