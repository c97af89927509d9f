"""The format of stored soft targets: of each frame the largest probabilities, and the mass of all others.

A row is a frame's kept states, most probable first, each with a code: by how much its log probability is below the
first one's, in equal steps from 0 to the row's span. Of the states that are not kept, the tail, the row has the mass
alone. Read back, the kept ones share what the tail leaves of 1, and the tail is spread in the shape of a prior or
uniformly, so a row is a distribution whatever the rounding did. Another temperature raises it to a power, tail and all:
softmax(z / T') is softmax(z / T)^(T / T'), normalised.

A sampled tail (Anshumann et al. 2025, "Sparse Logit Sampling") has no shape: some of its states are drawn by their
probabilities, and kept with equal parts of its mass. In the mean over draws each state has its own probability, and the
loss, which is linear in them, the gradient that all states would give.

A shard is one file, written whole or not at all: its rows' heads, then the entries of all its rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from kdasr import io, log
from kdasr.distill.sparse import Sparse
from kdasr.refusal import Refusal, unknown_name

AUTO, UNIFORM, SAMPLED = "auto", "uniform", "sampled"
TAILS = (AUTO, "prior", UNIFORM, SAMPLED)
GOLDEN = (5**0.5 - 1) / 2  # its multiples, less their whole part, are spread more evenly than chance would
MOST_STATES = 1 << 16  # a state is stored in 16 bits
HEAD = np.dtype([("begin", "<u4"), ("span", "<f2"), ("tail", "<f2")])  # first entry; nats; log mass
PAIR = np.dtype([*HEAD.descr, ("end", "<u4")])  # a head, and where the next row begins
ENTRIES = {8: np.dtype([("state", "<u2"), ("code", "u1")]), 16: np.dtype([("state", "<u2"), ("code", "<u2")])}
LEAST = 1e-9  # of the tail's shape off the kept states; below it they take all
LITTLE = 0.9  # kept mass; a student of less learns the tail
SHARDS, TAIL = "shards.json", "tail.npy"


@dataclass(frozen=True)
class StoreOptions:
    """What is kept of a frame's soft targets; measured at the temperature that they are made at.

    At 16 states of 8 bits a row has 56 bytes at most, less than 1 % of 1,500 states in float32. Two AN4 members of 442
    states lose so, with a uniform tail, as KL divergence, 0.0006 of 0.28 nats at T = 1 (30 bytes a frame), and 0.025 of
    1.01 at T = 2. With 64 states it is 0.004 at T = 2 (153 bytes at a mass of 0.999); rounding to 8 bits costs 0.00004.

    Attributes:
        keep: states at most; as many as there are, with mass 1, keeps all.
        mass: of the kept states at least, where `keep` suffices, by as few as reach it; 1: always `keep`.
        bits: of a log probability, 8 or 16.
        tail: shape of what is not kept: the teachers' prior at that temperature, or uniform; sampled: where `keep`
            does not reach the mass, the last of the kept states stand for all others, drawn by their probabilities;
            auto: sampled of an arithmetic mean, uniform of a geometric one, which then serves other temperatures.
        shard: frames a file, which is what one worker writes at a time; few enough to count their entries in 32 bits.
    """

    keep: int = 16
    mass: float = 0.9999
    bits: int = 8
    tail: str = AUTO
    shard: int = 50_000

    def __post_init__(self) -> None:
        if not (1 <= self.keep <= MOST_STATES and 0 < self.mass <= 1 and 1 <= self.shard < MOST_STATES):
            raise ValueError(f"keep lies in 1 to {MOST_STATES}, mass in 0 < mass <= 1, shard in 1 to {MOST_STATES - 1}")
        if self.bits not in ENTRIES:
            raise ValueError("bits are 8 or 16")
        if self.tail not in TAILS:
            raise unknown_name("tail", self.tail, TAILS, "store.tail")

    def of_mean(self, mean: str) -> StoreOptions:
        """The options, with the tail that auto stands for at this kind of mean."""
        return replace(self, tail=UNIFORM if mean == "geometric" else SAMPLED) if self.tail == AUTO else self


@dataclass(frozen=True)
class Rows:
    """Some frames as they are stored.

    Attributes:
        heads: (B,) of PAIR, or (B + 1,) of HEAD, whose last is the end.
        entries: of all of them, one after the other, (E,).
    """

    heads: np.ndarray
    entries: np.ndarray

    def __len__(self) -> int:
        """Frames, of rows as `pack` gives them."""
        return len(self.heads) - 1

    def split(self, count: int) -> tuple[Rows, Rows]:
        """The first `count` rows, or all, and the others; of rows as `pack` gives them."""
        count = min(count, len(self))
        first, rest, cut = self.heads[: count + 1].copy(), self.heads[count:].copy(), int(self.heads["begin"][count])
        rest["begin"] -= cut
        return Rows(first, self.entries[:cut]), Rows(rest, self.entries[cut:])


def pack(log_p: Tensor, options: StoreOptions, first: int = 0) -> Rows:
    """What is kept of some frames.

    Args:
        log_p: normalised log probabilities, (B, S) float32, on any device; overwritten.
        options: how much.
        first: number of the first frame; a sampled tail hangs on it.

    Raises:
        Refusal: numbers that are not finite, or further apart than a row's span can say.
    """
    values, states = log_p.topk(min(options.keep, log_p.shape[1]), dim=1)
    kept = torch.ones_like(values, dtype=torch.bool)
    if options.mass < 1:
        p = values.exp()
        kept[:, 1:] = p.cumsum(1)[:, :-1] < options.mass  # the mass of those before does not reach it
    tail = log_p.scatter_(1, states, values.masked_fill(kept, -torch.inf)).logsumexp(1)
    if options.tail == SAMPLED:
        numbers = torch.arange(first, first + len(log_p), dtype=torch.float64, device=log_p.device)
        short = kept.all(1) & (tail.exp() > 1 - options.mass)
        values, states, tail = _sample(log_p, values, states, short, tail, (numbers * GOLDEN).frac())
    counts = kept.sum(1)
    depths = values[:, :1] - values
    spans = depths.gather(1, counts[:, None] - 1).mul_(1 + 2**-10).clamp_min_(2**-14).half()  # rounded up, never 0
    if not torch.isfinite(spans).all():
        found = "not a number" if values.isnan().any() else f"{float(depths[kept].max()):g} nats between two states"
        expected = f"finite ones, at most {torch.finfo(torch.float16).max:g} nats apart"
        raise Refusal("log probabilities that cannot be stored", expected=expected, found=found)
    steps = (2**options.bits - 1) / spans.float()
    codes = depths.mul_(steps).round_().clamp_(0, 2**options.bits - 1)  # a state beside drawn ones may be a little less
    heads = np.zeros(len(log_p) + 1, HEAD)
    heads["begin"][1:] = counts.cumsum(0).cpu()
    heads["span"][:-1], heads["tail"][:-1] = spans[:, 0].cpu(), tail.cpu()
    entries = np.empty(int(heads["begin"][-1]), ENTRIES[options.bits])
    entries["state"], entries["code"] = states[kept].int().cpu(), codes[kept].int().cpu()
    return Rows(heads, entries)


def _sample(
    log_p: Tensor, values: Tensor, states: Tensor, short: Tensor, tail: Tensor, offsets: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Lets the last of the K kept states stand for the tail, in rows whose mass they do not reach.

    Of the K, those stay as they are whose probability is above the step, which is what is left of 1 by how many are
    left of K. The others are drawn from all that is left, by systematic sampling: at equal steps through its cumulative
    sum, so each with its probability by the step, which is below 1, and none twice.

    Args:
        log_p: of the states that are not kept, elsewhere -inf, (B, S); overwritten.
        values: log probabilities of the kept ones, falling, (B, K).
        states: their states.
        short: rows to do so in, whose K states are all kept, (B,).
        tail: log mass of the others, (B,).
        offsets: where in a step each row begins, 0 to 1, (B,).

    Returns:
        Values, states and tail of what is kept now.
    """
    p, number = values.exp(), torch.arange(values.shape[1], device=values.device)
    left = p.flip(1).cumsum(1).flip(1) + tail.exp()[:, None]  # mass without the states before
    alone = p * (len(number) - number) > left * 0.9999  # rounding makes no state below a step exceed it
    alone = alone.long().cumprod(1).bool() | ~short[:, None]
    sums = log_p.scatter_(1, states, values.masked_fill(alone, -torch.inf)).exp_().cumsum(1)
    drawn = (~alone).sum(1)
    step = sums[:, -1] / drawn
    place = (number - (len(number) - drawn)[:, None] + 1 - offsets[:, None]) * step[:, None]
    found = torch.searchsorted(sums, torch.minimum(place.float(), sums[:, -1:])).clamp_max_(log_p.shape[1] - 1)
    values, states = values.where(alone, step.log()[:, None]), states.where(alone, found)
    return values, states, tail.masked_fill(drawn > 0, -torch.inf)


