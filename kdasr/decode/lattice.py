"""Lattices as arrays: what a search found of a batch of utterances, on disk and in memory, acoustic and graph apart.

Rescoring and n-best lists read these and need no k2.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch

from kdasr import fsa, io, log
from kdasr.refusal import Refusal

FOLDER, WORDS = "lattices", "words.json"
NO_STATE = -1


@dataclass(frozen=True)
class Lattices:
    """The lattices of a batch. States are numbered frame by frame through all utterances; every arc takes a frame.

    Attributes:
        source: state that an arc leaves, (A,) int32, sorted.
        target: state that it enters, of the frame after the source's, (A,) int32.
        words: row of the graph's word sequences that it gives out, 0 for none, (A,) int32.
        acoustic: log-likelihood, not scaled, (A,) float32.
        graph: score of graph and transition, (A,) float32.
        frames: first state of each frame, and the number of states, (T + 3,) int32: frame T + 1, after the last of the
            longest utterance, holds only the ends of the arcs that take no frame.
        final: each utterance's last state, -1 where it has no path, (N,) int32.
    """

    source: np.ndarray
    target: np.ndarray
    words: np.ndarray
    acoustic: np.ndarray
    graph: np.ndarray
    frames: np.ndarray
    final: np.ndarray

    @classmethod
    def of(cls, fsas: Any) -> Lattices:
        """Of k2's lattices with arc attributes `words`, `acoustic_scores` and `graph_scores`, on any device."""
        shape = fsas.arcs.shape()
        begin, utterance = shape.row_splits(1).cpu().numpy(), shape.row_ids(1).cpu().numpy()
        depth, last, filled = fsa.depths(fsas), begin[1:] - 1, np.diff(begin) > 0
        alive = filled & (depth[last] > 0 if len(depth) else False)  # where it is lost k2 may leave a torn beginning
        depth = np.where(alive[utterance] & np.isfinite(depth), depth, -1).astype(np.int64)
        order = np.argsort(depth, kind="stable")[np.count_nonzero(depth < 0) :]
        number = np.full(len(depth), NO_STATE, np.int32)
        number[order] = np.arange(len(order))
        of_arc = shape.row_ids(2).cpu().numpy()
        source = number[of_arc]
        target = number[begin[utterance[of_arc]] + fsas.arcs.values()[:, 1].cpu().numpy()]  # k2's count by utterance
        rows = np.argsort(source, kind="stable")[np.count_nonzero(source == NO_STATE) :]
        words, acoustic, graph = (
            getattr(fsas, name).cpu().numpy()[rows] for name in ("words", "acoustic_scores", "graph_scores")
        )
        frames = np.searchsorted(depth[order], np.arange(depth.max(initial=0) + 2)).astype(np.int32)
        final = np.full(len(alive), NO_STATE, np.int32)
        final[alive] = number[last[alive]]
        return cls(source[rows], target[rows], words, acoustic, graph, frames, final)

    def __len__(self) -> int:
        return len(self.final)

    def steps(self) -> Iterator[tuple[slice, slice, slice]]:
        """Frame by frame the arcs that take it, the states that they leave and those that they enter."""
        arcs = np.searchsorted(self.source, self.frames)
        for t in range(len(self.frames) - 2):
            before, after = slice(*self.frames[t : t + 2]), slice(*self.frames[t + 1 : t + 3])
            yield slice(*arcs[t : t + 2]), before, after


ARRAYS = tuple(field.name for field in fields(Lattices))


class LatticeWriter:
    """Writes lattices batch by batch: a file `lattices/batch-PPPP-NNNN.safetensors` each; part 0 what the words mean.

    Args:
        folder: an output folder opened by `io.begin`; the caller finishes it.
        words: the lexicon's, in the order of their numbers.
        sequences: row -> word numbers.
        part: number of the part of the set that they are of; what was there of it is removed.
    """

    def __init__(
        self, folder: str | Path, words: Sequence[str], sequences: Sequence[Sequence[int]], part: int = 0
    ) -> None:
        self.folder, self.part, self.count = Path(folder) / FOLDER, part, 0
        for stale in self.folder.glob(f"batch-{part:04d}-*.safetensors"):
            stale.unlink()
        if part == 0:  # what they mean is the same for all; two processes may not write one file at a time
            io.write_text(self.folder / WORDS, json.dumps({"words": words, "sequences": sequences}))

    def add(self, ids: Sequence[str], lattices: Lattices) -> None:
        """Writes a batch with its utterance ids."""
        tensors = {name: torch.from_numpy(getattr(lattices, name)) for name in ARRAYS}
        io.save_tensors(
            self.folder / f"batch-{self.part:04d}-{self.count:04d}.safetensors", tensors, {"utterances": ids}
        )
        self.count += 1


class LatticeReader:
    """Reads the lattices of a finished folder, batch by batch.

    Args:
        folder: made by `kdasr decode --lattices`.

    Raises:
        Refusal: the folder is unfinished, of another verb, or was made without lattices; what they say of their words
            is damaged.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.info = io.read_info(self.folder, "decode")
        if not (self.folder / FOLDER).is_dir():
            raise Refusal("no lattices were kept", where=folder, do="decode again with --lattices into another folder")
        record = io.read_json(self.folder / FOLDER / WORDS)
        try:
            self.words: list[str] = list(record["words"])
            self.sequences: list[list[int]] = [list(map(int, row)) for row in record["sequences"]]
        except (KeyError, TypeError, ValueError) as error:
            where = self.folder / FOLDER / WORDS
            raise Refusal("damaged words of lattices", where=where, found=repr(error), do=io.AGAIN) from None

    def __iter__(self) -> Iterator[tuple[list[str], Lattices]]:
        for path in log.progress(sorted((self.folder / FOLDER).glob("batch-*.safetensors")), str(self.folder)):
            tensors, metadata = io.load_tensors(path)
            if set(tensors) != set(ARRAYS) or not isinstance(metadata, dict) or "utterances" not in metadata:
                found = ", ".join(sorted(tensors))
                raise Refusal("not lattices", where=path, expected=", ".join(sorted(ARRAYS)), found=found, do=io.AGAIN)
            yield metadata["utterances"], Lattices(**{name: tensor.numpy() for name, tensor in tensors.items()})
