"""Soft targets on lhotse cuts: attached as temporal arrays, matched with a net's outputs in anybody's training loop.

An attached array names a folder of soft targets and an utterance of it; nothing is copied. With this module imported
lhotse reads it: `cut.load_soft_targets()` gives p_T, (T, S) float32. `CutTargets` reads whole batches, and keeps them
sparse.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lhotse import CutSet
from lhotse.array import Array, TemporalArray
from lhotse.cut.data import DataCut
from lhotse.features.io import FeaturesReader, register_reader
from lhotse.utils import fastcopy
from torch import Tensor

from kdasr import io, log
from kdasr.corpora import manifests
from kdasr.distill.soft_targets import VERB, SoftTargets, label_hash
from kdasr.distill.sparse import Sparse
from kdasr.refusal import Refusal

FIELD, ATTACHED_TO = "soft_targets", "soft_targets_of"  # the array; seconds of the cut and of its recording
LACKING = 2.5  # outputs that a cut may lack or have too many: convolutions and windows without padding take two


def _stored(folder: str, temperature: float | None = None) -> SoftTargets:
    """The soft targets of a folder, opened once; again where it was made again."""
    if not os.path.isdir(folder):
        do = "make them there, or attach them anew where they are (kdasr attach): cuts name an absolute path"
        raise Refusal("no soft targets here", where=folder, do=do)
    info = Path(folder, io.INFO)
    made = os.stat(info if info.exists() else folder)
    return _opened(folder, temperature, made.st_mtime_ns, made.st_ino)


def _told(record: logging.LogRecord) -> bool:
    """All but lhotse's warning, for every cut of every batch, that frames of these arrays do not end with the cut."""
    text = record.getMessage()
    return not ("possibly mismatched duration" in text and f"custom field '{FIELD}'" in text)


logging.getLogger().addFilter(_told)  # lhotse warns by the root logger


@lru_cache(maxsize=16)
def _opened(folder: str, temperature: float | None, *_: int) -> SoftTargets:
    return SoftTargets(folder, temperature=temperature)


@register_reader
class SoftTargetsReader(FeaturesReader):
    """Lets lhotse read stored soft targets as arrays.

    Args:
        storage_path: a folder of soft targets.
    """

    name = "kdasr_soft_targets"

    def __init__(self, storage_path: str) -> None:
        self.targets = _stored(str(storage_path))

    def read(self, key: str, left_offset_frames: int = 0, right_offset_frames: int | None = None) -> np.ndarray:
        """p_T of the utterance `key`, (T, S) float32, of the frames between the two offsets."""
        return self.targets.utterance(key).dense().numpy()[left_offset_frames:right_offset_frames]


def attach(cuts: Iterable[Any], folder: str | Path) -> CutSet:
    """Cuts with the soft targets of their ids attached; those without are left out, and counted in the log.

    Args:
        cuts: the very cuts that the targets were made of, or others of the same ids and times.
        folder: of soft targets.

    Raises:
        Refusal: none of the cuts has soft targets, or those of one are longer or shorter than it; one is mixed or
            padding; the folder does not tell its frame shift.
    """
    folder = Path(folder).resolve()
    targets = _stored(str(folder))
    shift, num_labels = targets.info.get("frame_shift"), len(targets.store.tail)
    if not shift:
        raise Refusal("soft targets that tell no frame shift", where=folder, do="attach those of speech")
    attached, without = [], 0
    for cut in cuts:
        if cut.id not in targets.by_id:
            without += 1
            continue
        if not isinstance(cut, DataCut):
            do = "attach to the cuts that it is made of, before they are mixed"
            raise Refusal(f"{type(cut).__name__} {cut.id!r}", where=folder, expected="a cut of one recording", do=do)
        num_frames = targets.by_id[cut.id].num_frames
        if abs(num_frames - cut.duration / shift) > LACKING + 1e-3:
            raise Refusal(
                f"soft targets of {cut.id!r} and its cut differ in length",
                where=folder,
                expected=f"{cut.duration:g} s",
                found=f"{num_frames} frames of {shift:g} s, {num_frames * shift:g} s",
                do="name the cuts that the soft targets were made of",
            )
        array = Array(SoftTargetsReader.name, str(folder), cut.id, [num_frames, num_labels])
        custom = {FIELD: TemporalArray(array, temporal_dim=0, frame_shift=shift, start=cut.start)}
        lengths = {"cut": cut.duration, "recording": _recorded(cut)}
        attached.append(fastcopy(cut, custom={**(cut.custom or {}), **custom, ATTACHED_TO: lengths}))
    if not attached:
        do = "name the cuts that the soft targets were made of"
        raise Refusal("no cut has soft targets", where=folder, found=f"{without} cuts of other ids", do=do)
    if without:
        log.event(f"{folder}: {without} cuts left out, which have no soft targets")
    return CutSet.from_cuts(attached)


def attach_folder(out: Path, folder: Path, cuts: Path, overwrite: bool = False) -> None:
    """Writes `out/cuts.jsonl.gz`, the cuts of a folder or lhotse file with the soft targets of `folder` attached.

    The cuts name the soft targets by their folder alone; `out/soft_targets.json` has their fingerprint, so that what is
    made of other ones in the same place counts as another input.
    """
    inputs = {"soft_targets": io.fingerprint(folder, VERB), "cuts": io.fingerprint(cuts, "corpus")}
    named = {"soft_targets": folder.resolve()}  # by the arrays: one that was moved is attached anew
    if io.begin(out, io.Made("attach", named, inputs), overwrite):
        attached = list(attach(manifests.load_cuts(cuts), folder))
        manifests.save_cuts(out, attached)
        io.write_json(out / "soft_targets.json", inputs["soft_targets"])
        io.finish(out, num_cuts=len(attached))