def write_shard(path: Path, pieces: Sequence[Rows]) -> None:
    """Writes rows, in the order of the pieces, into one file, atomically."""
    begins = np.cumsum([0, *(len(piece.entries) for piece in pieces)])
    heads = np.concatenate([piece.heads[:-1] for piece in pieces] + [pieces[-1].heads[-1:]])
    sizes = [len(piece.heads) - 1 for piece in pieces]
    sizes[-1] += 1
    heads["begin"] += np.repeat(begins[:-1], sizes).astype(np.uint32)
    entries = np.concatenate([piece.entries for piece in pieces])
    io.save_array(path, np.frombuffer(heads.tobytes() + entries.tobytes(), np.uint8))


class Shard:
    """One file of rows, memory-mapped.

    Args:
        path: written by `write_shard`.
        num_frames: its rows.
        options: those that it was made with.

    Raises:
        Refusal: it is absent, truncated, or holds another number of rows.
    """

    def __init__(self, path: Path, num_frames: int, options: StoreOptions) -> None:
        self.path, self.options = path, options
        content = io.map_array(path)
        end = (num_frames + 1) * HEAD.itemsize
        self.heads = np.asarray(content[:end]).view(HEAD) if len(content) >= end else np.zeros(1, HEAD)
        entry = ENTRIES[options.bits]
        expected, found = end + int(self.heads["begin"][-1]) * entry.itemsize, len(content)
        if len(self.heads) != num_frames + 1 or expected != found:
            raise Refusal("damaged shard", where=path, expected=f"{expected} bytes", found=found, do=io.AGAIN)
        self.head_bytes, self.entry_bytes = content.data[:end], content.data[end:]

    def kept_mass(self, num_states: int) -> np.ndarray:
        """Of each row, (B,) float64: that of states with their own probability, not of drawn ones or of the tail."""
        tails = np.exp(self.heads["tail"][:-1].astype(np.float64))
        begins = self.heads["begin"].astype(np.int64)
        counts = np.diff(begins)
        if self.options.tail != SAMPLED or self.options.keep >= num_states:
            return 1 - tails
        codes = np.frombuffer(self.entry_bytes, ENTRIES[self.options.bits])["code"]
        steps = np.repeat(self.heads["span"][:-1].astype(np.float64) / -(2**self.options.bits - 1), counts)
        weights = np.exp(codes * steps)
        drawn = codes == np.repeat(codes[begins[1:] - 1], counts)  # all alike, and the least of a row
        mass = np.add.reduceat(weights * ~drawn, begins[:-1]) / np.add.reduceat(weights, begins[:-1])
        return np.where((tails == 0) & (counts == self.options.keep), mass, 1 - tails)

    def record(self, num_states: int) -> dict[str, Any]:
        """Its rows, entries, kept mass (a mean) and content hash, as JSON types."""
        counts = {"frames": len(self.heads) - 1, "entries": int(self.heads["begin"][-1])}
        return {**counts, "kept_mass": float(self.kept_mass(num_states).mean()), "hash": io.file_hash(self.path)}


