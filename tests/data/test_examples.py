"""The example index: samplers, pools, row maps."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
import torch

from kdasr.data.examples import RowMap, Sampler, number_type
from kdasr.data.frames import FrameOptions, FrameSource
from kdasr.data.table import Utterance
from kdasr.refusal import Refusal
from tests.tables import write_set


def test_an_epoch_is_a_permutation_of_the_pool():
    pool = torch.arange(100, 130)
    sampler = Sampler(pool, 7, seed=1)
    epoch = torch.cat([sampler.next() for _ in range(sampler.batches_per_epoch)])
    assert len(epoch) == 28 and len(set(epoch.tolist())) == 28 and set(epoch.tolist()) <= set(pool.tolist())


def test_epochs_and_seeds_differ_and_are_repeatable():
    def epochs(seed: int) -> list[list[int]]:
        sampler = Sampler(torch.arange(40), 40, seed)
        return [sampler.next().tolist() for _ in range(2)]

    assert epochs(1) == epochs(1)
    assert len({str(epoch) for seed in (1, 2) for epoch in epochs(seed)}) == 4


def test_numbers_take_four_bytes_as_long_as_they_can():
    assert number_type(2**31 - 1) == torch.int32 and number_type(2**31) == torch.int64
    small, large = (Sampler(torch.arange(1000, dtype=dtype), 100, seed=3) for dtype in (torch.int32, torch.int64))
    first, second = small.next(), large.next()
    assert first.dtype == second.dtype == torch.int64 and torch.equal(first, second)
    assert small._permutation().element_size() == 4


def test_a_batch_larger_than_the_pool_is_the_pool():
    sampler = Sampler(torch.arange(5), 256, seed=0)
    assert sorted(sampler.next().tolist()) == sorted(sampler.next().tolist()) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("taken", [0, 3, 4, 5, 11])
def test_a_sampler_goes_on_from_its_state(taken: int):
    one, other = Sampler(torch.arange(33), 8, seed=3), Sampler(torch.arange(33), 8, seed=99)
    for _ in range(taken):
        one.next()
    other.load_state_dict(one.state_dict())
    assert [one.next().tolist() for _ in range(9)] == [other.next().tolist() for _ in range(9)]


def test_the_ranks_share_every_batch():
    whole = Sampler(torch.arange(64), 16, seed=5)
    ranks = [Sampler(torch.arange(64), 16, seed=5, rank=rank, world=4) for rank in range(4)]
    for _ in range(6):
        slices = [rank.next() for rank in ranks]
        assert [len(part) for part in slices] == [4] * 4
        assert sorted(torch.cat(slices).tolist()) == sorted(whole.next().tolist())


def test_a_pool_is_whole_utterances_up_to_the_fraction(tmp_path: Path):
    examples = FrameSource(*write_set(tmp_path, 40, seed=1), FrameOptions(2, 1)).open()
    pool = examples.pool(0.3, seed=4)
    assert pool.tolist() == sorted(set(pool.tolist()))
    assert 0.3 <= len(pool) / len(examples) < 0.3 + 1.5 / 40
    inside = set(pool.tolist())
    for part in examples.parts:
        share = sum(row in inside for row in range(part.begin, part.begin + part.num_frames))
        assert share in (0, part.num_frames)
    assert pool.tolist() == examples.pool(0.3, seed=4).tolist() != examples.pool(0.3, seed=5).tolist()
    assert examples.pool(1.0, seed=4).tolist() == list(range(len(examples)))


def test_rows_are_found_by_utterance_not_by_order():
    parts = [Utterance("a", "s", 0, 2), Utterance("b", "s", 2, 3)]
    stored = {"b": Utterance("b", "s", 0, 3), "x": Utterance("x", "s", 3, 9), "a": Utterance("a", "s", 12, 2)}
    assert RowMap(parts, stored, "table")(torch.tensor([0, 4, 1, 2])).tolist() == [12, 2, 13, 0]


def test_rows_of_a_missing_or_other_utterance_are_refused():
    parts = [Utterance("a", "s", 0, 2)]
    with pytest.raises(Refusal, match="table: no utterance 'a'; make it again for these features and alignment"):
        RowMap(parts, {}, "table")
    with pytest.raises(Refusal, match=r"utterance 'a' has another number of frames \(expected 2, found 3\)"):
        RowMap(parts, {"a": Utterance("a", "s", 0, 3)}, "table")


def test_numbers_with_gaps_between_them_in_memory_are_found_without_a_warning(tmp_path: Path):
    """torch warns, once a process, when it has to copy what `bucketize` is given."""
    examples = FrameSource(*write_set(tmp_path, 5, seed=1), FrameOptions(1, 1)).open()
    index = torch.arange(len(examples))[::3]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        x, y = examples.batch(index)
        assert examples.names(index) == [part.id for part in examples.parts]
    everything = examples.batch(torch.arange(len(examples)))
    assert torch.equal(x, everything[0][::3]) and torch.equal(y, everything[1][::3])
