"""The GMM acoustic model on disk, and the frames that it is trained and used on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from kdasr import io
from kdasr.align.gmm import Gmm
from kdasr.data.table import FrameTable, Utterance
from kdasr.features import cmvn, deltas
from kdasr.lang.topology import Topology, TransitionTable, read_topology
from kdasr.lang.tree import Tree, read_tree
from kdasr.refusal import Refusal

MODEL, TOPOLOGY, TREE = "model.safetensors", "topology.json", "tree.json"
TENSORS = {"pdf", "weight", "mean", "variance", "transition_log_probs"}
DELTA_ORDER = 2  # Kaldi's


@dataclass(frozen=True)
class GmmModel:
    """Mixtures of all pdfs and log-probabilities of all transition ids of a tree.

    Attributes:
        gmm: one mixture for each pdf.
        transition_log_probs: (num_transitions,) float32; those that leave one state sum to 1.
        tree: phones, their states and pdfs.
        extractor: settings that made the features it was trained on; None if they are not recorded.
    """

    gmm: Gmm
    transition_log_probs: torch.Tensor
    tree: Tree
    extractor: dict[str, Any] | None = None

    @property
    def table(self) -> TransitionTable:
        """What the transition ids mean."""
        return self.tree.table

    @property
    def topology(self) -> Topology:
        """Phones and their states."""
        return self.tree.topology

    def write(self, folder: str | Path) -> None:
        """Writes `model.safetensors`, `topology.json` and `tree.json`."""
        io.save_tensors(Path(folder) / MODEL, {**self.gmm.tensors(), "transition_log_probs": self.transition_log_probs})
        self.topology.write(Path(folder) / TOPOLOGY)
        self.tree.write(Path(folder) / TREE)


def read_model(folder: str | Path) -> GmmModel:
    """Reads a finished model folder. Raises Refusal if it is unfinished or damaged, or holds no GMM."""
    info = io.read_info(folder, "mono")
    path = Path(folder) / MODEL
    tensors, _ = io.load_tensors(path)
    if set(tensors) != TENSORS:
        raise Refusal(
            "not a GMM",
            where=path,
            expected=f"tensors {', '.join(sorted(TENSORS))}",
            found=", ".join(sorted(tensors)[:5]) or "none",
            do="name a folder made by kdasr mono",
        )
    transitions = tensors.pop("transition_log_probs")
    tree = read_model_tree(folder)
    gmm = Gmm(**tensors)
    io.expect_same(
        "number of states and transitions",
        (tree.num_pdfs, len(tree.table)),
        (gmm.num_pdfs, len(transitions)),
        path,
        io.AGAIN,
    )
    return GmmModel(gmm, transitions, tree, info.get("extractor"))


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
    dim = model.gmm.mean.shape[1] // (DELTA_ORDER + 1)
    do = "name the cepstra of the set, made by kdasr features --type mfcc"
    io.expect_same("dimension of features and GMM", dim, features.dim, features.folder, do)
    do = "make the features as the GMM's own"
    io.expect_same("the features' extractor", model.extractor, features.info.get("extractor"), features.folder, do)


def gmm_frames(table: FrameTable, utterances: list[Utterance] | None = None) -> list[torch.Tensor]:
    """Cepstra normalised by speaker, with first and second differences: a matrix (T, 3 D) float32 per utterance."""
    chosen = table.utterances if utterances is None else utterances
    stats = cmvn.speaker_stats(table, {utterance.speaker for utterance in chosen})
    return [torch.from_numpy(deltas.add_deltas(stats[u.speaker].apply(table.frames(u)), DELTA_ORDER)) for u in chosen]


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