class Store:
    """Rows of a finished folder, read by number.

    Args:
        folder: holds shards, their list, and the shape of the tail.
        options: those that it was made with.

    Raises:
        Refusal: a file is absent or damaged.
    """

    def __init__(self, folder: Path, options: StoreOptions) -> None:
        self.folder, self.options = folder, options
        self.records: list[dict[str, Any]] = io.read_json(folder / SHARDS)
        self.tail = np.array(io.map_array(folder / TAIL))
        self.entry = ENTRIES[options.bits]

    def __len__(self) -> int:
        return sum(record["frames"] for record in self.records)

    @property
    def num_shards(self) -> int:
        """Files of rows."""
        return len(self.records)

    @cached_property
    def shards(self) -> list[Shard]:
        """All shards, mapped."""
        each = enumerate(self.records)
        return [Shard(shard_path(self.folder, n), record["frames"], self.options) for n, record in each]

    def rows(self, numbers: np.ndarray) -> Rows:
        """The rows `numbers`, (B,) int64.

        Each is two slices of bytes, so that random rows of any number of shards cost little more than a copy.
        """
        shards, (which, row) = self.shards, np.divmod(numbers, self.options.shard)
        places, size = (row * HEAD.itemsize).tolist(), self.entry.itemsize
        own = [shards[number] for number in which.tolist()]
        heads = [s.head_bytes[at : at + PAIR.itemsize] for s, at in zip(own, places, strict=True)]
        pairs = np.frombuffer(b"".join(heads), PAIR)
        ends = zip(own, (size * pairs["begin"]).tolist(), (size * pairs["end"]).tolist(), strict=True)
        return Rows(pairs, np.frombuffer(b"".join([s.entry_bytes[begin:end] for s, begin, end in ends]), self.entry))

    def read(self, numbers: np.ndarray, power: float = 1.0) -> Sparse:
        """The soft targets of the rows `numbers`, (B,) int64.

        Args:
            numbers: of rows.
            power: T of the store by T wanted.
        """
        return unpack(self.rows(numbers), self.tail, self.options.bits, power)


