"""Forced alignment of a whole set by a trained GMM, written as a frame table of transition ids."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from kdasr import io, jobs, log
from kdasr.align import fmllr
from kdasr.align.aligner import Aligner, AlignOptions
from kdasr.align.gmm import Gmm
from kdasr.align.model import GmmModel, expect_cepstra, expect_topology, gmm_frames, read_model, scaled_transitions
from kdasr.align.utterances import NO_PATH, alignable, check_bad
from kdasr.data.table import FrameTable, FrameTableWriter
from kdasr.lang.graph import alignment_graph
from kdasr.lang.lexicon import Lexicon
from kdasr.lang.topology import make_topology

UTTERANCES_A_PART = 250
PARTS_AT_ONCE = 64  # whose paths are in memory


@dataclass(frozen=True)
class _Share:
    """Utterances that a process aligns, as they travel to it."""

    model: Path
    features: Path
    ids: Sequence[str]
    texts: Sequence[str]
    lexicon: Lexicon
    options: AlignOptions
    transforms: Mapping[str, torch.Tensor] | None = None  # of a speaker-adaptive model's second pass


def align_utterances(
    model: GmmModel,
    gmm: Gmm,
    lexicon: Lexicon,
    frames: Sequence[torch.Tensor],
    texts: Sequence[str],
    options: AlignOptions,
) -> list[np.ndarray | None]:
    """The best path of each utterance through the graph of its transcript.

    Args:
        model: tree and transitions.
        gmm: mixtures, those of the model or of its first pass.
        lexicon: words of the transcripts.
        frames: the mixtures' frames of each utterance, (T, D) float32.
        texts: transcript of each.
        options: scales and beams.

    Returns:
        Transition ids (T,) int32 of each utterance, None where there is no path (shorter than its states).
    """
    graphs = [alignment_graph(lexicon.known(text), lexicon, model.tree) for text in texts]
    scores = scaled_transitions(
        model.table, model.transition_log_probs, options.transition_scale, options.self_loop_scale
    )
    aligner = Aligner(graphs, [len(matrix) for matrix in frames], options)
    return aligner.align(lambda number, pdfs: gmm.log_likelihoods(frames[number], pdfs), scores)


def write_alignment(
    out: str | Path,
    model_folder: str | Path,
    features: FrameTable,
    texts: Mapping[str, str],
    lexicon: Lexicon,
    options: AlignOptions,
    num_jobs: int = 1,
) -> dict[str, object]:
    """Aligns every utterance that has features and a transcript and writes the alignment's frame table.

    With a speaker-adaptive model twice: the first alignment, by its first pass's mixtures, gives the speakers' fMLLR.

    Args:
        out: output folder.
        model_folder: GMM of the lexicon's topology.
        features: raw cepstra, as the GMM was trained on.
        texts: utterance id -> transcript.
        lexicon: words of the transcripts.
        options: scales and beams.
        num_jobs: processes that share the utterances.

    Returns:
        Facts for the folder's `info.json`.

    Raises:
        Refusal: the model is of another topology than the lexicon or of other features, or more than `max_bad`
            utterances fail.
    """
    model = read_model(model_folder)
    expect_topology(model_folder, make_topology(lexicon).fingerprint)
    expect_cepstra(model, features)
    ids, bad = alignable(features, texts, lexicon, model.topology)
    total = len(ids) + len(bad)
    parts = [ids[begin : begin + UTTERANCES_A_PART] for begin in range(0, len(ids), UTTERANCES_A_PART)]
    shares = [
        _Share(Path(model_folder), features.folder, part, [texts[id] for id in part], lexicon, options)
        for part in parts
    ]
    if model.first_pass is not None:
        found = fmllr.transforms(fmllr.merged(jobs.run(_first_pass, shares, num_jobs, title=f"{out}, first pass")))
        shares = [replace(share, transforms=found) for share in shares]
    writer, num_frames = FrameTableWriter(out), 0
    for begin in log.progress(range(0, len(shares), PARTS_AT_ONCE), str(out)):
        some = shares[begin : begin + PARTS_AT_ONCE]
        for share, paths in zip(some, jobs.run(_align, some, num_jobs, title=f"{out}, parts"), strict=True):
            for id, path in zip(share.ids, paths, strict=True):
                if path is None:
                    bad[id] = NO_PATH
                else:
                    writer.add(id, features.by_id[id].speaker, path.astype(np.int32))
                    num_frames += len(path)
    check_bad(bad, total, options.max_bad, features.folder)
    num_utterances = writer.close()
    io.save_array(Path(out) / "transition_pdfs.npy", model.table.pdf.astype(np.int32))
    return {
        "num_pdfs": model.table.num_pdfs,
        "topology": model.tree.fingerprint,
        "silence_pdfs": model.tree.silence_pdfs(),
        "pdf_names": model.tree.pdf_names(),
        "num_utterances": num_utterances,
        "num_frames": num_frames,
        "not_aligned": sorted(bad),
    }


def _first_pass(share: _Share) -> dict[str, fmllr.FmllrStatistics]:
    """What the speakers' transforms are estimated of: an alignment by the mixtures that want none."""
    table, model = FrameTable(share.features), read_model(share.model)
    utterances = [table.by_id[id] for id in share.ids]
    frames = gmm_frames(table, utterances, model.frontend)
    gmm = model.first_pass or model.gmm
    paths = align_utterances(model, gmm, share.lexicon, frames, share.texts, share.options)
    return model.speaker_statistics(frames, paths, [utterance.speaker for utterance in utterances])


def _align(share: _Share) -> list[np.ndarray | None]:
    table, model = FrameTable(share.features), read_model(share.model)
    frames = gmm_frames(table, [table.by_id[id] for id in share.ids], model.frontend, share.transforms)
    return align_utterances(model, model.gmm, share.lexicon, frames, share.texts, share.options)
