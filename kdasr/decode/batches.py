"""Batches of utterances whose search fits into memory.

k2's search holds, for each utterance, the arcs of the last frames before they are pruned, and of all earlier frames
those of the lattice. Measured at its peak (k2 1.23, graphs of 34 thousand and 29 million arcs, beams 10 to 30): at most
180 bytes for each arc of the lattice, and 50 for each that is not pruned yet, of 30 frames. How many arcs a frame keeps
depends on beams and speech: 20 on AN4 at the default beams, 60 with a vocabulary of 20,000, thousands in noise. So the
first batch is as small as the most of them demands, the later ones go by what was seen.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from kdasr import jobs, log, memory
from kdasr.refusal import Refusal

LATTICE_ARC, LATE_ARC, LATE_FRAMES = 180, 50, 30  # bytes, bytes, frames
MATRICES = 3  # of log-likelihoods: as they come, scaled, padded
MARGIN = 2  # over the densest lattices so far
SHARE = 0.5  # of what is available, when no limit is set


class SearchMemory:
    """The estimate of what a search holds at its peak.

    Args:
        num_pdfs: columns of the log-likelihoods.
        most_arcs: of a frame, before it is pruned: max_active times the arcs that leave a state.
    """

    def __init__(self, num_pdfs: int, most_arcs: float) -> None:
        self.num_pdfs, self.most_arcs, self.seen = num_pdfs, most_arcs, 0.0

    def of(self, count: int, longest: int) -> float:
        """Bytes for `count` utterances of up to `longest` frames."""
        matrices = MATRICES * 4 * (self.num_pdfs + 1) * longest
        density = min(self.most_arcs, MARGIN * self.seen) if self.seen else self.most_arcs
        return count * (matrices + LATE_ARC * LATE_FRAMES * self.most_arcs + LATTICE_ARC * density * longest)

    def learn(self, num_arcs: int, num_frames: int) -> None:
        """Takes down what a batch's lattices were like."""
        self.seen = max(self.seen, num_arcs / max(1, num_frames))


class Batches:
    """Utterance numbers in batches, longest first.

    Args:
        lengths: frames of each utterance.
        frames: most frames of a batch, padding included.
        limit: most memory of a batch, bytes.
        estimate: of a batch's memory; may be corrected between two batches.
    """

    def __init__(self, lengths: Sequence[int], frames: int, limit: float, estimate: SearchMemory) -> None:
        self.lengths, self.frames, self.limit, self.estimate = lengths, frames, limit, estimate
        self._waiting = sorted(range(len(lengths)), key=lambda number: -lengths[number])

    def __iter__(self) -> Iterator[list[int]]:
        while self._waiting:
            longest, count = self.lengths[self._waiting[0]], 1
            while count < len(self._waiting) and self._fits(count + 1, longest):
                count += 1
            batch, self._waiting = self._waiting[:count], self._waiting[count:]
            yield batch

    def _fits(self, count: int, longest: int) -> bool:
        return count * longest <= self.frames and self.estimate.of(count, longest) <= self.limit

    def halve(self, batch: Sequence[int], fault: str) -> None:
        """Takes back a batch that memory was too small for; it and later ones come in halves.

        Raises:
            Refusal: the batch is a single utterance.
        """
        if len(batch) == 1:
            raise Refusal(
                "the search of one utterance does not fit into memory",
                where="decoding",
                found=f"{self.lengths[batch[0]]} frames, {fault}",
                do="narrow the beams (--set decode.search_beam=8), lower decode.max_active, or cut the utterance",
            )
        self.limit = min(self.limit, self.estimate.of(len(batch), self.lengths[batch[0]]) / 2)
        self.frames = min(self.frames, len(batch) * self.lengths[batch[0]] // 2)
        self._waiting = [*batch, *self._waiting]
        log.event(f"memory is short with {len(batch)} utterances at once ({fault}): goes on with half as many")


def limit_of(gib: float, available: int) -> float:
    """Bytes that a batch's search may take.

    Args:
        gib: what was set; 0: half of what is available, shared among the processes that run side by side.
        available: bytes.
    """
    return gib * memory.GIB if gib else SHARE * available / jobs.side_by_side()
