"""An alignment that Kaldi made, a pdf a frame, as a frame table of labels.

Kaldi's own alignments are of transition-ids, which only its model can tell the pdfs of: `ali-to-pdf` does. Here each
pdf is one transition id, itself.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from kdasr import io, log
from kdasr.data.table import FrameTableWriter
from kdasr.exchange import archive
from kdasr.refusal import Refusal

ALI_TO_PDF = "if these are transition-ids: ali-to-pdf final.mdl 'ark:gunzip -c ali.1.gz |' ark:pdf.1.ark"


def take(
    out: Path,
    places: Sequence[str],
    num_pdfs: int,
    silence_pdfs: Sequence[int] = (),
    tree: Path | None = None,
    overwrite: bool = False,
) -> None:
    """Writes the pdfs of archives as an alignment that trains.

    Args:
        out: the frame table, (T,) int32.
        places: archives of pdfs from 0, text or binary, or `.scp` lists.
        num_pdfs: of Kaldi's model, S; classes of the nets that are trained.
        silence_pdfs: those that do not count in the accuracy without silence.
        tree: Kaldi's `tree`; alignments of several trees are then told apart, of one number of pdfs too.
        overwrite: make again what other options or archives made.

    Raises:
        Refusal: an archive is absent, damaged or a command, it holds no utterance, or a pdf is out of range.
    """
    if wrong := [pdf for pdf in silence_pdfs if pdf >= num_pdfs]:
        raise Refusal("no such silence pdf", where=out, expected=f"0 to {num_pdfs - 1}", found=wrong[0])
    inputs = {"archives": archive.fingerprint(places), **({"tree": io.fingerprint(tree)} if tree else {})}
    options = {"num_pdfs": num_pdfs, "silence_pdfs": list(silence_pdfs)}
    if not io.begin(out, io.Made("align kaldi", options, inputs), overwrite):
        return
    writer, empty, frames = FrameTableWriter(out), list[str](), np.zeros(num_pdfs, np.int64)
    for id, pdfs in archive.integers(places):
        if not len(pdfs):
            empty.append(id)
            continue
        if pdfs.min() < 0 or pdfs.max() >= num_pdfs:
            expected, found = f"0 to {num_pdfs - 1}", f"{pdfs.min()} to {pdfs.max()}"
            raise Refusal("pdfs out of range", where=f"{out}, {id}", expected=expected, found=found, do=ALI_TO_PDF)
        writer.add(id, id, pdfs.astype(np.int32))
        frames += np.bincount(pdfs, minlength=num_pdfs)
    num_utterances = writer.close()
    if not num_utterances:
        raise Refusal("no utterances", where=places[0], do="name the archives of a set")
    io.save_array(out / "transition_pdfs.npy", np.arange(num_pdfs, dtype=np.int32))
    labelling = f"kaldi {num_pdfs} {inputs.get('tree', '')}"
    io.finish(
        out,
        num_pdfs=num_pdfs,
        topology=hashlib.sha256(labelling.encode()).hexdigest()[:16],
        silence_pdfs=list(silence_pdfs),
        num_utterances=num_utterances,
        num_frames=int(frames.sum()),
        not_aligned=sorted(empty),
    )
    seen = f"{np.count_nonzero(frames)} of {num_pdfs} pdfs"
    log.event(f"{out}: {frames.sum()} frames of {num_utterances} utterances, {seen}, {len(empty)} empty ones left out")
