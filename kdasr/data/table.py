"""The frame table: one column (features, alignment) of utterances' frames, on disk.

A folder holds `utterances.jsonl` (id, speaker, number of frames, in order) and `frames-NNN.npy`, the frames of all
utterances one after the other. Every column of a corpus has this layout, so all are read by the same frame number.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from copy import copy
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from kdasr import io
from kdasr.refusal import Refusal

UTTERANCES = "utterances.jsonl"
SHARD_BYTES = 1 << 30


@dataclass(frozen=True)
class Utterance:
    """Where an utterance's frames lie in the table: rows `begin` to `begin + num_frames`."""

    id: str
    speaker: str
    begin: int
    num_frames: int

    @property
    def rows(self) -> slice:
        """Its rows."""
        return slice(self.begin, self.begin + self.num_frames)


class FrameTable:
    """Reads a column of frames from a finished folder, memory-mapped.

    Args:
        folder: made by `FrameTableWriter` and finished.
        verbs: those that may have made it; none named: any.

    Raises:
        Refusal: the folder is unfinished or of another verb, or its files are damaged or disagree.
    """

    def __init__(self, folder: str | Path, *verbs: str) -> None:
        self.folder = Path(folder)
        self.info = io.read_info(self.folder, *verbs)
        self.fingerprint: str = self.info["fingerprint"]
        self.utterances = read_utterances(self.folder)
        self.shards = [io.map_array(path) for path in sorted(self.folder.glob("frames-*.npy"))]
        listed = sum(utterance.num_frames for utterance in self.utterances)
        if listed != len(self):
            raise Refusal(
                "frames are missing",
                where=folder,
                expected=listed,
                found=len(self),
                do=io.AGAIN,
            )

    def __len__(self) -> int:
        return sum(len(shard) for shard in self.shards)

    @property
    def dim(self) -> int:
        """Numbers a frame; 1 for a column of labels."""
        return self.shards[0].shape[1] if self.shards and self.shards[0].ndim == 2 else 1

    def only(self, utterances: Sequence[Utterance]) -> FrameTable:
        """The same column with some of its utterances listed; rows keep their numbers."""
        table = copy(self)
        table.utterances = list(utterances)
        table.__dict__.pop("by_id", None)
        return table

    @cached_property
    def by_id(self) -> dict[str, Utterance]:
        """Utterance id -> where its frames are."""
        return {utterance.id: utterance for utterance in self.utterances}

    @cached_property
    def shard_begins(self) -> np.ndarray:
        """First row of every shard, and the number of rows: (num_shards + 1,)."""
        return np.cumsum([0, *(len(shard) for shard in self.shards)])

    def frames(self, utterance: str | Utterance) -> np.ndarray:
        """The frames of one utterance, `(T, dim)` or `(T,)`, a view of the file (utterances never cross shards)."""
        if isinstance(utterance, str):
            if utterance not in self.by_id:
                raise Refusal(f"no utterance {utterance!r}", where=self.folder)
            utterance = self.by_id[utterance]
        shard = int(np.searchsorted(self.shard_begins, utterance.begin, side="right")) - 1
        begin = utterance.begin - int(self.shard_begins[shard])
        return self.shards[shard][begin : begin + utterance.num_frames]

    def finite(self, utterance: str | Utterance) -> bool:
        """Whether the frames of one utterance hold neither NaN nor infinity."""
        return bool(np.isfinite(self.frames(utterance)).all())

    def rows(self, index: np.ndarray) -> np.ndarray:
        """The rows of any `index` (int64, any shape), gathered from all shards: `index.shape + (dim,)`."""
        if len(self.shards) == 1:
            return self.shards[0][index]
        shard_of = np.searchsorted(self.shard_begins, index, side="right") - 1
        out = np.empty(index.shape + self.shards[0].shape[1:], self.shards[0].dtype)
        for shard in np.unique(shard_of):
            here = shard_of == shard
            out[here] = self.shards[shard][index[here] - self.shard_begins[shard]]
        return out

    def __iter__(self) -> Iterator[tuple[Utterance, np.ndarray]]:
        return ((utterance, self.frames(utterance)) for utterance in self.utterances)


