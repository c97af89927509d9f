"""Features that Kaldi computed, as a frame table."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from kdasr import io, log
from kdasr.corpora import validate
from kdasr.corpora.kaldi import SPEAKERS, read_table
from kdasr.data.table import FrameTableWriter
from kdasr.exchange import archive
from kdasr.exchange.archive import ArchiveOptions
from kdasr.refusal import Refusal

TYPE = "kaldi"


def take(
    out: Path, places: Sequence[str], options: ArchiveOptions, utt2spk: Path | None = None, overwrite: bool = False
) -> None:
    """Writes the matrices of archives as features, in the archives' order.

    Args:
        out: the frame table, (T, D) of the options' dtype, and `bad.txt`.
        places: archives, or `.scp` lists.
        options: dtype, frame shift, and how many utterances may be bad.
        utt2spk: Kaldi's table of speakers; without it each utterance is its own.
        overwrite: make again what other options or archives made.

    Raises:
        Refusal: an archive is absent, damaged or a command, utterances are of another dimension than the first, or more
            than `max_bad` are bad: without frames, with numbers that are not finite, or without a speaker.
    """
    speakers = read_table(utt2spk, f"name Kaldi's {SPEAKERS}") if utt2spk else None
    inputs = {"archives": archive.fingerprint(places), **({SPEAKERS: io.file_hash(utt2spk)} if utt2spk else {})}
    if not io.begin(out, io.Made(f"features {TYPE}", validate.shaping(options), inputs), overwrite):
        return
    writer, bad, dim, num_frames = FrameTableWriter(out), dict[str, str](), 0, 0
    for id, matrix in archive.matrices(places):
        with np.errstate(over="ignore"):  # told below
            frames = matrix.astype(options.dtype)
        if fault := _fault(id, frames, speakers):
            bad[id] = fault
            continue
        dim = dim or frames.shape[1]
        if frames.shape[1] != dim:
            found = f"{frames.shape[1]} of {id}"
            raise Refusal("utterances of several dimensions", where=places[0], expected=dim, found=found)
        writer.add(id, speakers[id] if speakers else id, frames)
        num_frames += len(frames)
    num_utterances = writer.close()
    if not num_utterances and not bad:
        raise Refusal("no utterances", where=places[0], do="name the archives of a set")
    validate.set_aside(bad, num_utterances + len(bad), options.max_bad, places[0], "archive.max_bad=N")
    validate.write_bad(out, bad)
    io.finish(
        out,
        type=TYPE,
        extractor={"type": TYPE},  # in which a model's features must agree; archives tell no more
        dim=dim,
        frame_shift=options.frame_shift,
        num_frames=num_frames,
        num_utterances=num_utterances,
        num_bad=len(bad),
    )
    log.event(f"{out}: {num_frames} frames of {num_utterances} utterances, {len(bad)} set aside")


def _fault(id: str, frames: np.ndarray, speakers: dict[str, str] | None) -> str | None:
    """Why an utterance cannot be used, in one phrase; None when it can."""
    if not frames.size:
        return "no frames"
    if not np.isfinite(frames).all():
        return f"{np.sum(~np.isfinite(frames))} numbers that are not finite in {frames.dtype}"
    if speakers is not None and not speakers.get(id):
        return f"no speaker in {SPEAKERS}"
    return None
