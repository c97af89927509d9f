"""Soft targets of anybody's teachers, stored utterance by utterance for recipes whose examples are not kdasr's."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from kdasr import io, lock, log
from kdasr.data.table import Utterance, write_utterances
from kdasr.distill import store
from kdasr.distill.ensemble import combine
from kdasr.distill.loss import DistillOptions
from kdasr.distill.soft_targets import LOGITS, PROBABILITIES, VERB, label_hash
from kdasr.distill.store import Rows, StoreOptions
from kdasr.refusal import Refusal


def write_soft_targets(
    folder: str | Path,
    utterances: Iterable[tuple[str, Tensor]],
    labels: Sequence[str],
    frame_shift: float,
    distill: DistillOptions | None = None,
    options: StoreOptions | None = None,
    teachers: Mapping[str, str] | None = None,
    inputs: Mapping[str, str] | None = None,
    overwrite: bool = False,
) -> dict[str, Any]:
    """Writes the mean of teachers' predictions of each utterance; returns the folder's info.

    A folder that was made of the same is left as it is, and `utterances` are not asked for; one that was killed is
    begun again.

    Args:
        folder: the output.
        utterances: id, no two alike, and the teachers' logits (K, T, S) of one after the other; a generator makes them
            as they are wanted.
        labels: names of the S outputs, in their order.
        frame_shift: seconds from one output to the next.
        distill: temperature and kind of mean.
        options: what is kept of a frame.
        teachers: content hash of each, by name, as `{"seed-0": io.file_hash("seed-0/model.safetensors")}`.
        inputs: the same of all else that the logits come from, as `{"cuts": io.file_hash("cuts.jsonl.gz")}`.
        overwrite: makes anew a folder that was made of something else.

    Raises:
        Refusal: the folder was made of something else; an utterance comes twice; logits are not finite, have another
            shape, or more outputs than 16 bits can name; there are none; the frame shift is no time.
    """
    frame_shift = float(frame_shift)  # of numpy too
    if not 0 < frame_shift < math.inf:
        raise Refusal("no frame shift", where=folder, expected="seconds, above 0", found=frame_shift)
    distill = distill or DistillOptions()
    options = (options or StoreOptions()).of_mean(distill.mean)
    folder, teachers = Path(folder), teachers or {}
    described = {"labels": label_hash(labels), "frame_shift": frame_shift, "store": options}
    made_with = {"temperature": distill.temperature, "mean": distill.mean, **described}
    prints = {f"teacher {name}": print for name, print in teachers.items()}
    if io.begin(folder, io.Made(VERB, made_with, {**prints, **(inputs or {})}), overwrite):
        try:
            writer = _Writer(folder, len(labels), distill, options)
            for id, logits in log.progress(utterances, str(folder)):
                writer.add(id, logits)
            facts = writer.finish()
        except BaseException:
            lock.release(folder)  # the caller's process may go on, and others wait for the folder
            raise
        io.finish(
            folder,
            **described,
            num_pdfs=len(labels),
            temperature=distill.temperature,
            mean=distill.mean,
            kind=LOGITS if distill.mean == "geometric" else PROBABILITIES,
            teachers=[{"folder": name, "fingerprint": print} for name, print in teachers.items()],
            **facts,
        )
    return io.read_info(folder)


class _Writer:
    """Packs frames, and writes a shard whenever it is full."""

    def __init__(self, folder: Path, num_labels: int, distill: DistillOptions, options: StoreOptions) -> None:
        if num_labels > store.MOST_STATES:
            expected = f"{store.MOST_STATES} at most"
            raise Refusal("too many labels to store", where=folder, expected=expected, found=num_labels)
        for stale in folder.glob("shard-*.npy"):  # of a run that was killed
            stale.unlink()
        self.folder, self.distill, self.options = folder, distill, options
        self.pending: list[Rows] = []
        self.records: list[dict[str, Any]] = []
        self.utterances: dict[str, Utterance] = {}
        self.num_frames = 0
        self.total = torch.zeros(num_labels, dtype=torch.float64)

    @torch.no_grad()
    def add(self, id: str, logits: Tensor) -> None:
        """Adds an utterance, of logits (K, T, S)."""
        if logits.ndim != 3 or logits.shape[2] != len(self.total) or not all(logits.shape):
            expected = f"(teachers, frames, {len(self.total)} labels)"
            raise Refusal(f"logits of {id!r}", where=self.folder, expected=expected, found=tuple(logits.shape))
        if id in self.utterances:
            do = "name cuts and their copies differently"
            raise Refusal(f"utterance {id!r} comes twice", where=self.folder, do=do)
        log_p = combine(logits.float(), self.distill.temperature, self.distill.mean)
        self.total += log_p.double().exp().sum(0).cpu()
        try:
            self.pending.append(store.pack(log_p, self.options, self.num_frames))
        except Refusal as refusal:
            where = f"{self.folder}, utterance {id!r}"
            raise Refusal(refusal.what, where=where, expected=refusal.expected, found=refusal.found) from None
        self.utterances[id] = Utterance(id, "", self.num_frames, logits.shape[1])
        self.num_frames += logits.shape[1]
        while sum(map(len, self.pending)) >= self.options.shard:
            self._write(self.options.shard)

    def _write(self, count: int) -> None:
        """Writes the first `count` of the frames that wait."""
        shard: list[Rows] = []
        while left := count - sum(map(len, shard)):
            first, rest = self.pending.pop(0).split(left)
            shard.append(first)
            if len(rest):
                self.pending.insert(0, rest)
        path = store.shard_path(self.folder, len(self.records))
        store.write_shard(path, shard)
        self.records.append(store.Shard(path, count, self.options).record(len(self.total)))

    def finish(self) -> dict[str, Any]:
        """Writes what is left, and what a reader needs; returns facts."""
        if not self.utterances:
            raise Refusal("no utterances to store", where=self.folder, do="check the cuts that the teachers were given")
        if waiting := sum(map(len, self.pending)):
            self._write(waiting)
        shape = store.tail_shape(self.total + 1e-6, self.options, 1.0)  # a mean of predictions at T already
        io.save_array(self.folder / store.TAIL, shape)
        io.write_json(self.folder / store.SHARDS, self.records)
        write_utterances(self.folder, list(self.utterances.values()))
        return {
            "num_utterances": len(self.utterances),
            "num_frames": self.num_frames,
            **store.totals(self.folder, self.records, self.options),
        }