def _recorded(cut: Any) -> float:
    """Seconds of its recording, as it is played now: a copy at another speed or tempo has another length."""
    return float(cut.recording.duration if cut.has_recording else 0.0)


class CutTargets:
    """Attached soft targets beside a net's outputs, frame by frame.

    Args:
        labels: names of the net's outputs, in their order; None: they are the teachers', by number.
        frame_shift: seconds from one output to the next: that of the features times the net's subsampling.
        temperature: T wanted, that of the loss.
    """

    def __init__(self, labels: Sequence[str] | None, frame_shift: float, temperature: float) -> None:
        self.labels = None if labels is None else label_hash(labels)
        self.frame_shift, self.temperature = frame_shift, temperature

    def match(self, cuts: Iterable[Any], logits: Tensor, lengths: Sequence[int] | Tensor) -> tuple[Tensor, Sparse]:
        """The outputs of all cuts one after the other, without padding, and the soft targets of the same frames.

        Args:
            cuts: of a batch, in the order of its rows; parts of attached cuts too, to the nearest frame.
            logits: (N, T, S).
            lengths: outputs of each cut, N in all.

        Returns:
            Logits (B, S) and p_T of them, B the sum of `lengths`.

        Raises:
            Refusal: a cut has no soft targets, was changed in speed or tempo or mixed since it got them, or has another
                number of frames; the frame shifts or label sets differ; the cuts are of several folders.
        """
        cuts, counts = list(cuts), [int(length) for length in lengths]
        found = [_attached(cut) for cut in cuts]
        folders = {array.array.storage_path for _, array in found}
        if len(folders) != 1:
            do = "store the soft targets of all cuts in one folder"
            raise Refusal("a batch of several folders of soft targets", found=", ".join(sorted(folders)), do=do)
        (folder,) = folders
        targets = self._open(folder, logits.shape[2])
        if max(counts) > logits.shape[1]:
            expected = f"lengths of {logits.shape[1]} at most, as the outputs are"
            raise Refusal("an utterance is longer than the net's outputs", expected=expected, found=max(counts))
        rows = [self._rows(cut, array, targets, count) for (cut, array), count in zip(found, counts, strict=True)]
        frames = torch.cat([each[:count] for each, count in zip(logits, counts, strict=True)])
        return frames, targets.store.read(np.concatenate(rows), targets.power).to(logits.device)

    def _open(self, folder: str, num_outputs: int) -> SoftTargets:
        targets, do = _stored(folder, self.temperature), "train student and teachers on one label set, in one order"
        io.expect_same("number of outputs and of labels", num_outputs, len(targets.store.tail), folder, do)
        if self.labels is not None:
            io.expect_same("names of outputs and of labels", self.labels, targets.info.get("labels"), folder, do)
        return targets

    def _rows(self, cut: Any, array: TemporalArray, targets: SoftTargets, count: int) -> np.ndarray:
        """Numbers of the stored frames of a cut, (count,)."""
        folder, shift = targets.folder, self.frame_shift
        if abs(array.frame_shift - shift) > 1e-6:
            raise Refusal(
                "frame shifts of soft targets and net differ",
                where=folder,
                expected=f"{shift:g} s",
                found=f"{array.frame_shift:g} s",
                do="take teachers of the student's subsampling",
            )
        utterance = targets.by_id[array.array.storage_key]
        begin, whole = round((cut.start - array.start) / shift), cut.custom[ATTACHED_TO]["cut"]
        part = cut.start != array.start or abs(cut.duration - whole) > 1e-3  # its edges fall between frames
        lacking = round(whole / shift) - utterance.num_frames
        wanted = max(0, round(cut.duration / shift) - lacking) if part else utterance.num_frames
        if abs(count - wanted) > part or begin < 0 or begin + count > utterance.num_frames + part:
            raise Refusal(
                f"the net's outputs of {cut.id!r} are not the frames of its soft targets",
                where=folder,
                expected=f"{wanted} frames from frame {begin} of {utterance.num_frames}",
                found=f"{count} outputs",
                do="subsample as the teachers did, and extend no cut",
            )
        return utterance.begin + np.minimum(begin + np.arange(count), utterance.num_frames - 1)


def _attached(cut: Any) -> tuple[Any, TemporalArray]:
    """A cut, or the one track of a mixed cut that is not padding or noise, and its soft targets."""
    tracks = getattr(cut, "tracks", None)
    if tracks is not None:
        taught = [track for track in tracks if FIELD in (getattr(track.cut, "custom", None) or {})]
        if len(taught) != 1 or taught[0].offset:
            raise Refusal(
                f"mixed cut {cut.id!r}",
                expected="one cut with soft targets, from its start",
                found=f"{len(taught)} of them" if len(taught) != 1 else f"it begins {taught[0].offset:g} s late",
                do="mix noise in and pad at the end, but join no cuts",
            )
        cut = taught[0].cut
    array = (getattr(cut, "custom", None) or {}).get(FIELD)
    if not isinstance(array, TemporalArray) or array.array.storage_type != SoftTargetsReader.name:
        found = "a copy of them, in memory or Shar" if array is not None else None
        do = "attach them (kdasr attach), and train on those cuts"
        raise Refusal(f"cut {cut.id!r} has no soft targets", found=found, do=do)
    before, now = cut.custom[ATTACHED_TO]["recording"], _recorded(cut)
    if abs(now - before) > 1e-3:
        raise Refusal(
            f"cut {cut.id!r} was changed in speed or tempo after it got its soft targets",
            expected=f"a recording of {before:g} s",
            found=f"{now:g} s",
            do="change the speed first, and make soft targets of those cuts",
        )
    return cut, array