def unpack(rows: Rows, tail: np.ndarray, bits: int, power: float = 1.0) -> Sparse:
    """Stored rows as distributions, raised to a power.

    Args:
        rows: their heads are of PAIR.
        tail: shape of what is not kept, (S,) float64, sums to 1.
        bits: of the codes.
        power: T of the store by T wanted.
    """
    heads, states = rows.heads, rows.entries["state"].astype(np.int64)
    counts = heads["end"].astype(np.int64) - heads["begin"]
    begins = np.cumsum(counts) - counts

    def each(values: np.ndarray) -> np.ndarray:
        return np.repeat(values, counts)

    def total(values: np.ndarray) -> np.ndarray:
        found: np.ndarray = np.add.reduceat(values, begins) if len(begins) else np.zeros(0)
        return found

    shape = tail[states]
    rest = 1 - total(shape)
    mass = np.where(rest > LEAST, np.exp(heads["tail"].astype(np.float64)), 0.0)
    weight = np.exp(rows.entries["code"] * each(heads["span"].astype(np.float64) / -(2**bits - 1)))
    p = weight * each((1 - mass) / total(weight))
    background = mass / np.maximum(rest, LEAST)
    if power != 1:
        p, background, tail, shape = p**power, background**power, tail**power, shape**power
        whole = total(p) + background * (tail.sum() - total(shape))
        p, background = p / each(whole), background / whole
        background, tail, shape = background * tail.sum(), tail / tail.sum(), shape / tail.sum()
    index = np.repeat(np.arange(len(counts)) * len(tail), counts) + states
    excess = p - each(background) * shape
    found = [torch.from_numpy(values.astype(np.float32)) for values in (background, tail, excess)]
    return Sparse(found[0], found[1], torch.from_numpy(index), found[2])


def shard_path(folder: Path, number: int) -> Path:
    """Where a shard lies."""
    return folder / f"shard-{number:05d}.npy"


def totals(folder: Path, records: Sequence[dict[str, Any]], options: StoreOptions) -> dict[str, float]:
    """Entries a frame, and the mean kept mass, of all shards by their records; the log tells if much of it is lost."""
    frames = sum(record["frames"] for record in records)
    entries = sum(record["entries"] for record in records) / frames
    mass = sum(record["frames"] * record["kept_mass"] for record in records) / frames
    if mass < LITTLE and options.tail != SAMPLED:
        lost = f"{entries:.1f} states a frame keep {100 * mass:.0f} % of the mass, the tail has no shape of its own"
        do = "set store.tail=sampled, raise store.keep, lower distill.temperature, or name --teacher"
        log.event(f"{folder}: {lost}; {do}")
    return {"entries_per_frame": entries, "kept_mass": mass}


def tail_shape(prior: Tensor, options: StoreOptions, temperature: float) -> np.ndarray:
    """The shape of the tail at T, (S,) float64, sums to 1, nowhere 0: the prior (S,), above 0, at T, or uniform."""
    logits = prior.double().log() / temperature if options.tail == "prior" else torch.zeros_like(prior).double()
    return logits.softmax(0).numpy()
