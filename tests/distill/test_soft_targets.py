"""Soft targets: made, stored, read by the examples' index, refused when they belong to something else."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from kdasr import io
from kdasr.data.frames import FrameExamples, FrameOptions, FrameSource
from kdasr.data.table import FrameTable, FrameTableWriter
from kdasr.differences import plain
from kdasr.distill import soft_targets
from kdasr.distill.ensemble import Ensemble
from kdasr.distill.loss import DistillOptions, distillation_loss
from kdasr.distill.soft_targets import Distillation, LiveTargets, Maker, SoftTargets, SoftTargetsJob
from kdasr.distill.store import StoreOptions
from kdasr.refusal import Refusal
from tests.distill.conftest import source
from tests.tables import write_set

ALL = StoreOptions(keep=8, mass=1.0, bits=16)  # of the 8 states


def make(
    folder: Path,
    data: Path,
    examples: FrameExamples,
    temperature: float = 2.0,
    mean: str = "arithmetic",
    options: StoreOptions = ALL,
) -> Path:
    io.begin(folder, io.Made("soft-targets", {"temperature": temperature, "mean": mean}))
    make_by(folder, Ensemble.load(data / "teachers", mean), examples, temperature, options)
    return folder


def make_by(
    folder: Path, teacher: Ensemble, examples: FrameExamples, temperature: float, options: StoreOptions = ALL
) -> SoftTargets:
    io.begin(folder, io.Made("soft-targets", {"temperature": temperature, "mean": teacher.mean}))
    maker = Maker(folder, teacher, examples, temperature, options)
    maker.finish(maker.write(range(maker.num_shards)))
    return SoftTargets(folder, examples, temperature)


@pytest.fixture(scope="module")
def stored(data, examples, tmp_path_factory) -> Path:
    return make(tmp_path_factory.mktemp("soft") / "targets", data, examples)


def test_stored_targets_of_all_states_are_live_ones_within_16_bits(data, examples, stored):
    index = torch.randperm(len(examples))[:100]
    live = LiveTargets(Ensemble.load(data / "teachers"), 2.0, examples)
    x, _ = examples.batch(index)
    read = SoftTargets(stored, examples, 2.0).batch(index).dense()
    torch.testing.assert_close(read, live.batch(index, x), atol=1e-6, rtol=5e-4)
    assert torch.equal(live.batch(index, x), live.batch(index))
    torch.testing.assert_close(read.sum(1), torch.ones(100))
    assert read.dtype == torch.float32


@pytest.mark.parametrize("mean", ["arithmetic", "geometric"])
def test_what_is_kept_are_the_largest_and_the_rest_is_spread(data, examples, tmp_path, mean):
    folder = make(tmp_path / "soft", data, examples, 2.0, mean, StoreOptions(3, 1.0, 16, "prior", shard=100))
    index = torch.randperm(len(examples))[:200]
    p = Ensemble.load(data / "teachers", mean).probabilities(examples.batch(index)[0], 2.0)
    prior = (examples.label_counts() + 1.0) ** 0.5
    kept = p >= p.sort(1).values[:, -3:-2]
    rest = prior.expand(200, -1).masked_fill(kept, 0.0)
    expected = torch.where(kept, p, (p * ~kept).sum(1, keepdim=True) * rest / rest.sum(1, keepdim=True))
    read = SoftTargets(folder, examples, 2.0).batch(index).dense()
    torch.testing.assert_close(read, expected, rtol=5e-3, atol=1e-6)


@pytest.mark.parametrize(
    ("mean", "made_at", "used_at"), [("arithmetic", 2, 2), ("geometric", 20, 20), ("geometric", 20, 1)]
)
def test_the_loss_on_all_states_is_that_on_live_targets(data, examples, tmp_path, mean, made_at, used_at):
    teachers, options = Ensemble.load(data / "teachers", mean), DistillOptions(used_at)
    stored = SoftTargets(make(tmp_path / "soft", data, examples, made_at, mean), examples, used_at)
    index = torch.randperm(len(examples))[:64]
    (x, y), logits = examples.batch(index), torch.randn(64, 8)
    losses = [
        float(Distillation(targets, options)(logits, y, index, x))
        for targets in (stored, LiveTargets(teachers, used_at))
    ]
    assert losses[0] == pytest.approx(losses[1], rel=2e-5)


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
    torch.testing.assert_close(
        SoftTargets(folder, examples, temperature).batch(index).dense(), expected, atol=1e-6, rtol=2e-3
    )


def test_a_sample_holds_at_its_own_temperature_alone(data, examples, tmp_path):
    folder = make(tmp_path / "soft", data, examples, 2.0, "geometric", StoreOptions(3, 1.0, 16, "sampled"))
    assert SoftTargets(folder, examples, 2.0).batch(torch.arange(5)).dense().gt(0).sum(1).tolist() == [3] * 5
    told = r"temperature of the soft targets does not match \(expected 4.0, found 2.0\); make .*, its tail not sampled"
    with pytest.raises(Refusal, match=told):
        SoftTargets(folder, examples, 4.0)


def test_rows_stored_in_another_order_than_the_batch_are_found(data, examples, stored, tmp_path):
    """The trap of cached teachers: rows by position in the batch or in the file, not by example."""
    table, backwards = FrameTable(data / "train" / "feats"), tmp_path / "feats"
    io.begin(backwards, io.Made("features", {}))
    writer = FrameTableWriter(backwards)
    for utterance in reversed(table.utterances):
        writer.add(utterance.id, utterance.speaker, np.array(table.frames(utterance)))
    writer.close()
    io.finish(backwards, **{name: table.info[name] for name in ("dim", "frame_shift")})
    other = FrameExamples(FrameTable(backwards), examples.alignment, examples.options)
    index = torch.randperm(len(examples))
    found = SoftTargets(make(tmp_path / "soft", data, other, options=replace(ALL, shard=50)))
    assert found.store.num_shards > 2 and list(found.by_id) == [part.id for part in reversed(examples.parts)]
    for part in examples.parts:
        torch.testing.assert_close(found.utterance(part.id).dense(), SoftTargets(stored).utterance(part.id).dense())
    mended = io.read_json(found.folder / "info.json")
    io.write_json(found.folder / "info.json", {**mended, "features": examples.features.fingerprint})
    by_number = SoftTargets(found.folder, examples).batch(index).dense()
    torch.testing.assert_close(by_number, SoftTargets(stored, examples).batch(index).dense())


def test_an_utterance_is_read_by_its_id(examples, stored):
    part = examples.parts[3]
    targets = SoftTargets(stored, examples)
    by_index = targets.batch(torch.arange(part.begin, part.begin + part.num_frames)).dense()
    assert by_index.shape == (part.num_frames, 8)
    assert torch.equal(SoftTargets(stored).utterance(part.id).dense(), by_index)
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
    info = io.read_json(stored / "info.json")
    io.write_json(stored / "info.json", {**info, "num_pdfs": 9})
    try:
        with pytest.raises(
            Refusal, match=r"num_pdfs of soft targets and examples does not match \(expected 8, found 9\)"
        ):
            SoftTargets(stored, examples)
    finally:
        io.write_json(stored / "info.json", info)
    assert SoftTargets(stored, examples).info["num_pdfs"] == 8


def test_another_context_is_refused(data, stored):
    wider = FrameSource(data / "train" / "feats", data / "train" / "ali", FrameOptions(4, 2)).open()
    with pytest.raises(Refusal, match="left of soft targets and examples does not match"):
        SoftTargets(stored, wider)
    with pytest.raises(Refusal, match="input shape of models and examples does not match"):
        LiveTargets(Ensemble.load(data / "teachers"), 2.0, wider)


def test_a_truncated_shard_is_refused(data, examples, tmp_path):
    folder = make(tmp_path / "soft", data, examples)
    shard = folder / "shard-00000.npy"
    shard.write_bytes(shard.read_bytes()[:-100])
    with pytest.raises(Refusal, match=r"shard-00000.npy: truncated array"):
        SoftTargets(folder, examples).batch(torch.arange(3))


def test_making_is_deterministic_and_says_who_taught(data, examples, stored, tmp_path):
    again = make(tmp_path / "soft", data, examples)
    assert io.fingerprint(again) == io.fingerprint(stored)
    info = io.read_info(again)
    assert (info["temperature"], info["mean"], info["kind"]) == (2.0, "arithmetic", "probabilities")
    assert [teacher["fingerprint"] for teacher in info["teachers"]] == Ensemble.load(data / "teachers").fingerprints
    assert (info["num_frames"], info["num_utterances"]) == (len(examples), len(examples.parts))
    assert (info["num_pdfs"], info["store"], info["entries_per_frame"]) == (8, plain(replace(ALL, tail="sampled")), 8.0)
    assert info["kept_mass"] == 1.0


def test_the_log_tells_that_much_of_the_mass_is_lost(data, examples, tmp_path, capsys):
    make(tmp_path / "few", data, examples, 20.0, options=StoreOptions(keep=2, tail="uniform"))
    told = r"few: 2.0 states a frame keep \d\d % of the mass.*; set store.tail=sampled"
    assert re.search(told, capsys.readouterr().err)
    make(tmp_path / "all", data, examples, 20.0)
    make(tmp_path / "drawn", data, examples, 20.0, options=StoreOptions(keep=2))
    assert "of the mass" not in capsys.readouterr().err


def test_the_objective_pairs_each_logit_row_with_its_own_target(examples, stored):
    targets, options = SoftTargets(stored, examples), DistillOptions(2.0, 1.0, 0.5)
    index = torch.randperm(len(examples))[:64]
    x, y = examples.batch(index)
    logits = torch.randn(64, 8)
    loss = Distillation(targets, options)(logits, y, index, x)
    rows = torch.cat([targets.batch(number[None]).dense() for number in index])  # one by one
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


@pytest.mark.parametrize("mean", ["arithmetic", "geometric"])
def test_rare_states_are_told_apart(data, examples, tmp_path, mean):
    """Probabilities below 6e-8 would be 0 in float16; logarithms keep them."""
    index = torch.arange(20)
    expected = sure_teacher(data, examples, mean).probabilities(examples.batch(index)[0])
    assert 0 < float(expected[0, 1]) < 1e-12
    kept = make_by(tmp_path / "soft", sure_teacher(data, examples, mean), examples, 1.0).batch(index).dense()
    torch.testing.assert_close(kept, expected, rtol=0.001, atol=0)


@pytest.mark.parametrize(("highest", "found"), [(1e5, "100030 nats"), (torch.nan, "not a number")])
def test_teachers_with_bad_numbers_are_refused(data, examples, tmp_path, highest, found):
    teacher = sure_teacher(data, examples, "geometric", highest)
    told = f"member-0, examples from 0: log probabilities that cannot be stored .expected finite ones, .*{found}"
    with pytest.raises(Refusal, match=told):
        make_by(tmp_path / "soft", teacher, examples, 1.0)


def test_soft_targets_of_an_older_version_are_refused(stored, examples):
    info = io.read_json(stored / "info.json")
    io.write_json(stored / "info.json", {name: value for name, value in info.items() if name != "store"})
    try:
        with pytest.raises(Refusal, match="soft targets of an older kdasr; delete the folder and make it again"):
            SoftTargets(stored, examples)
    finally:
        io.write_json(stored / "info.json", info)


def test_more_states_than_16_bits_name_are_refused(data, examples, tmp_path, monkeypatch):
    monkeypatch.setattr(examples, "num_classes", 65_537)
    with pytest.raises(Refusal, match="too many states to store .expected 65536 at most, found 65537"):
        Maker(tmp_path, Ensemble.load(data / "teachers"), examples, 1.0, ALL)


def job(data: Path, folder: Path, **changes: object) -> SoftTargetsJob:
    options = StoreOptions(3, 0.99, shard=64)
    made = SoftTargetsJob(folder, source(data), (data / "teachers",), DistillOptions(2.0), options)
    return replace(made, **changes)  # type: ignore[arg-type]


def test_processes_write_what_a_single_one_does(data, tmp_path):
    one, two = (soft_targets.make(job(data, tmp_path / str(n)), num_jobs=n) for n in (1, 2))
    assert len(io.read_json(tmp_path / "1" / "shards.json")) > 4
    same = ("fingerprint", "entries_per_frame", "kept_mass", "num_frames")
    assert [one[name] for name in same] == [two[name] for name in same]


KILLED = """
import os, signal, sys
from pathlib import Path
from kdasr.distill import soft_targets, store
from tests.distill.test_soft_targets import job

