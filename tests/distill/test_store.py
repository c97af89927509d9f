"""The stored format: what is kept of a frame, how it is read back, what the tail becomes; files that are damaged."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from kdasr import io
from kdasr.distill import store
from kdasr.distill.sparse import Sparse
from kdasr.distill.store import Rows, Shard, Store, StoreOptions, pack, shard_path, tail_shape, unpack, write_shard
from kdasr.refusal import Refusal

B, S = 40, 30
ALL = StoreOptions(keep=S, mass=1.0, bits=16)


def draw(scale: float = 3.0, seed: int = 0, rows: int = B) -> torch.Tensor:
    """Logits of some frames."""
    return torch.randn(rows, S, generator=torch.Generator().manual_seed(seed)) * scale


PRIOR = torch.arange(1, S + 1).float()


def pairs(rows: Rows) -> Rows:
    """Packed rows as they are read."""
    heads = np.zeros(len(rows.heads) - 1, store.PAIR)
    for name in store.HEAD.names or ():
        heads[name] = rows.heads[name][:-1]
    heads["end"] = rows.heads["begin"][1:]
    return Rows(heads, rows.entries)


def through(logits: torch.Tensor, options: StoreOptions, temperature: float = 1.0, wanted: float = 0.0) -> torch.Tensor:
    """Dense p of logits, stored at one temperature and read at another."""
    tail = tail_shape(PRIOR, options, temperature)
    rows = pairs(pack((logits / temperature).log_softmax(1), options))
    return unpack(rows, tail, options.bits, temperature / (wanted or temperature)).dense()


def by_hand(p: np.ndarray, prior: np.ndarray, options: StoreOptions) -> np.ndarray:
    """One frame's p as it should be read back, but for the rounding: the k largest, the rest in the prior's shape."""
    order = np.argsort(-p)
    k = options.keep
    for fewer in range(options.keep, 0, -1):
        if options.mass < 1 and p[order[:fewer]].sum() >= options.mass:
            k = fewer
    kept = order[:k]
    rest = [state for state in range(len(p)) if state not in kept]
    out = np.zeros(len(p))
    out[kept] = p[kept]
    out[rest] = p[rest].sum() * prior[rest] / prior[rest].sum()
    return out


@pytest.mark.parametrize("tail", ["prior", "uniform"])
@pytest.mark.parametrize(
    ("keep", "mass"), [(1, 1.0), (5, 1.0), (S - 1, 1.0), (S, 1.0), (8, 0.9), (S, 0.99), (3, 0.999)]
)
@pytest.mark.parametrize("temperature", [1.0, 2.0])
def test_a_row_read_back_is_its_largest_states_and_a_tail_of_the_shape(tail, keep, mass, temperature):
    options = StoreOptions(keep, mass, 16, tail)
    logits = draw()
    prior = np.array(PRIOR) ** (1 / temperature) if tail == "prior" else np.ones(S)
    dense = (logits / temperature).double().softmax(1).numpy()
    expected = np.stack([by_hand(p, prior, options) for p in dense])
    found = through(logits, options, temperature)
    np.testing.assert_allclose(found, expected, rtol=4e-3, atol=1e-6)


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("options", [StoreOptions(1, 1.0), StoreOptions(7, 0.99), StoreOptions(S, 1.0)])
def test_rows_sum_to_1_and_nothing_is_below_0(options, bits):
    p = through(draw(5.0), replace(options, bits=bits))
    torch.testing.assert_close(p.sum(1), torch.ones(B), atol=2e-6, rtol=0)
    assert float(p.min()) > -1e-6


@pytest.mark.parametrize("bits", [8, 16])
def test_log_probabilities_are_off_by_half_a_step_at_most(bits):
    logits = draw(4.0)
    found = through(logits, StoreOptions(S, 1.0, bits)).double().log()
    error = found - logits.double().log_softmax(1)
    error -= error[torch.arange(B), logits.argmax(1)][:, None]  # the first one's code is 0: what is left is rounding
    step = (logits.max(1).values - logits.min(1).values) * 1.002 / (2**bits - 1)
    assert (error.abs().max(1).values <= step / 2 + 2e-6).all()
    assert float(error.abs().max()) > float(step.min()) / 4  # and they are rounded


def test_as_few_states_as_reach_the_mass_are_kept():
    p = torch.tensor([[0.5, 0.3, 0.15, 0.05], [0.97, 0.01, 0.01, 0.01], [0.25, 0.25, 0.25, 0.25]])
    counts = {mass: np.diff(pack(p.log(), StoreOptions(4, mass)).heads["begin"].astype(int)) for mass in (0.45, 0.9)}
    assert counts[0.45].tolist() == [1, 1, 2] and counts[0.9].tolist() == [3, 1, 4]
    assert np.diff(pack(p.log(), StoreOptions(2, 0.9)).heads["begin"].astype(int)).tolist() == [2, 1, 2]  # keep wins
    assert np.diff(pack(p.log(), StoreOptions(9, 1.0)).heads["begin"].astype(int)).tolist() == [4, 4, 4]


def test_the_kept_mass_is_that_of_the_temperature_of_use():
    """At T = 5 the tail weighs more, so as many states hold less, or more are kept."""
    logits = draw(6.0)
    mean, masses = [], []
    for temperature in (1.0, 5.0):
        rows = pack((logits / temperature).log_softmax(1), StoreOptions(S, 0.99))
        mean.append(len(rows.entries) / B)
        masses.append(1 - np.exp(rows.heads["tail"][:-1].astype(float)))
    assert mean[1] > 2 * mean[0]
    assert min(masses[0].min(), masses[1].min()) >= 0.989


@pytest.mark.parametrize("wanted", [0.5, 1.0, 3.0, 40.0])
@pytest.mark.parametrize("stored", [1.0, 3.0])
def test_with_all_states_kept_every_temperature_is_served(stored, wanted):
    logits = draw()
    expected = (logits / wanted).softmax(1)
    torch.testing.assert_close(through(logits, ALL, stored, wanted), expected, rtol=2e-3, atol=1e-7)


@pytest.mark.parametrize("tail", ["prior", "uniform"])
@pytest.mark.parametrize("wanted", [0.5, 1.0, 8.0])
def test_another_temperature_raises_every_state_to_a_power_and_normalises(tail, wanted):
    options = StoreOptions(6, 0.95, 16, tail)
    logits = draw()
    powered = through(logits, options, 2.0).double() ** (2.0 / wanted)
    expected = powered / powered.sum(1, keepdim=True)
    torch.testing.assert_close(through(logits, options, 2.0, wanted).double(), expected, rtol=1e-4, atol=1e-7)


def test_the_tail_at_another_temperature_is_off_by_no_more_than_its_spread():
    """What a tail loses: nothing where its logits are those of its shape, little where they scatter about it."""
    logits = draw(8.0, rows=400)
    flat = logits.masked_fill(logits < logits.sort(1).values[:, -6:-5], -20.0)  # all that is not kept is as likely
    options = StoreOptions(6, 1.0, 16, "uniform")
    for wanted in (1.0, 2.0, 6.0):
        expected = (flat / wanted).softmax(1)
        torch.testing.assert_close(through(flat, options, 2.0, wanted), expected, rtol=5e-3, atol=1e-7)
    divergence = {}
    for wanted in (1.0, 2.0, 6.0):
        log_p = (logits / wanted).log_softmax(1)
        divergence[wanted] = float((log_p.exp() * (log_p - through(logits, options, 2.0, wanted).log())).sum(1).mean())
    assert divergence[1.0] < divergence[2.0] < divergence[6.0]
    assert divergence[1.0] < 0.01 and divergence[2.0] < 0.1


def test_two_states_of_one_probability_and_a_single_state_are_told():
    p = through(torch.tensor([[2.0, 2.0] + [-30.0] * (S - 2)]), StoreOptions(2, 1.0))
    torch.testing.assert_close(p[0, :2], torch.tensor([0.5, 0.5]))
    one = through(torch.tensor([[80.0] + [0.0] * (S - 1)]), StoreOptions(1, 1.0))
    torch.testing.assert_close(one[0, 0], torch.tensor(1.0))


def test_a_tail_whose_states_have_no_prior_left_gives_its_mass_to_the_kept():
    """A prior at a low temperature may be 0 for all that is not kept."""
    rows = pairs(pack(torch.tensor([[0.6, 0.3, 0.1]]).log(), StoreOptions(2, 1.0, 16)))
    p = unpack(rows, np.array([0.7, 0.3, 1e-30]), 16).dense()
    torch.testing.assert_close(p, torch.tensor([[2 / 3, 1 / 3, 0.0]]), atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    ("bad", "found"), [(torch.nan, "found not a number"), (torch.inf, "found not a number"), (-1e5, "100000 nats")]
)
def test_numbers_that_cannot_be_stored_are_refused(bad, found):
    logits = torch.zeros(3, 4)
    logits[1, 2] = bad
    with pytest.raises(Refusal, match=f"log probabilities that cannot be stored .expected finite ones, .*{found}"):
        pack(logits.log_softmax(1), StoreOptions(4, 1.0))


def whole(folder: Path, logits: torch.Tensor, options: StoreOptions) -> Store:
    """A store of the logits' softmax."""
    folder.mkdir(exist_ok=True)
    records = []
    for number, some in enumerate(logits.log_softmax(1).split(options.shard)):
        write_shard(shard_path(folder, number), [pack(piece.clone(), options) for piece in some.split(7)])
        path = shard_path(folder, number)
        records.append(Shard(path, len(some), options).record(logits.shape[1]))
    io.write_json(folder / store.SHARDS, records)
    io.save_array(folder / store.TAIL, tail_shape(PRIOR, options, 1.0))
    return Store(folder, options)


