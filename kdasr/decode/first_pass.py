"""The first of two decodings with a speaker-adaptive model: its best paths give each speaker's fMLLR."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch

from kdasr import fsa, log
from kdasr.align import fmllr
from kdasr.align.model import GmmModel
from kdasr.decode.search import Searcher


def speaker_transforms(
    model: GmmModel, searcher: Searcher, frames: Sequence[torch.Tensor], speakers: Sequence[str]
) -> tuple[dict[str, torch.Tensor], float]:
    """Each speaker's fMLLR, and the seconds of the search; a speaker who was never understood keeps his frames.

    Kaldi takes the posteriors of lattices; the best path does as well where it is mostly right.

    Args:
        model: speaker-adaptive.
        searcher: of the second decoding, at whose own language-model weight the best paths are taken.
        frames: (T, D) float32 of each utterance, not transformed.
        speakers: of each.
    """
    before = model.first_pass or model.gmm
    paths, seconds = best_paths(
        searcher, [len(matrix) for matrix in frames], lambda number: before.log_likelihoods(frames[number])
    )
    log.event(f"first pass: {sum(path is not None for path in paths)} of {len(paths)} utterances in {seconds:.1f} s")
    return fmllr.transforms(model.speaker_statistics(frames, paths, speakers)), seconds


def best_paths(
    searcher: Searcher, lengths: Sequence[int], log_likelihoods: Callable[[int], torch.Tensor]
) -> tuple[list[np.ndarray | None], float]:
    """Transition ids (T,) of the best path of each utterance, None where there is none; and the search's seconds.

    Args:
        searcher: graph and beams.
        lengths: frames of each utterance.
        log_likelihoods: utterance number -> (T, num_pdfs).
    """
    paths: list[np.ndarray | None] = [None] * len(lengths)
    before = searcher.seconds
    for batch, lattices in searcher.search(lengths, log_likelihoods):
        for number, path in zip(batch, fsa.path_rows(fsa.best_paths(lattices), "transition"), strict=True):
            paths[number] = path if len(path) == lengths[number] else None
    return paths, searcher.seconds - before
