"""Batches against their limits, what is learnt of the search's memory, and what is done when memory is short."""

from __future__ import annotations

import numpy as np
import pytest

from kdasr import jobs, memory
from kdasr.decode import batches
from kdasr.decode.batches import Batches, SearchMemory, limit_of
from kdasr.refusal import Refusal

LENGTHS = [300, 120, 500, 80, 250, 400, 90, 310]
ANY = 1e12


def make(frames: int = 10**6, limit: float = ANY, estimate: SearchMemory | None = None) -> Batches:
    return Batches(LENGTHS, frames, limit, estimate or SearchMemory(100, 1000.0))


@pytest.mark.parametrize("frames, limit", [(10**6, ANY), (1000, ANY), (10**6, 3e8), (700, 2e8), (1, 1.0)])
def test_every_utterance_comes_once_longest_first_and_within_both_limits(frames, limit):
    estimate = SearchMemory(100, 1000.0)
    found = list(make(frames, limit, estimate))
    lengths = [LENGTHS[number] for batch in found for number in batch]
    assert sorted(number for batch in found for number in batch) == list(range(len(LENGTHS)))
    assert lengths == sorted(LENGTHS, reverse=True)
    for batch, after in zip(found, [*found[1:], []], strict=True):
        longest = LENGTHS[batch[0]]
        fits = [
            count * longest <= frames and estimate.of(count, longest) <= limit for count in (len(batch), len(batch) + 1)
        ]
        assert (fits[0] or len(batch) == 1) and not (fits[1] and after)  # and no batch could have been larger


def test_the_estimate_is_the_sum_of_matrices_late_arcs_and_lattices():
    estimate = SearchMemory(num_pdfs=99, most_arcs=2000.0)
    matrices, late = 3 * 4 * 100 * 50, 50 * 30 * 2000
    assert estimate.of(1, 50) == matrices + late + 180 * 2000 * 50  # nothing is known yet: no frame keeps more
    estimate.learn(num_arcs=3000, num_frames=100)
    assert estimate.of(4, 50) == 4 * (matrices + late + 180 * 2 * 30 * 50)
    estimate.learn(num_arcs=100, num_frames=100)  # thinner lattices teach nothing
    assert estimate.of(1, 50) == matrices + late + 180 * 2 * 30 * 50
    estimate.learn(num_arcs=10**6, num_frames=100)
    assert estimate.of(1, 50) == matrices + late + 180 * 2000 * 50


def test_batches_grow_with_what_the_first_has_shown():
    estimate = SearchMemory(100, 20000.0)
    sizes = []
    for batch in make(limit=2.5e8, estimate=estimate):
        sizes.append(len(batch))
        estimate.learn(20 * sum(LENGTHS[number] for number in batch), sum(LENGTHS[number] for number in batch))
    assert sizes[0] == 1 and sizes[1] > 1


def test_a_batch_that_was_too_large_comes_again_in_halves(capsys):
    given, done = make(), []
    for batch in given:
        if len(batch) > 2:
            given.halve(batch, "bad_alloc")
        else:
            done.append(batch)
    assert sorted(number for batch in done for number in batch) == list(range(len(LENGTHS)))
    told = capsys.readouterr().err.splitlines()
    assert "memory is short with 8 utterances at once (bad_alloc): goes on with half as many" in told[0]
    assert all("utterances at once" in line for line in told) and len(told) < 6


def test_an_utterance_that_does_not_fit_alone_is_refused():
    given = make(frames=1)
    told = (
        "decoding: the search of one utterance does not fit into memory .found 500 frames, bad_alloc.; narrow the "
        "beams .--set decode.search_beam=8., lower decode.max_active, or cut the utterance"
    )
    with pytest.raises(Refusal, match=told):
        given.halve(next(iter(given)), "bad_alloc")


def test_the_limit_is_what_was_set_or_half_of_what_is_available_for_each_process(monkeypatch):
    assert limit_of(1.5, 10**9) == 1.5 * memory.GIB
    assert limit_of(0.0, 10**9) == 5e8
    monkeypatch.setattr(jobs, "_side_by_side", 4)
    assert limit_of(0.0, 10**9) == 1.25e8 and limit_of(1.0, 10**9) == memory.GIB


def test_the_constants_cover_what_was_measured():
    """Peaks of k2's search less its matrices, MiB: utterances of 500 frames, most arcs a frame, arcs of the lattice."""
    measured = np.array(
        [  # count, max_active x arcs per state, lattice arcs per frame, MiB
            (4, 18312, 21, 15), (4, 18312, 196, 77), (20, 5232, 364, 654), (20, 5232, 424, 664), (1, 5232, 365, 35),
            (1, 21210, 27, 19), (4, 21210, 59, 83), (10, 21210, 121, 264), (10, 6060, 54, 125), (1, 21210, 1303, 99),
            (4, 21210, 1853, 532), (10, 21210, 2584, 1642), (10, 6060, 786, 515),
        ]
    )  # fmt: skip
    for count, most, density, found in measured:
        estimate = SearchMemory(0, float(most))
        estimate.seen = density / batches.MARGIN
        assert estimate.of(int(count), 500) / (1 << 20) >= found