@pytest.mark.parametrize("bits", [8, 16])
def test_rows_are_read_in_any_order_from_any_shard(tmp_path, bits):
    logits, options = draw(rows=50), StoreOptions(8, 0.95, bits, "prior", shard=16)
    read = whole(tmp_path, logits, options)
    numbers = np.array([49, 0, 15, 16, 17, 16, 48, 31, 32])
    torch.testing.assert_close(read.read(numbers).dense(), through(logits, options)[numbers.tolist()])
    assert len(read) == 50 and len(read.shards) == 4
    assert read.read(np.array([], np.int64)).dense().shape == (0, S)


def test_a_shard_says_what_it_holds(tmp_path):
    logits, options = draw(rows=20), StoreOptions(5, 1.0, tail="uniform")
    record = whole(tmp_path, logits, options).records[0]
    path = shard_path(tmp_path, 0)
    mass = logits.softmax(1).sort(1, descending=True).values[:, :5].sum(1).mean()
    assert record == {"frames": 20, "entries": 100, "kept_mass": record["kept_mass"], "hash": io.file_hash(path)}
    assert record["kept_mass"] == pytest.approx(float(mass), abs=1e-3)
    assert path.stat().st_size == 128 + 21 * 8 + 100 * 3


@pytest.mark.parametrize("damage", ["short", "rows", "bits"])
def test_a_damaged_shard_is_refused(tmp_path, damage):
    whole(tmp_path, draw(), ALL)
    path = shard_path(tmp_path, 0)
    if damage == "short":
        path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(Refusal, match=r"shard-00000.npy: (truncated array|damaged shard .expected \d+ bytes, found)"):
        Shard(path, B + (damage == "rows"), replace(ALL, bits=8) if damage == "bits" else ALL)