written, write = [], store.io.save_array

def save(path, array):
    if len(written) == {whole}:
        Path(path).with_name(Path(path).name + ".part").write_bytes(b"half")
        os.kill(os.getpid(), signal.SIGKILL)
    written.append(path)
    write(path, array)

store.io.save_array = save
soft_targets.make(job(Path(sys.argv[1]), Path(sys.argv[2])))
"""


@pytest.mark.parametrize("whole", [0, 3])
def test_writing_that_was_killed_goes_on_and_ends_the_same_to_the_bit(data, tmp_path, whole):
    command = [sys.executable, "-c", KILLED.format(whole=whole), str(data), str(tmp_path / "killed")]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    left = sorted((tmp_path / "killed").glob("shard-*.npy"))
    assert len(left) == whole and not (tmp_path / "killed" / "info.json").exists()
    with pytest.raises(Refusal, match="the folder is unfinished"):
        SoftTargets(tmp_path / "killed")
    times = {path: path.stat().st_mtime_ns for path in left}
    went_on, calm = (soft_targets.make(job(data, tmp_path / name)) for name in ("killed", "calm"))
    assert went_on["fingerprint"] == calm["fingerprint"] and not list((tmp_path / "killed").glob("*.part"))
    assert times == {path: path.stat().st_mtime_ns for path in left}  # not written again
    for path in (tmp_path / "calm").glob("*.npy"):
        assert path.read_bytes() == (tmp_path / "killed" / path.name).read_bytes()


def test_shards_of_other_options_are_never_taken(data, tmp_path):
    folder, other = tmp_path / "soft", StoreOptions(4, 0.99, shard=64)
    io.begin(folder, job(data, folder).made)
    job(data, folder).open().write([0, 1])
    with pytest.raises(Refusal, match=r"made with another options.store.keep .expected 4, found 3.*--overwrite"):
        soft_targets.make(job(data, folder, store=other))
    again = soft_targets.make(job(data, folder, store=other, overwrite=True))
    assert again["fingerprint"] == soft_targets.make(job(data, tmp_path / "new", store=other))["fingerprint"]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA")
def test_targets_made_on_cuda_are_those_of_the_processor(data, examples, stored, tmp_path):
    on_cuda = make_by(tmp_path / "soft", Ensemble.load(data / "teachers", device="cuda"), examples, 2.0)
    index = torch.arange(len(examples))
    on_cpu = SoftTargets(stored, examples)
    torch.testing.assert_close(on_cuda.batch(index).dense(), on_cpu.batch(index).dense(), atol=2e-3, rtol=1e-2)
