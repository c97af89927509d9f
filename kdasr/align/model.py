"""The GMM acoustic model on disk, and the frames that it is trained and used on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from kdasr import io
from kdasr.align import fmllr
from kdasr.align.frontend import DELTAS, Cepstra, Frontend, Projection
from kdasr.align.gmm import Gmm
from kdasr.data.table import FrameTable, Utterance
from kdasr.lang.topology import Topology, TransitionTable, read_topology
from kdasr.lang.tree import Tree, read_tree
from kdasr.refusal import Refusal

VERBS = ("mono", "tri")  # that make GMMs
MODEL, FIRST_PASS = "model.safetensors", "first_pass.safetensors"
TOPOLOGY, TREE = "topology.json", "tree.json"
GMM = {"pdf", "weight", "mean", "variance"}
TRANSITIONS, PROJECTION = "transition_log_probs", "projection"


@dataclass(frozen=True)
class GmmModel:
    """Mixtures of all pdfs and log-probabilities of all transition ids of a tree.

    Attributes:
        gmm: one mixture for each pdf.
        transition_log_probs: (num_transitions,) float32; those that leave one state sum to 1.
        tree: phones, their states and pdfs.
        extractor: settings that made the features it was trained on; None if they are not recorded.
        frontend: from cepstra to the frames of the mixtures.
        first_pass: of a speaker-adaptive model, whose own mixtures want frames transformed for each speaker, mixtures
            of the frames before; their Gaussians are those of `gmm`, one by one.
    """

    gmm: Gmm
    transition_log_probs: torch.Tensor
    tree: Tree
    extractor: dict[str, Any] | None = None
    frontend: Frontend = DELTAS
    first_pass: Gmm | None = None

    @property
    def table(self) -> TransitionTable:
        """What the transition ids mean."""
        return self.tree.table

    @property
    def topology(self) -> Topology:
        """Phones and their states."""
        return self.tree.topology

    def speaker_statistics(
        self, frames: Sequence[torch.Tensor], paths: Sequence[np.ndarray | None], speakers: Sequence[str]
    ) -> dict[str, fmllr.FmllrStatistics]:
        """What fMLLR to this model is estimated of, by speaker; silence does not count, as in Kaldi's training.

        Args:
            frames: (T, D) float32 of each utterance, not transformed.
            paths: transition ids (T,) of each, None of one without a path.
            speakers: of each.
        """
        pdfs = [None if path is None else torch.from_numpy(self.table.pdf[path]) for path in paths]
        by = self.first_pass or self.gmm
        return fmllr.speaker_statistics(frames, pdfs, speakers, by, self.gmm, self.tree.silence_pdfs())

    def write(self, folder: str | Path) -> None:
        """Writes `model.safetensors`, `topology.json`, `tree.json`, and `first_pass.safetensors` if there is one."""
        tensors = {**self.gmm.tensors(), TRANSITIONS: self.transition_log_probs}
        metadata = None
        if isinstance(self.frontend, Projection):
            tensors[PROJECTION], metadata = self.frontend.matrix, {"context": self.frontend.context}
        io.save_tensors(Path(folder) / MODEL, tensors, metadata)
        if self.first_pass is not None:
            io.save_tensors(Path(folder) / FIRST_PASS, self.first_pass.tensors())
        self.topology.write(Path(folder) / TOPOLOGY)
        self.tree.write(Path(folder) / TREE)


def read_model(folder: str | Path) -> GmmModel:
    """Reads a finished model folder. Raises Refusal if it is unfinished or damaged, or holds no GMM."""
    info = io.read_info(folder, *VERBS)
    path, first_pass = Path(folder) / MODEL, Path(folder) / FIRST_PASS
    tensors, metadata = io.load_tensors(path)
    matrix = tensors.pop(PROJECTION, None)
    _expect_tensors(tensors, {*GMM, TRANSITIONS}, path)
    transitions = tensors.pop(TRANSITIONS)
    tree = read_model_tree(folder)
    gmm = Gmm(**tensors)
    io.expect_same(
        "number of states and transitions",
        (tree.num_pdfs, len(tree.table)),
        (gmm.num_pdfs, len(transitions)),
        path,
        io.AGAIN,
    )
    frontend: Frontend = DELTAS
    if matrix is not None:
        io.expect_same("dimension of projection and GMM", gmm.mean.shape[1], len(matrix), path, io.AGAIN)
        frontend = Projection(matrix, metadata["context"])
    before = _read_first_pass(first_pass, gmm) if first_pass.exists() else None
    return GmmModel(gmm, transitions, tree, info.get("extractor"), frontend, before)


def _read_first_pass(path: Path, gmm: Gmm) -> Gmm:
    tensors, _ = io.load_tensors(path)
    _expect_tensors(tensors, GMM, path)
    io.expect_same("shape of both passes' means", list(gmm.mean.shape), list(tensors["mean"].shape), path, io.AGAIN)
    return Gmm(**tensors)


def _expect_tensors(tensors: Mapping[str, torch.Tensor], expected: set[str], path: Path) -> None:
    if set(tensors) != expected:
        raise Refusal(
            "not a GMM",
            where=path,
            expected=f"tensors {', '.join(sorted(expected))}",
            found=", ".join(sorted(tensors)[:5]) or "none",
            do=f"name a folder made by kdasr {' or kdasr '.join(VERBS)}",
        )


def read_model_tree(folder: str | Path) -> Tree:
    """The tree of a finished model folder; monophones' where there is none, as in folders older than trees.

    Raises:
        Refusal: the folder is unfinished, or topology or tree are absent or damaged.
    """
    io.read_info(folder)
    topology = read_topology(Path(folder) / TOPOLOGY)
    tied = (Path(folder) / TREE).exists()
    return read_tree(Path(folder) / TREE, topology) if tied else Tree.monophone(topology)


def expect_topology(folder: str | Path, fingerprint: str) -> None:
    """Refuses a model folder whose topology is not the one of the language that it is used with."""
    found = io.read_info(folder).get("topology")
    do = "name the lang folder it was trained with"
    io.expect_same("topology of language and model", fingerprint, found, folder, do)


def expect_cepstra(model: GmmModel, features: FrameTable) -> None:
    """Refuses features of another dimension, or made with other settings, than those that the model was trained on."""
    dim = model.frontend.num_cepstra(model.gmm.mean.shape[1])
    do = "name the cepstra of the set, made by kdasr features --type mfcc"
    io.expect_same("dimension of features and GMM", dim, features.dim, features.folder, do)
    do = "make the features as the GMM's own"
    io.expect_same("the features' extractor", model.extractor, features.info.get("extractor"), features.folder, do)


def gmm_frames(
    table: FrameTable,
    utterances: Sequence[Utterance] | None = None,
    frontend: Frontend = DELTAS,
    transforms: Mapping[str, torch.Tensor] | None = None,
) -> list[torch.Tensor]:
    """The frames that mixtures see, (T, D) float32 of each utterance.

    Args:
        table: raw cepstra; they are normalised over all that a speaker said.
        utterances: of the table; None: all.
        frontend: of the model.
        transforms: fMLLR of each speaker, for a speaker-adaptive model.
    """
    chosen = list(table.utterances if utterances is None else utterances)
    return list(speaker_frames(Cepstra(table, chosen), frontend, transforms))


def speaker_frames(
    cepstra: Cepstra, frontend: Frontend, transforms: Mapping[str, torch.Tensor] | None
) -> Iterator[torch.Tensor]:
    """The frames of normalised cepstra, one utterance after the other; else as `gmm_frames`."""
    for utterance, each in zip(cepstra.utterances, cepstra, strict=True):
        frames = frontend(each)
        yield frames if transforms is None else fmllr.apply(transforms[utterance.speaker], frames)


def scaled_transitions(
    table: TransitionTable, log_probs: torch.Tensor, transition_scale: float, self_loop_scale: float
) -> torch.Tensor:
    """Transition scores for a search: staying or leaving at one scale, which way out at another, as in Kaldi.

    Args:
        table: what the ids mean.
        log_probs: (num_transitions,).
        transition_scale: of the way taken, given that the state is left (Kaldi: 1.0).
        self_loop_scale: of staying and of leaving (Kaldi: 0.1), as acoustic scores of 10 ms frames are scaled.

    Returns:
        (num_transitions,) scores.
    """
    loops, group = torch.from_numpy(table.is_self_loop), torch.from_numpy(table.leaving)
    stay = torch.zeros(int(group.max()) + 1).scatter_add(0, group[loops], log_probs[loops].exp())[group]
    leave = torch.log1p(-stay.clamp(max=1 - 1e-6))
    return torch.where(
        loops, self_loop_scale * log_probs, transition_scale * (log_probs - leave) + self_loop_scale * leave
    )


def transition_estimate(
    table: TransitionTable, counts: np.ndarray, before: np.ndarray, minimum: float = 5, floor: float = 0.01
) -> np.ndarray:
    """Transition log-probabilities from counts.

    Args:
        table: what the ids mean.
        counts: times that each transition was taken, (num_transitions,).
        before: log-probabilities kept for states seen less than `minimum` times.
        minimum: see above (Kaldi: 5).
        floor: smallest probability (Kaldi: 0.01).

    Returns:
        (num_transitions,) log-probabilities; those that leave one state sum to 1.
    """
    group = table.leaving
    seen = np.bincount(group, weights=counts)[group]
    share = np.maximum(counts / np.maximum(seen, 1), floor)
    share /= np.bincount(group, weights=share)[group]
    estimate: np.ndarray = np.where(seen >= minimum, np.log(share), before)
    return estimate
