"""What is told of stored soft targets: counted by hand, and from a p that is put together state by state."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from kdasr.data.frames import FrameExamples
from kdasr.distill.ensemble import Ensemble
from kdasr.distill.inspection import content, divergence, variance
from kdasr.distill.soft_targets import SoftTargets
from kdasr.distill.store import StoreOptions
from kdasr.refusal import Refusal
from tests.distill.test_soft_targets import make, make_by

SOME = StoreOptions(3, 0.97, 16, "uniform", shard=100)


@pytest.fixture(scope="module")
def targets(data: Path, examples: FrameExamples, tmp_path_factory: pytest.TempPathFactory) -> SoftTargets:
    folder = make(tmp_path_factory.mktemp("soft") / "targets", data, examples, 2.0, options=SOME)
    return SoftTargets(folder, examples)


@pytest.fixture(scope="module")
def dense(data: Path, examples: FrameExamples) -> torch.Tensor:
    """The teachers' own p of all examples."""
    x, _ = examples.batch(torch.arange(len(examples)))
    return Ensemble.load(data / "teachers").probabilities(x, 2.0).double()


def test_sizes_and_masses_are_counted(targets, dense, examples):
    found = content(targets)
    p = dense.sort(1, descending=True).values
    counts = 1 + (p.cumsum(1)[:, :2] < 0.97).sum(1)
    kept = torch.stack([row[:count].sum() for row, count in zip(p, counts, strict=True)])
    assert (found.frames, found.states) == (len(examples), 8)
    assert found.kept[0] == pytest.approx(float(counts.double().mean()))
    assert found.kept[1:] == (int(counts.median()), int(counts.max()))
    assert found.mass[0] == pytest.approx(float(kept.mean()), abs=1e-4)
    assert found.mass[1] == pytest.approx(float(kept.min()), abs=1e-3)
    assert found.size == sum(path.stat().st_size for path in targets.folder.glob("shard-*.npy"))
    shards = len(targets.store.shards)
    assert found.size == shards * (128 + 8) + 8 * len(examples) + 4 * int(counts.sum())
    share = 100 * found.size / (len(examples) * 8 * 4)
    assert f"{found.size / len(examples):.1f} bytes a frame, {share:.2f} % of dense float32" in str(found)


def test_entropy_and_divergence_are_those_of_the_rows(targets, dense, data, examples):
    q = torch.stack([row for part in examples.parts for row in targets.utterance(part.id).dense().double()])
    assert content(targets).entropy == pytest.approx(float(-(q * q.log()).sum(1).mean()), rel=1e-6)
    each = (dense * (dense / q).log()).sum(1)
    mean, most = divergence(targets, Ensemble.load(data / "teachers"), examples)
    assert mean == pytest.approx(float(each.mean()), rel=1e-4)
    assert most == pytest.approx(float(each.max()), rel=1e-4)
    assert 1e-4 < mean < 0.1


def test_of_a_large_set_a_sample_is_taken(targets, data, examples, monkeypatch):
    monkeypatch.setattr("kdasr.distill.inspection.SAMPLE", 2)
    q = torch.cat([targets.batch(torch.tensor([number])).dense() for number in (0, len(examples) - 1)]).double()
    assert content(targets).entropy == pytest.approx(float(-(q * q.log()).sum(1).mean()), rel=1e-6)


def test_all_states_diverge_by_nothing_but_rounding(data, examples, tmp_path):
    for bits, most in ((8, 2e-3), (16, 1e-7)):
        folder, teachers = tmp_path / str(bits), Ensemble.load(data / "teachers")
        all_kept = make_by(folder, teachers, examples, 2.0, StoreOptions(8, 1.0, bits))
        assert divergence(all_kept, teachers, examples)[0] < most


def test_a_sampled_tail_is_told_by_its_variance(dense, data, examples, tmp_path):
    teachers = Ensemble.load(data / "teachers")
    targets = make_by(tmp_path / "soft", teachers, examples, 2.0, StoreOptions(3, 1.0, 16, "sampled"))
    q = torch.stack([row for part in examples.parts for row in targets.utterance(part.id).dense().double()])
    stored, drawn = variance(targets, teachers, examples)
    assert stored == pytest.approx(float((q - dense).square().sum(1).mean()), rel=1e-4)
    assert drawn == pytest.approx(float(1 - dense.square().sum(1).mean()), rel=1e-4)
    assert 0 < stored < drawn / 5
    assert divergence(targets, teachers, examples)[0] > 0.1  # states that are left out


def test_a_flipped_bit_is_found(data, examples, tmp_path):
    folder = make(tmp_path / "soft", data, examples, options=SOME)
    shard = folder / "shard-00002.npy"
    damaged = bytearray(shard.read_bytes())
    damaged[-1] ^= 1
    shard.write_bytes(damaged)
    with pytest.raises(Refusal, match=r"shard-00002.npy: damaged shard .expected \w{16}, found \w{16}.; delete"):
        content(SoftTargets(folder))


def test_other_teachers_are_refused(targets, data, examples):
    with pytest.raises(Refusal, match="the teachers does not match .expected .*; name those that made it"):
        divergence(targets, Ensemble.load(data / "teachers" / "member-0"), examples)
