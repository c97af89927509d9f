"""What models know of a set, as Kaldi archives: log posteriors, log-likelihoods, or stored soft targets."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from kdasr import io, log
from kdasr.data.table import FrameTable
from kdasr.decode.prior import log_prior
from kdasr.decode.scorers import fitting_nets
from kdasr.decode.search import DecodeOptions
from kdasr.distill.soft_targets import VERB as SOFT_TARGETS
from kdasr.distill.soft_targets import SoftTargets
from kdasr.distill.sparse import Sparse
from kdasr.exchange import archive

VERB = "posteriors"
LOG_POSTERIORS, LOG_LIKELIHOODS, POSTERIORS = "log_posteriors", "log_likelihoods", "post"  # the archives' names
ENOUGH = 0.99  # of the mass; Kaldi weighs a frame by what its posterior sums to


def write_scores(
    out: Path,
    folders: Sequence[Path],
    features: Path,
    mean: str = "arithmetic",
    prior: DecodeOptions | None = None,
    overwrite: bool = False,
) -> None:
    """Writes the log posteriors of models, (T, S) float32 an utterance, by name of the utterance.

    Args:
        out: `log_posteriors.ark`, or with a prior `log_likelihoods.ark`, and the `.scp` beside it.
        folders: models; the posteriors of several are averaged before the log.
        features: of the set, as the models were trained on.
        mean: of the posteriors, `arithmetic` or `geometric`.
        prior: which one is subtracted, and its floor; None: none.
        overwrite: make again what other options or inputs made.

    Raises:
        Refusal: as `fitting_nets`; an id has spaces.
    """
    options = {"mean": mean, **({"prior": prior.prior, "prior_floor": prior.prior_floor} if prior else {})}
    models = {f"model_{number}": io.fingerprint(folder) for number, folder in enumerate(folders)}
    inputs = {**models, "features": io.fingerprint(features, "features")}
    table = FrameTable(features)
    nets = fitting_nets(folders, table, mean)
    if not io.begin(out, io.Made(VERB, options, inputs), overwrite):
        return
    less = log_prior(getattr(nets, prior.prior), prior.prior_floor) if prior else torch.zeros(())
    name = LOG_LIKELIHOODS if prior else LOG_POSTERIORS
    utterances = sorted(table.utterances, key=lambda utterance: utterance.id)  # the order of Kaldi's tables
    with archive.written(out, name) as write:
        for utterance in log.progress(utterances, str(out)):
            scores = nets.log_posteriors(table.frames(utterance)) - less
            write(utterance.id, archive.matrix_value(scores.numpy()))
    labelling = {"num_pdfs": nets.infos[0]["num_pdfs"], "topology": nets.infos[0]["labelling"]}
    io.finish(out, **labelling, num_utterances=len(utterances), num_frames=sum(u.num_frames for u in utterances))
    log.event(f"{out}: {name} of {len(utterances)} utterances, {labelling['num_pdfs']} pdfs")


def write_soft_targets(out: Path, folder: Path, overwrite: bool = False) -> None:
    """Writes stored soft targets as what Kaldi calls posteriors: of each frame the kept pdfs, the most probable first.

    They have the probabilities that the store has, and are not scaled up to 1: the tail, which the store spreads over
    all others, is left out. A warning tells of much of it.

    Args:
        out: `post.ark` and `post.scp`.
        folder: made by `kdasr soft-targets`.
        overwrite: make again what another folder made.
    """
    inputs = {"soft_targets": io.fingerprint(folder, SOFT_TARGETS)}
    targets = SoftTargets(folder)
    if not io.begin(out, io.Made(VERB, {}, inputs), overwrite):
        return
    mass = 0.0
    with archive.written(out, POSTERIORS) as write:
        for id in log.progress(sorted(targets.by_id), str(out)):
            counts, pdfs, weights = kept(targets.utterance(id))
            mass += float(weights.sum())
            write(id, archive.posterior_value(counts, pdfs, weights))
    names = ("num_pdfs", "topology", "temperature", "num_utterances", "num_frames")
    facts, mean = {name: targets.info.get(name) for name in names}, mass / targets.info["num_frames"]
    io.finish(out, **facts, mass=mean)
    told = f"T = {targets.temperature:g}, mean mass {mean:.6f}"
    log.event(f"{out}: {POSTERIORS} of {facts['num_utterances']} utterances, {told}")
    if mean < ENOUGH:
        do = "make soft targets with a larger store.keep, or at distill.temperature=1"
        log.event(f"warning: {out}: {1 - mean:.1%} of the mass lies on pdfs that the store did not keep; {do}")


def kept(soft: Sparse) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The kept states of T frames: how many a frame, (T,), which, (E,) int64, and their probabilities, (E,) float32."""
    num_states = len(soft.shape)
    frame, state = soft.index // num_states, soft.index % num_states
    p = soft.excess + soft.background[frame] * soft.shape[state]
    return np.bincount(frame.numpy(), minlength=len(soft)), state.numpy(), p.numpy()