def joined(tables: Sequence[FrameTable]) -> FrameTable:
    """One column of several, one after the other, such as features of several sets.

    Raises:
        Refusal: they were made otherwise than the first, or two have an utterance of the same name.
    """
    first = tables[0]
    whole, begin = copy(first), 0
    whole.utterances, whole.shards = [], []
    whole.fingerprint = hashlib.sha256(" ".join(table.fingerprint for table in tables).encode()).hexdigest()[:16]
    for table in tables:
        for fact in ("dim", "extractor", "frame_shift"):
            own, found = first.info.get(fact), table.info.get(fact)
            io.expect_same(f"{fact} of two sets", own, found, table.folder, "make both with the same settings")
        whole.utterances += [replace(utterance, begin=begin + utterance.begin) for utterance in table.utterances]
        whole.shards += table.shards
        begin += len(table)
    for cached in ("by_id", "shard_begins"):
        whole.__dict__.pop(cached, None)
    if len(whole.by_id) < len(whole.utterances):
        twice = next(id for id, number in Counter(u.id for u in whole.utterances).items() if number > 1)
        raise Refusal("an utterance is in two sets", where=twice, do="name each set once, or rename its cuts")
    return whole


class FrameTableWriter:
    """Writes a column utterance by utterance; each full shard is synced and renamed before the next begins.

    Args:
        folder: an output folder opened by `io.begin`; the caller finishes it.
        shard_bytes: size at which a shard is closed.
    """

    def __init__(self, folder: str | Path, shard_bytes: int = SHARD_BYTES) -> None:
        self.folder, self.shard_bytes = Path(folder), shard_bytes
        for stale in self.folder.glob("frames-*.npy"):
            stale.unlink()
        self._utterances: list[Utterance] = []
        self._num_frames = 0
        self._pending: list[np.ndarray] = []
        self._num_shards = 0

    def add(self, id: str, speaker: str, frames: np.ndarray) -> None:
        """Appends an utterance's frames, `(T, dim)` or `(T,)`, all of one dtype."""
        if self._pending and sum(part.nbytes for part in self._pending) + frames.nbytes > self.shard_bytes:
            self._write_shard()
        self._pending.append(frames)
        self._utterances.append(Utterance(id, speaker, self._num_frames, len(frames)))
        self._num_frames += len(frames)

    def close(self) -> int:
        """Writes the last shard and the utterance list; returns the number of utterances."""
        if self._pending:
            self._write_shard()
        write_utterances(self.folder, self._utterances)
        return len(self._utterances)

    def _write_shard(self) -> None:
        io.save_array(self.folder / f"frames-{self._num_shards:03d}.npy", np.concatenate(self._pending))
        self._num_shards, self._pending = self._num_shards + 1, []


def write_utterances(folder: Path, utterances: Sequence[Utterance]) -> None:
    """Writes a column's list of utterances, which lie one after the other."""
    rows = [{"id": each.id, "speaker": each.speaker, "num_frames": each.num_frames} for each in utterances]
    io.write_text(folder / UTTERANCES, "".join(f"{json.dumps(row)}\n" for row in rows))


def read_utterances(folder: Path) -> list[Utterance]:
    """Reads what `write_utterances` wrote. Raises Refusal if it is absent or damaged."""
    utterances, begin, path = [], 0, folder / UTTERANCES
    try:
        for line in map(json.loads, path.read_text(encoding="utf-8").splitlines()):
            utterances.append(Utterance(line["id"], line["speaker"], begin, line["num_frames"]))
            begin += line["num_frames"]
    except (FileNotFoundError, ValueError, KeyError, TypeError) as error:
        raise Refusal("damaged utterance list", where=path, found=repr(error), do=io.AGAIN) from None
    return utterances
