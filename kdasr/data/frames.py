"""Speech examples: one example is one frame, seen in a window and labelled by a forced alignment."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from kdasr import io, log
from kdasr.data.examples import Examples, RowMap, number_type
from kdasr.data.table import FrameTable, Utterance, joined
from kdasr.refusal import Refusal


@dataclass(frozen=True)
class FrameOptions:
    """What a model sees of an utterance at once."""

    left: int = 20  # frames before the labelled one; the paper's (section 4)
    right: int = 5  # frames after it; the paper's, 26 frames in all
    memory: float = 4.0  # GiB; larger feature tables are read from disk at each batch

    def __post_init__(self) -> None:
        if min(self.left, self.right, self.memory) < 0:
            raise ValueError("left and right, frames, and memory, GiB, are at least 0")


def windows(frames: Tensor, left: int, right: int) -> Tensor:
    """Each frame of an utterance with its context; the edges repeat the first and the last frame.

    Args:
        frames: (T, F).
        left: frames before.
        right: frames after.

    Returns:
        (T, left + 1 + right, F), a view of one padded copy.
    """
    return _strided(_padded(frames, left, right), left + 1 + right)


def _padded(frames: Tensor, left: int, right: int) -> Tensor:
    return torch.cat([frames[:1].expand(left, -1), frames, frames[-1:].expand(right, -1)])


def _strided(frames: Tensor, width: int) -> Tensor:
    """All windows of `width` rows as one view, (R - width + 1, width, F)."""
    rows, dim = frames.shape
    return frames.as_strided((rows - width + 1, width, dim), (dim, dim, 1))


class FrameExamples(Examples):
    """The frames of all utterances that have both features and an alignment, and of transfer sets, which need none.

    Args:
        features: (num_frames, F) column.
        alignment: column of transition ids, with `transition_pdfs.npy` beside it.
        options: context and memory.
        transfer: features of sets whose frames are learnt from a teacher alone (section 2): they have no labels.

    Raises:
        Refusal: frame counts disagree, the two have no utterance in common, the alignment is damaged, or a transfer set
            has features of another kind.
    """

    identity = ("num_pdfs", "alignment", "features", "left", "right")

    def __init__(
        self,
        features: FrameTable,
        alignment: FrameTable,
        options: FrameOptions | None = None,
        transfer: Sequence[FrameTable] = (),
    ) -> None:
        self.features, self.alignment, self.options = features, alignment, options or FrameOptions()
        self.parts = self._match()
        self._num_labelled = len(self.parts)
        self.labelled = {"features": features.fingerprint, "alignment": alignment.fingerprint}
        self._pdfs = self._read_pdfs()
        for table in transfer:
            self._transfer(table)
        if transfer:
            self.features = features = joined([features, *transfer])
        self.width = self.options.left + 1 + self.options.right
        self.input_shape = (self.width, features.dim)
        self.num_classes = int(alignment.info["num_pdfs"])
        self.labelling = str(alignment.info["topology"])
        self.background = tuple(alignment.info["silence_pdfs"])
        self.extractor = features.info.get("extractor")
        made_of = f"{features.fingerprint} {alignment.fingerprint} {self.options.left} {self.options.right}"
        self.fingerprint = hashlib.sha256(made_of.encode()).hexdigest()[:16]
        self._rows = RowMap(self.parts, features.by_id, str(features.folder))

    def _match(self) -> list[Utterance]:
        parts, begin = [], 0
        for utterance in self.features.utterances:
            aligned = self.alignment.by_id.get(utterance.id)
            if aligned is None:
                continue
            if aligned.num_frames != utterance.num_frames:
                raise Refusal(
                    f"utterance {utterance.id!r} is aligned with other features",
                    where=self.alignment.folder,
                    expected=f"{utterance.num_frames} as in {self.features.folder}",
                    found=aligned.num_frames,
                    do="align these features",
                )
            parts.append(Utterance(utterance.id, utterance.speaker, begin, utterance.num_frames))
            begin += utterance.num_frames
        if not parts:
            raise Refusal(
                f"no utterance of {self.features.folder} is aligned",
                where=self.alignment.folder,
                do="align this set",
            )
        missing = len(self.features.utterances) - len(parts)
        if missing:
            log.event(f"{self.features.folder}: {missing} utterances left out, not in {self.alignment.folder}")
        return parts

    def _read_pdfs(self) -> Tensor:
        pdf_of = io.map_array(self.alignment.folder / "transition_pdfs.npy")
        ids = np.concatenate([self.alignment.frames(part.id) for part in self.parts])
        if ids.min() < 0 or ids.max() >= len(pdf_of):
            found = f"{ids.min()} to {ids.max()}"
            raise Refusal(
                "transition ids out of range",
                where=self.alignment.folder,
                expected=f"0 to {len(pdf_of) - 1}",
                found=found,
            )
        return torch.from_numpy(pdf_of[ids].astype(np.int32))

    def _transfer(self, table: FrameTable) -> None:
        """Adds all utterances of a set without labels."""
        begin = len(self)
        self.parts = [
            *self.parts,
            *(replace(utterance, begin=begin + utterance.begin) for utterance in table.utterances),
        ]
        self._pdfs = torch.cat([self._pdfs, self._pdfs.new_full((len(table),), -1)])

    @property
    def num_labelled_parts(self) -> int:
        """Utterances of the aligned set."""
        return self._num_labelled

    def batch(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """Windows (B, left + 1 + right, F) float32 and pdfs (B,) int64 of frames `index` (B,) int64; -1: no label."""
        labels = self._pdfs.index_select(0, index).long()
        if self._in_memory:
            return self._gather(index), labels
        return self._read(index), labels

    @cached_property
    def _in_memory(self) -> bool:
        rows = len(self) + len(self.parts) * (self.width - 1)
        return rows * self.features.dim * self.features.shards[0].itemsize <= self.options.memory * 2**30

    def _gather(self, index: Tensor) -> Tensor:
        """From memory: utterances lie padded one after the other, so a window is one contiguous stretch."""
        rows = index + self._rows.part(index) * (self.width - 1)
        return self._windows.index_select(0, rows).view(len(index), *self.input_shape).float()

    @cached_property
    def _windows(self) -> Tensor:
        left, right = self.options.left, self.options.right
        padded = [_padded(_tensor(self.features.frames(part.id)), left, right) for part in self.parts]
        return _strided(torch.cat(padded), self.width).flatten(1)

    def _read(self, index: Tensor) -> Tensor:
        """From disk, for tables larger than the memory granted."""
        part = self._rows.part(index)
        centre = self._rows(index)[:, None] + torch.arange(-self.options.left, self.options.right + 1)
        first, last = self._edges[:, part, None]
        return _tensor(self.features.rows(torch.minimum(torch.maximum(centre, first), last).numpy())).float()

    @cached_property
    def _edges(self) -> Tensor:
        """First and last row of each part in the feature table, (2, U)."""
        stored = [self.features.by_id[part.id] for part in self.parts]
        return torch.tensor([[part.begin for part in stored], [part.begin + part.num_frames - 1 for part in stored]])

    def class_names(self) -> list[str]:
        """The pdfs' names, as their tree has them."""
        return list(self.alignment.info.get("pdf_names") or super().class_names())

    def labels(self) -> Tensor:
        """The pdf of every frame, (N,) int32; -1 of a transfer set's."""
        return self._pdfs

    def statistics(self) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of each coefficient, the same for all places in the window."""
        total, square = np.zeros(self.features.dim), np.zeros(self.features.dim)
        for part in self.parts:
            frames = self.features.frames(part.id).astype(np.float64)
            total, square = total + frames.sum(0), square + (frames**2).sum(0)
        mean = total / len(self)
        deviation = np.sqrt(np.maximum(square / len(self) - mean**2, 1e-10))
        return self._tile(mean), self._tile(deviation)

    def _tile(self, values: np.ndarray) -> Tensor:
        return torch.from_numpy(values.astype(np.float32)).expand(self.input_shape).contiguous()

    def facts(self) -> dict[str, Any]:
        """Dimensions, context, labelling and fingerprints."""
        return {
            "num_pdfs": self.num_classes,
            "topology": self.labelling,
            "silence_pdfs": list(self.background),
            "dim": self.features.dim,
            "left": self.options.left,
            "right": self.options.right,
            "frame_shift": self.features.info.get("frame_shift"),
            "extractor": self.extractor,
            "features": self.features.fingerprint,
            "alignment": self.alignment.fingerprint,
        }

    def pool(self, fraction: float, seed: int) -> Tensor:
        """Frames of random whole utterances, until `fraction` of the labelled frames is met; of transfer sets alike."""
        if fraction >= 1:
            return super().pool(fraction, seed)
        dtype = number_type(len(self))
        generator, chosen = torch.Generator().manual_seed(seed), list[Tensor]()
        for parts in (self.parts[: self._num_labelled], self.parts[self._num_labelled :]):
            order, wanted = torch.randperm(len(parts), generator=generator).tolist(), fraction * _frames(parts)
            while order and wanted > 0:
                part = parts[order.pop()]
                chosen.append(torch.arange(part.begin, part.begin + part.num_frames, dtype=dtype))
                wanted -= part.num_frames
        return torch.cat(chosen).sort().values


def _frames(parts: Sequence[Utterance]) -> int:
    return sum(part.num_frames for part in parts)


def _tensor(frames: np.ndarray) -> Tensor:
    """A copy in the stored dtype; torch turns float16 into float32 thirty times faster than numpy."""
    return torch.from_numpy(np.array(frames))


@dataclass(frozen=True)
class FrameSource:
    """Where a set's examples come from; travels to worker processes and opens there."""

    features: Path
    alignment: Path
    options: FrameOptions = FrameOptions()
    transfer: tuple[Path, ...] = ()
    section: ClassVar[str] = "frames"

    def open(self) -> FrameExamples:
        """The examples."""
        features, *transfer = (FrameTable(folder, "features") for folder in (self.features, *self.transfer))
        return FrameExamples(features, FrameTable(self.alignment, "align"), self.options, transfer)

    def fingerprints(self) -> dict[str, str]:
        """Name of each input -> its content hash."""
        return {
            "features": io.fingerprint(self.features, "features"),
            "alignment": io.fingerprint(self.alignment, "align"),
            **{f"transfer_{n}": io.fingerprint(folder, "features") for n, folder in enumerate(self.transfer)},
        }
