"""Forced alignment of a whole set by a trained GMM, written as a frame table of transition ids."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from kdasr import io, jobs
from kdasr.align.aligner import Aligner, AlignOptions
from kdasr.align.model import GmmModel, expect_cepstra, expect_topology, gmm_frames, read_model, scaled_transitions
from kdasr.align.utterances import NO_PATH, alignable, check_bad
from kdasr.data.table import FrameTable, FrameTableWriter
from kdasr.lang.graph import alignment_graph
from kdasr.lang.lexicon import Lexicon
from kdasr.lang.topology import make_topology

UTTERANCES_A_PART = 250


def align_utterances(
    model: GmmModel,
    lexicon: Lexicon,
    frames: Sequence[torch.Tensor],
    texts: Sequence[str],
    options: AlignOptions,
) -> list[np.ndarray | None]:
    """The best path of each utterance through the graph of its transcript.

    Args:
        model: GMM and transitions.
        lexicon: words of the transcripts.
        frames: the GMM's frames of each utterance, (T, D) float32.
        texts: transcript of each.
        options: scales and beams.

    Returns:
        Transition ids (T,) int32 of each utterance, None where there is no path (shorter than its states).
    """
    graphs = [alignment_graph(lexicon.known(text), lexicon, model.tree) for text in texts]
    lengths = [len(matrix) for matrix in frames]

    def log_likelihoods(batch: Sequence[int]) -> list[torch.Tensor]:
        joined = model.gmm.log_likelihoods(torch.cat([frames[number] for number in batch]))
        return list(joined.split([lengths[number] for number in batch]))

    scores = scaled_transitions(
        model.table, model.transition_log_probs, options.transition_scale, options.self_loop_scale
    )
    return Aligner(graphs, lengths, options).align(log_likelihoods, scores)


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
    items = [
        (Path(model_folder), features.folder, part, [texts[id] for id in part], lexicon, options) for part in parts
    ]
    paths = dict(zip(ids, (path for part in jobs.run(_align_part, items, num_jobs) for path in part), strict=True))
    bad |= {id: NO_PATH for id, path in paths.items() if path is None}
    check_bad(bad, total, options.max_bad, features.folder)
    writer = FrameTableWriter(out)
    for id, path in paths.items():
        if path is not None:
            writer.add(id, features.by_id[id].speaker, path.astype(np.int32))
    num_utterances = writer.close()
    io.save_array(Path(out) / "transition_pdfs.npy", model.table.pdf.astype(np.int32))
    return {
        "num_pdfs": model.table.num_pdfs,
        "topology": model.tree.fingerprint,
        "silence_pdfs": model.tree.silence_pdfs(),
        "pdf_names": model.tree.pdf_names(),
        "num_utterances": num_utterances,
        "num_frames": sum(len(path) for path in paths.values() if path is not None),
        "not_aligned": sorted(bad),
    }


def _align_part(
    arguments: tuple[Path, Path, Sequence[str], Sequence[str], Lexicon, AlignOptions],
) -> list[np.ndarray | None]:
    model_folder, features, ids, texts, lexicon, options = arguments
    table = FrameTable(features)
    frames = gmm_frames(table, [table.by_id[id] for id in ids])
    return align_utterances(read_model(model_folder), lexicon, frames, texts, options)
