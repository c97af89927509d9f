"""Soft targets: made, stored, read by the examples' index, refused when they belong to something else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from kdasr import io
from kdasr.data.frames import FrameOptions, FrameSource
from kdasr.data.table import FrameTable, FrameTableWriter
from kdasr.distill import soft_targets
from kdasr.distill.ensemble import Ensemble
from kdasr.distill.loss import DistillOptions, distillation_loss
from kdasr.distill.soft_targets import Distillation, LiveTargets, SoftTargets
from kdasr.refusal import Refusal
from tests.tables import write_set


def make(folder: Path, data: Path, examples, temperature: float = 2.0, mean: str = "arithmetic") -> Path:
    io.begin(folder, io.Made("soft-targets", {"temperature": temperature, "mean": mean}))
    soft_targets.make(folder, Ensemble.load(data / "teachers", mean), examples, temperature)
    return folder


@pytest.fixture(scope="module")
def stored(data, examples, tmp_path_factory) -> Path:
    return make(tmp_path_factory.mktemp("soft") / "targets", data, examples)


def test_stored_targets_are_live_ones_within_float16(data, examples, stored):
    index = torch.randperm(len(examples))[:100]
    live = LiveTargets(Ensemble.load(data / "teachers"), 2.0, examples)
    x, _ = examples.batch(index)
    read = SoftTargets(stored, examples, 2.0).batch(index)
    torch.testing.assert_close(read, live.batch(index, x), atol=1e-6, rtol=2e-3)
    assert torch.equal(live.batch(index, x), live.batch(index))
    torch.testing.assert_close(read.sum(1), torch.ones(100))
    assert FrameTable(stored).shards[0].dtype == np.float16 and read.dtype == torch.float32


def test_live_targets_are_those_of_the_inputs_given(data, examples):
    live = LiveTargets(Ensemble.load(data / "teachers"), 2.0, examples)
    index = torch.arange(10)
    x, _ = examples.batch(index)
    assert float((live.batch(index, x + 1) - live.batch(index, x)).abs().max()) > 0.01


@pytest.mark.parametrize("temperature", [1.0, 2.0, 20.0])
def test_geometric_targets_serve_any_temperature(data, examples, tmp_path, temperature):
    folder = make(tmp_path / "soft", data, examples, 2.0, "geometric")
    index = torch.arange(50)
    x, _ = examples.batch(index)
    expected = Ensemble.load(data / "teachers", "geometric").probabilities(x, temperature)
    torch.testing.assert_close(SoftTargets(folder, examples, temperature).batch(index), expected, atol=2e-3, rtol=1e-2)


def test_rows_stored_in_another_order_than_the_batch_are_found(data, examples, stored, tmp_path):
    """The trap of cached teachers: rows by position in the batch or in the file, not by example."""
    table = FrameTable(stored)
    io.begin(tmp_path / "shuffled", io.Made("soft-targets", {}))
    writer = FrameTableWriter(tmp_path / "shuffled", shard_bytes=2000)
    for utterance in reversed(table.utterances):
        writer.add(utterance.id, utterance.speaker, np.array(table.frames(utterance)))
    writer.close()
    facts = {
        k: v for k, v in table.info.items() if k not in ("verb", "options", "inputs", "fingerprint", "environment")
    }
    io.finish(tmp_path / "shuffled", **facts)
    index = torch.randperm(len(examples))
    shuffled = SoftTargets(tmp_path / "shuffled", examples)
    assert len(shuffled.table.shards) > 2
    assert torch.equal(shuffled.batch(index), SoftTargets(stored, examples).batch(index))
    assert torch.equal(
        shuffled.batch(index)[index.argsort()], SoftTargets(stored, examples).batch(torch.arange(len(examples)))
    )


def test_an_utterance_is_read_by_its_id(examples, stored):
    part = examples.parts[3]
    targets = SoftTargets(stored, examples)
    by_index = targets.batch(torch.arange(part.begin, part.begin + part.num_frames))
    assert torch.equal(SoftTargets(stored).utterance(part.id), by_index)
    with pytest.raises(Refusal, match="no utterance 'nobody'"):
        targets.utterance("nobody")


def test_another_temperature_is_refused(examples, stored):
    match = r"temperature of the soft targets does not match \(expected 5.0, found 2.0\); make soft targets at"
    with pytest.raises(Refusal, match=match):
        SoftTargets(stored, examples, 5.0)
    assert SoftTargets(stored, examples).temperature == 2.0


def test_another_alignment_is_refused(data, stored, tmp_path):
    write_set(tmp_path, 14, seed=77)
    other = FrameSource(data / "train" / "feats", tmp_path / "ali", FrameOptions(3, 2))
    features_of_the_same_length = FrameSource(tmp_path / "feats", tmp_path / "ali", FrameOptions(3, 2)).open()
    with pytest.raises(Refusal, match="alignment of soft targets and examples does not match"):
        SoftTargets(stored, features_of_the_same_length)
    with pytest.raises(Refusal, match="aligned with other features|other frames"):
        other.open()


def test_other_features_are_refused(data, examples, stored, tmp_path):
    table = FrameTable(data / "train" / "feats")
    io.begin(tmp_path / "feats", io.Made("features", {}))
    writer = FrameTableWriter(tmp_path / "feats")
    for utterance, frames in table:
        writer.add(utterance.id, utterance.speaker, frames * 2)
    writer.close()
    io.finish(tmp_path / "feats", dim=5)
    louder = FrameSource(tmp_path / "feats", data / "train" / "ali", FrameOptions(3, 2)).open()
    with pytest.raises(Refusal, match=r"features of soft targets and examples does not match .*kdasr soft-targets"):
        SoftTargets(stored, louder)


def test_another_number_of_states_is_refused(examples, stored):
    table = FrameTable(stored)
    info = io.read_json(stored / "info.json")
    io.write_json(stored / "info.json", {**info, "num_pdfs": 9})
    try:
        with pytest.raises(
            Refusal, match=r"num_pdfs of soft targets and examples does not match \(expected 8, found 9\)"
        ):
            SoftTargets(stored, examples)
    finally:
        io.write_json(stored / "info.json", info)
    assert table.info["num_pdfs"] == 8


def test_another_context_is_refused(data, stored):
    wider = FrameSource(data / "train" / "feats", data / "train" / "ali", FrameOptions(4, 2)).open()
    with pytest.raises(Refusal, match="left of soft targets and examples does not match"):
        SoftTargets(stored, wider)
    with pytest.raises(Refusal, match="input shape of models and examples does not match"):
        LiveTargets(Ensemble.load(data / "teachers"), 2.0, wider)


def test_a_truncated_shard_is_refused(data, examples, tmp_path):
    folder = make(tmp_path / "soft", data, examples)
    shard = folder / "frames-000.npy"
    shard.write_bytes(shard.read_bytes()[:-100])
    with pytest.raises(Refusal, match=r"frames-000.npy: truncated array"):
        SoftTargets(folder, examples)


def test_making_is_deterministic_and_says_who_taught(data, examples, stored, tmp_path):
    again = make(tmp_path / "soft", data, examples)
    assert io.fingerprint(again) == io.fingerprint(stored)
    info = io.read_info(again)
    assert (info["temperature"], info["mean"], info["kind"]) == (2.0, "arithmetic", "probabilities")
    assert [teacher["fingerprint"] for teacher in info["teachers"]] == Ensemble.load(data / "teachers").fingerprints
    assert (info["num_frames"], info["num_utterances"]) == (len(examples), len(examples.parts))


def test_the_objective_pairs_each_logit_row_with_its_own_target(examples, stored):
    targets, options = SoftTargets(stored, examples), DistillOptions(2.0, 1.0, 0.5)
    index = torch.randperm(len(examples))[:64]
    x, y = examples.batch(index)
    logits = torch.randn(64, 8)
    loss = Distillation(targets, options)(logits, y, index, x)
    rows = torch.stack([targets.batch(number[None])[0] for number in index])  # one by one
    torch.testing.assert_close(loss, distillation_loss(logits, rows, y, options))
    wrong = distillation_loss(logits, rows.flip(0), y, options)
    assert abs(float(loss - wrong)) > 1e-3


def sure_teacher(data: Path, examples, mean: str, highest: float = 0.0) -> Ensemble:
    """A teacher whose logits are the same for every input: far apart, and 0, -1, ... but for the first."""
    model = Ensemble.load(data / "teachers" / "member-0").members[0]
    bias = -torch.arange(examples.num_classes).float()
    bias[0], bias[1] = highest, -30.0
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        model.output_bias().copy_(bias)
    return Ensemble([model], mean=mean)


def make_by(folder: Path, teacher: Ensemble, examples, temperature: float) -> SoftTargets:
    io.begin(folder, io.Made("soft-targets", {}))
    soft_targets.make(folder, teacher, examples, temperature)
    return SoftTargets(folder, examples, temperature)


def test_stored_logits_keep_rare_states_apart(data, examples, tmp_path):
    """Probabilities below 6e-8 become 0 in float16; the logits of a geometric mean keep them."""
    index = torch.arange(20)
    expected = sure_teacher(data, examples, "geometric").probabilities(examples.batch(index)[0])
    assert 0 < float(expected[0, 1]) < 1e-12
    kept = make_by(tmp_path / "geometric", sure_teacher(data, examples, "geometric"), examples, 1.0).batch(index)
    torch.testing.assert_close(kept, expected, rtol=0.02, atol=0)
    lost = make_by(tmp_path / "arithmetic", sure_teacher(data, examples, "arithmetic"), examples, 1.0).batch(index)
    assert (lost[:, 1] == 0).all()
    torch.testing.assert_close(lost, expected, rtol=0.01, atol=1e-7)


def test_logits_beyond_float16_are_refused(data, examples, tmp_path):
    teacher = sure_teacher(data, examples, "geometric", highest=1e5)
    with pytest.raises(Refusal, match=r"teacher logits do not fit float16 .expected at most 65504.0, found 875"):
        make_by(tmp_path / "soft", teacher, examples, 1.0)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA")
def test_targets_made_on_cuda_are_those_of_the_processor(data, examples, stored, tmp_path):
    io.begin(tmp_path / "soft", io.Made("soft-targets", {}))
    soft_targets.make(tmp_path / "soft", Ensemble.load(data / "teachers", device="cuda"), examples, 2.0)
    index = torch.arange(len(examples))
    on_cuda, on_cpu = SoftTargets(tmp_path / "soft", examples), SoftTargets(stored, examples)
    torch.testing.assert_close(on_cuda.batch(index), on_cpu.batch(index), atol=2e-3, rtol=1e-2)