@pytest.mark.parametrize(
    ("bad", "told"),
    [
        ({"keep": 0}, "keep lies in 1 to 65536, mass in 0 < mass <= 1, shard in 1 to 65535"),
        ({"keep": 70_000}, "keep lies in 1"),
        ({"mass": 0.0}, "keep lies in 1"),
        ({"mass": 1.1}, "keep lies in 1"),
        ({"shard": 1 << 16}, "keep lies in 1"),
        ({"shard": 0}, "keep lies in 1"),
        ({"bits": 12}, "bits are 8 or 16"),
    ],
)
def test_impossible_options_are_refused(bad, told):
    with pytest.raises(ValueError, match=told):
        StoreOptions(**bad)


def test_an_unknown_tail_is_refused():
    with pytest.raises(Refusal, match="store.tail: unknown tail 'flat'; known: auto, prior, sampled, uniform"):
        StoreOptions(tail="flat")


def test_the_tail_follows_from_the_mean_unless_it_is_named():
    assert StoreOptions().of_mean("arithmetic") == StoreOptions(tail="sampled")
    assert StoreOptions().of_mean("geometric") == StoreOptions(tail="uniform")
    assert StoreOptions(tail="prior").of_mean("arithmetic").tail == "prior"


def test_the_tail_has_the_shape_of_the_prior_at_the_temperature_or_none():
    prior = torch.tensor([4.0, 1.0, 1.0])
    np.testing.assert_allclose(tail_shape(prior, StoreOptions(tail="prior"), 1.0), [4 / 6, 1 / 6, 1 / 6])
    np.testing.assert_allclose(tail_shape(prior, StoreOptions(tail="prior"), 2.0), [0.5, 0.25, 0.25])
    np.testing.assert_allclose(tail_shape(prior, StoreOptions(tail="uniform"), 2.0), [1 / 3] * 3)


SAMPLED = StoreOptions(6, 1.0, 16, "sampled")


def sampled(p: torch.Tensor, rows: int, options: StoreOptions = SAMPLED) -> torch.Tensor:
    """As many samples of one p, dense."""
    packed = pairs(pack(p.log().repeat(rows, 1), options))
    return unpack(packed, tail_shape(PRIOR, options, 1.0), options.bits).dense()


@pytest.mark.parametrize("scale", [0.0, 0.5, 2.0, 6.0])
def test_a_sampled_tail_has_each_state_by_its_probability(scale):
    p = draw(scale)[0].double().softmax(0)
    found = sampled(p.float(), 20_000)
    torch.testing.assert_close(found.mean(0).double(), p, rtol=0.02, atol=2e-4)
    torch.testing.assert_close(found.sum(1), torch.ones(len(found)), atol=2e-6, rtol=0)
    assert set((found > 0).sum(1).tolist()) == {6}
    likely = p > 0.4  # by far more than an equal part of what is left
    torch.testing.assert_close(found[:, likely].double(), p[likely].expand(len(found), -1), rtol=2e-3, atol=0)


def test_a_sample_is_nearer_than_a_drawn_label():
    p = draw(2.0)[0].softmax(0)
    variance = float((sampled(p, 5000) - p).square().sum(1).mean())
    assert variance < 0.1 * float(1 - p.square().sum())
    more = float((sampled(p, 5000, replace(SAMPLED, keep=12)) - p).square().sum(1).mean())
    assert more < variance / 3


def test_a_sample_hangs_on_the_frames_number_alone():
    log_p = draw().log_softmax(1)
    whole = pack(log_p.clone(), SAMPLED)
    parts = [pack(log_p[at : at + 8].clone(), SAMPLED, at) for at in range(0, B, 8)]
    assert whole.entries.tolist() == np.concatenate([part.entries for part in parts]).tolist()
    assert pack(log_p.clone(), SAMPLED, 1).entries.tolist() != whole.entries.tolist()


def test_rows_whose_mass_is_reached_are_not_sampled():
    p = torch.tensor([[0.6, 0.3, 0.06, 0.04], [0.4, 0.3, 0.2, 0.1]])
    options = StoreOptions(2, 0.8, 16, "sampled")
    rows = pack(p.log(), options)
    assert np.exp(rows.heads["tail"][:-1].astype(float)).tolist() == [pytest.approx(0.1, rel=1e-3), 0]
    found = unpack(pairs(rows), tail_shape(torch.ones(4), options, 1.0), 16).dense()
    torch.testing.assert_close(found[0], torch.tensor([0.6, 0.3, 0.05, 0.05]), rtol=1e-3, atol=1e-6)
    assert found[1].sort(descending=True).values.tolist() == [0.5, 0.5, 0, 0]


@pytest.mark.parametrize("bits", [8, 16])
def test_of_a_sampled_row_what_is_drawn_counts_as_not_kept(tmp_path, bits):
    logits, options = draw(2.0, rows=40), StoreOptions(6, 1.0, bits, "sampled")
    read = whole(tmp_path, logits, options)
    p, found = logits.softmax(1).double(), read.read(np.arange(40)).dense().double()
    drawn = found.masked_fill(found == 0, torch.inf).min(1, keepdim=True).values
    kept = (found * (found > 1.001 * drawn)).sum(1)  # drawn ones are alike
    np.testing.assert_allclose(read.shards[0].kept_mass(S), kept, atol=1e-3)
    assert 0.1 < float(kept.mean()) < float(p.sort(1, descending=True).values[:, :6].sum(1).mean())
    assert read.records[0]["kept_mass"] == pytest.approx(float(kept.mean()), abs=1e-3)


@pytest.mark.parametrize("keep", [4, S])
def test_states_of_sure_teachers_are_kept_whole(tmp_path, keep):
    logits = torch.zeros(5, S)
    logits[:, 3] = 200.0
    (record,) = whole(tmp_path, logits, StoreOptions(keep, 0.999, tail="sampled")).records
    assert record["kept_mass"] == pytest.approx(1)


def test_a_sample_of_all_states_is_all_states():
    logits = draw()
    found = through(logits, StoreOptions(S, 1.0, 16, "sampled"))
    torch.testing.assert_close(found, logits.softmax(1), rtol=2e-3, atol=1e-7)


def test_a_sparse_target_is_a_background_and_an_excess():
    p = Sparse(torch.tensor([0.2, 0.0]), torch.tensor([0.5, 0.5]), torch.tensor([0, 2]), torch.tensor([0.8, 1.0]))
    assert len(p) == 2 and p.to("cpu").dense().tolist() == [[pytest.approx(0.9), pytest.approx(0.1)], [1.0, 0.0]]
