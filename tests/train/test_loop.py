"""The training loop: it learns, resumes bit for bit wherever it is killed, and stops with a diagnosis."""

from __future__ import annotations

import copy
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from kdasr import io, log, models
from kdasr.data.examples import Examples
from kdasr.data.frames import FrameExamples, FrameOptions, FrameSource
from kdasr.data.images import ImageExamples
from kdasr.models import Model
from kdasr.models.dnn import DnnOptions
from kdasr.refusal import Refusal
from kdasr.train import checkpoint
from kdasr.train.loop import Trainer, TrainOptions
from kdasr.train.loss import hard_labels
from tests import images
from tests.tables import speech, write_alignment, write_features, write_set

OPTIONS = TrainOptions(
    seed=3, epochs=3, batch_size=64, dropout=0.3, input_dropout=0.1, device="cpu", log_steps=5, checkpoint_seconds=1e9
)


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> tuple[FrameExamples, FrameExamples]:
    folder = tmp_path_factory.mktemp("sets")
    context = FrameOptions(3, 2)
    sources = (write_set(folder / "train", 20, seed=1), write_set(folder / "dev", 6, seed=2))
    train, dev = (FrameSource(*paths, context).open() for paths in sources)
    return train, dev


def trainer(folder: Path, sets: Sequence[Examples | None], options: TrainOptions = OPTIONS, **net: int) -> Trainer:
    train, dev = sets
    assert train is not None
    checkpoint.seed_everything(options.seed)
    model = models.build("dnn", DnnOptions(**{"layers": 2, "width": 24, **net}), train.input_shape, train.num_classes)
    model.set_normalisation(*train.statistics())
    return Trainer(folder, model, train, dev, hard_labels, options)


def same(one: Model, other: Model) -> bool:
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


class Killed(Exception):
    """Stands for SIGKILL between two steps."""


def stop_after(run: Trainer, steps: int) -> None:
    step = run.train_step

    def limited() -> bool:
        if run.step == steps:
            raise Killed
        return step()

    run.train_step = limited  # type: ignore[method-assign]
    with pytest.raises(Killed):
        run.run()


def lines(folder: Path) -> list[dict]:
    return [
        {k: v for k, v in line.items() if k != "frames_per_second"}
        for line in log.read_metrics(folder / "metrics.jsonl")
    ]


VARIANTS = {
    "sgd": OPTIONS,
    "adam": replace(OPTIONS, optimizer="adam", learning_rate=0.003),
    "halving": replace(OPTIONS, schedule="halving", learning_rate=0.3, select="best_dev"),
    "bf16": replace(OPTIONS, precision="bf16"),
    "noise": replace(OPTIONS, input_noise=0.2),
    "varied noise": replace(OPTIONS, input_noise=0.2, varied_noise=True),
    "masks": replace(OPTIONS, time_mask=1, frequency_mask=2),
    "fp32": replace(OPTIONS, precision="fp32", max_norm=1.0, warmup=0.5),
}


@pytest.mark.parametrize("options", VARIANTS.values(), ids=VARIANTS.keys())
def test_a_resumed_run_is_an_undisturbed_one_bit_for_bit(sets, tmp_path, options):
    undisturbed = trainer(tmp_path / "whole", sets, options).run()
    every = replace(options, checkpoint_steps=4)  # checkpoints fall in the middle of epochs
    whole = trainer(tmp_path / "with checkpoints", sets, every)
    assert same(whole.run(), undisturbed) and whole.total_steps % 4 and whole.sampler.batches_per_epoch % 4
    for killed_at in (7, whole.sampler.batches_per_epoch + 2, whole.total_steps - 1):
        stop_after(trainer(tmp_path / "killed", sets, every), killed_at)
    torch.manual_seed(99)  # nothing of the process may matter
    np.random.seed(99)
    resumed = trainer(tmp_path / "killed", sets, every)
    assert same(resumed.run(), undisturbed)
    assert lines(tmp_path / "killed") == lines(tmp_path / "with checkpoints")


def test_a_finished_run_run_again_is_the_same(sets, tmp_path):
    first = trainer(tmp_path, sets).run()
    before = lines(tmp_path)
    assert same(trainer(tmp_path, sets).run(), first) and lines(tmp_path) == before


def test_seeds_differ(sets, tmp_path):
    models_ = [trainer(tmp_path / str(seed), sets, replace(OPTIONS, seed=seed, epochs=1)).run() for seed in (0, 1)]
    assert not same(*models_)


def test_training_learns_and_says_so(sets, tmp_path):
    options = replace(OPTIONS, epochs=8, dropout=0.0, input_dropout=0.0)
    trainer(tmp_path, sets, options, width=64).run()
    metrics = lines(tmp_path)
    epochs = [line for line in metrics if "dev_accuracy" in line]
    assert [line["epoch"] for line in epochs] == list(range(1, 9))
    assert epochs[-1]["dev_accuracy"] > 0.7 > 0.2 > 1 / 8  # 8 states
    assert (
        epochs[-1]["loss"] < epochs[0]["loss"] / 1.5
        and epochs[-1]["dev_cross_entropy"] < epochs[0]["dev_cross_entropy"]
    )
    steps = [line for line in metrics if line["step"] % 5 == 0 and "dev_accuracy" not in line]
    assert {"epoch", "step", "loss", "accuracy", "learning_rate", "gradient_norm"} <= set(steps[0])
    assert all(
        line["frames_per_second"] > 0 for line in log.read_metrics(tmp_path / "metrics.jsonl") if line["step"] == 5
    )
    assert list((tmp_path / "tensorboard").iterdir())


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Curves that TensorBoard shows of a folder: name -> steps and values."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    shown = EventAccumulator(str(folder / "tensorboard"), size_guidance={"scalars": 0})  # 0: all of them
    shown.Reload()
    return {name: [(event.step, event.value) for event in shown.Scalars(name)] for name in shown.Tags()["scalars"]}


def test_tensorboard_shows_the_curves_of_metrics_jsonl_which_reports_draw_after_a_kill_too(sets, tmp_path):
    often = replace(OPTIONS, checkpoint_steps=3)
    stop_after(trainer(tmp_path, sets, often), 10)  # step 10 was logged and is lost: it goes on from step 9
    trainer(tmp_path, sets, often).run()
    expected: dict[str, list[tuple[int, float]]] = {}
    for line in log.read_metrics(tmp_path / "metrics.jsonl"):
        for name, value in line.items():
            if name != "step" and not isinstance(value, str):
                expected.setdefault(name, []).append((line["step"], float(np.float32(value))))
    found = scalars(tmp_path)
    assert {"loss", "dev_accuracy", "dev_cross_entropy"} <= set(found) and len(found["dev_accuracy"]) == 3
    assert found == expected


def test_bf16_is_close_to_fp32(sets, tmp_path):
    options = replace(OPTIONS, epochs=6, dropout=0.0, input_dropout=0.0)
    ends = []
    for precision in ("bf16", "fp32"):
        trainer(tmp_path / precision, sets, replace(options, precision=precision), width=64).run()
        ends.append(lines(tmp_path / precision)[-1])
    assert ends[0]["dev_cross_entropy"] == pytest.approx(ends[1]["dev_cross_entropy"], rel=0.02)
    assert ends[0]["loss"] == pytest.approx(ends[1]["loss"], rel=0.02)


def test_training_accuracy_is_the_mean_over_the_batches_scored(sets, tmp_path, monkeypatch):
    """With a rate of 0 the weights stay, so each batch can be scored again, without dropout."""
    options = replace(OPTIONS, epochs=1, log_steps=7, dropout=0.0, input_dropout=0.0, learning_rate=0.0)
    run = trainer(tmp_path, sets, options)
    batches = [run.sampler.next() for _ in range(run.sampler.batches_per_epoch)]
    run = trainer(tmp_path, sets, options)
    run.run()
    rights = []
    for index in batches:
        x, y = sets[0].batch(index)
        rights.append(run.weights.computing(x).argmax(1).eq(y).float().mean().item())
    last = len(batches)
    scored = [step for step in range(1, last + 1) if step % 4 == 0 or step % 7 == 1]
    *reports, epoch = lines(tmp_path)
    assert epoch["accuracy"] == pytest.approx(sum(rights[step - 1] for step in scored) / len(scored))
    for report in reports:
        mine = [rights[step - 1] for step in scored if report["step"] - 7 < step <= report["step"]]
        assert report["accuracy"] == pytest.approx(sum(mine) / len(mine))
    assert len(reports) == last // 7 and len(set(rights)) > 2


def test_noise_reaches_the_model_and_the_objective_alike(sets, tmp_path):
    run = trainer(tmp_path, sets, replace(OPTIONS, input_noise=0.5))
    seen: list[torch.Tensor] = []

    def objective(logits, labels, index, inputs):
        clean = sets[0].batch(index)[0]
        noise = (inputs - clean) / sets[0].statistics()[1]
        assert 0.45 < float(noise.std()) < 0.55 and all(not torch.equal(noise, other) for other in seen)
        seen.append(noise)
        assert torch.equal(inputs, given[-1])
        return hard_labels(logits, labels, index, inputs)

    given: list[torch.Tensor] = []
    run.objective = objective
    run.weights.computing.register_forward_pre_hook(lambda model, inputs: given.append(inputs[0]))
    for _ in range(3):
        run.train_step()
    assert len(seen) == 3


def test_a_moved_image_reaches_the_model_and_the_objective_alike(tmp_path):
    train = ImageExamples(images.write_set(tmp_path / "train", 60, 0))
    run = trainer(tmp_path / "model", (train, None), replace(OPTIONS, jitter=1))
    given: list[torch.Tensor] = []
    run.weights.computing.register_forward_pre_hook(lambda model, inputs: given.append(inputs[0]))

    def objective(logits, labels, index, inputs):
        assert torch.equal(inputs, given[-1]) and not torch.equal(inputs, train.batch(index)[0])
        return hard_labels(logits, labels, index, inputs)

    run.objective = objective
    run.train_step()
    assert len(given) == 1


def test_the_best_epoch_is_kept(sets, tmp_path):
    options = replace(OPTIONS, epochs=8, learning_rate=0.6, clip=0.0, dropout=0.0, select="best_dev")  # unsteady
    run = trainer(tmp_path, sets, options)
    model = run.run()
    accuracies = [line["dev_accuracy"] for line in lines(tmp_path) if "dev_accuracy" in line]
    assert run.best_accuracy == max(accuracies) and len(set(accuracies)) > 2
    assert all(torch.equal(tensor, run.best[name]) for name, tensor in model.state_dict().items())


def test_halving_looks_at_the_hard_labels_on_the_development_set(sets, tmp_path):
    run = trainer(tmp_path, sets, replace(OPTIONS, schedule="halving", epochs=4))
    run.objective = lambda logits, labels, index, inputs: hard_labels(logits, labels, index, inputs).add(100)
    run.run()
    cross_entropies = [line["dev_cross_entropy"] for line in lines(tmp_path) if "dev_accuracy" in line]
    assert run.schedule.state_dict()["best"] == min(cross_entropies) < 10


def test_a_fraction_of_the_data_is_trained_on(sets, tmp_path):
    run = trainer(tmp_path, sets, replace(OPTIONS, fraction=0.3))
    seen = set()
    for _ in range(3 * run.sampler.batches_per_epoch):
        seen.update(run.sampler.next().tolist())
    assert seen <= set(run.pool.tolist()) and len(run.pool) < 0.45 * len(sets[0])


def test_features_that_are_not_finite_stop_training_with_a_diagnosis(tmp_path):
    features, pdfs = speech(12, seed=1)
    features["u7"][5, 2] = np.nan
    write_features(tmp_path / "feats", features)
    write_alignment(tmp_path / "ali", pdfs, 8)
    train = FrameSource(tmp_path / "feats", tmp_path / "ali", FrameOptions(1, 1)).open()
    model = models.build("dnn", DnnOptions(1, 8), train.input_shape, 8)  # normalised by 0 and 1
    options = replace(OPTIONS, batch_size=len(train) // 4, checkpoint_steps=1)
    run = Trainer(tmp_path / "model", model, train, None, hard_labels, options)
    match = (
        r"model: training diverged at step \d+ \(found loss \S+, gradient norm nan, learning rate 0.0\d+, "
        r"inputs that are not finite, in u7\); mend these features; the last checkpoint is kept"
    )
    with pytest.raises(Refusal, match=match):
        run.run()
    assert all(torch.isfinite(parameter).all() for parameter in model.parameters())
    if run.step:
        tensors, state = checkpoint.load(tmp_path / "model" / checkpoint.NAME)
        assert state["step"] == run.step and all(torch.isfinite(t).all() for t in tensors["weights"].values())


def test_a_learning_rate_too_high_stops_training_with_a_diagnosis(sets, tmp_path):
    options = replace(OPTIONS, learning_rate=1e20, clip=0.0, checkpoint_steps=1)
    match = r"diverged at step \d+ .*rate \S+e\+19, inputs from -?\d\S* to \d\S*, in u.*lower the learning rate, or"
    with pytest.raises(Refusal, match=match):
        trainer(tmp_path, sets, options).run()
    tensors, _ = checkpoint.load(tmp_path / checkpoint.NAME)
    assert all(torch.isfinite(tensor).all() for tensor in tensors["weights"].values())


def test_a_checkpoint_of_another_architecture_is_refused(sets, tmp_path):
    stop_after(trainer(tmp_path, sets, replace(OPTIONS, checkpoint_steps=1)), 2)
    with pytest.raises(Refusal, match=r"checkpoint of another model.options.width \(expected 25, found 24\)"):
        trainer(tmp_path, sets, replace(OPTIONS, checkpoint_steps=1), width=25).run()
    with pytest.raises(Refusal, match=r"checkpoint of another options.dropout \(expected 0.4, found 0.3\)"):
        trainer(tmp_path, sets, replace(OPTIONS, checkpoint_steps=1, dropout=0.4)).run()


def test_a_damaged_checkpoint_is_refused(sets, tmp_path):
    (tmp_path / checkpoint.NAME).write_bytes(b"cut off")
    with pytest.raises(Refusal, match=r"checkpoint.safetensors: damaged or foreign tensor file"):
        trainer(tmp_path, sets).run()
    io.save_tensors(tmp_path / checkpoint.NAME, {"a": torch.zeros(1)})
    with pytest.raises(Refusal, match="not a checkpoint of kdasr"):
        trainer(tmp_path, sets).run()


def test_what_wants_a_development_set_says_so(sets, tmp_path):
    for options in (replace(OPTIONS, schedule="halving"), replace(OPTIONS, select="best_dev")):
        with pytest.raises(Refusal, match="(halving|best_dev) wants a development set; name one with --dev-features"):
            trainer(tmp_path, (sets[0], None), options)


def test_a_development_set_of_another_labelling_is_refused(sets, tmp_path):
    features, pdfs = speech(3, seed=1)
    write_features(tmp_path / "feats", features)
    write_alignment(tmp_path / "ali", pdfs, 8, topology="other")
    other = FrameSource(tmp_path / "feats", tmp_path / "ali", FrameOptions(3, 2)).open()
    with pytest.raises(Refusal, match="development set's labelling does not match .*expected topo, found other"):
        trainer(tmp_path / "model", (sets[0], other))


@pytest.mark.parametrize(
    ("name", "value", "match"),
    [
        ("select", "best", "unknown selection 'best'"),
        ("precision", "fp16", "unknown precision 'fp16'; did you mean"),
        ("optimizer", "sdg", "unknown optimizer 'sdg'"),
        ("schedule", "cosine", "unknown schedule 'cosine'"),
    ],
)
def test_unknown_values_are_refused(sets, tmp_path, name, value, match):
    with pytest.raises(Refusal, match=match):
        trainer(tmp_path, sets, replace(OPTIONS, **{name: value}))


@pytest.mark.parametrize(
    "bad", [{"dropout": 1.0}, {"fraction": 0.0}, {"epochs": 0}, {"batch_size": 0}, {"input_dropout": -0.1}]
)
def test_impossible_options_are_refused(bad):
    with pytest.raises(ValueError, match=r"dropout and input_dropout lie in|are at least 1"):
        TrainOptions(**bad)


ALTERING = ("input_noise", "time_mask", "frequency_mask", "jitter", "rotation", "scaling", "distortion")


@pytest.mark.parametrize("bad", [{name: -1} for name in ALTERING])
def test_noise_masks_and_jitter_below_zero_are_refused(bad):
    with pytest.raises(ValueError, match="input_noise, time_mask, .*, scaling and distortion are at least 0"):
        TrainOptions(**bad)


@pytest.mark.parametrize("folds", [-1, 1])
def test_one_fold_is_no_fold(folds):
    with pytest.raises(ValueError, match="folds are at least 2, or 0 for none"):
        TrainOptions(folds=folds)


@pytest.mark.parametrize("bad", [{name: -1} for name in ("warmup", "clip", "max_norm", "threads", "checkpoint_steps")])
def test_options_below_zero_are_refused(bad: dict):
    with pytest.raises(ValueError, match="warmup, clip, max_norm, threads and checkpoint_steps are at least 0"):
        TrainOptions(**bad)


@pytest.mark.parametrize("device", ["gpu", "cuda:99", "cuda", "meta"])
def test_a_device_that_is_not_there_is_refused(sets, tmp_path, device, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(Refusal, match=f"device {device}: no such device here .expected auto or cpu."):
        trainer(tmp_path, sets, replace(OPTIONS, device=device))


@pytest.mark.parametrize(
    ("what", "changed", "found"),
    [
        ("labelling", "other", "expected topo, found other"),
        ("input_shape", (3, 9), r"found \(3, 9\)"),
        ("extractor", {"sampling_rate": 8000}, "found {'sampling_rate': 8000}"),
    ],
)
def test_a_development_set_of_another_kind_is_refused(sets, tmp_path, what, changed, found):
    train, dev = sets[0], copy.copy(sets[1])
    setattr(dev, what, changed)
    with pytest.raises(
        Refusal, match=f"the development set's {what} does not match .*{found}.*; make both sets with the"
    ):
        trainer(tmp_path, (train, dev), OPTIONS)


@pytest.mark.parametrize(("name", "value"), [("jitter", 2), ("rotation", 5.0), ("scaling", 0.1), ("distortion", 1.0)])
def test_jitter_is_for_images(sets, tmp_path, name, value):
    with pytest.raises(Refusal, match=f"{name} is for images .found {value}.; set {name} to 0"):
        trainer(tmp_path / "model", sets, replace(OPTIONS, **{name: value}))


def test_a_checkpoint_older_than_an_option_is_gone_on_with_while_the_option_is_off(sets, tmp_path, monkeypatch):
    undisturbed = trainer(tmp_path / "whole", sets, replace(OPTIONS, checkpoint_steps=3))
    model = undisturbed.run()
    run = trainer(tmp_path / "killed", sets, replace(OPTIONS, checkpoint_steps=3))
    stop_after(run, undisturbed.total_steps - 2)
    tensors, state = checkpoint.load(tmp_path / "killed" / checkpoint.NAME)
    for name in ("rotation", "folds", "time_mask", "frequency_mask"):
        del state["options"][name]
    for streams in state["streams"]:
        del streams["masks"]
    checkpoint.save(tmp_path / "killed" / checkpoint.NAME, tensors, state)
    with pytest.raises(Refusal, match="a checkpoint of another options.epochs"):
        trainer(tmp_path / "killed", sets, replace(OPTIONS, checkpoint_steps=3, epochs=OPTIONS.epochs + 1)).run()
    assert same(trainer(tmp_path / "killed", sets, replace(OPTIONS, checkpoint_steps=3)).run(), model)


def test_jittered_training_resumes_bit_for_bit(tmp_path):
    sets = [ImageExamples(images.write_set(tmp_path / name, 300, seed)) for seed, name in enumerate(("train", "dev"))]
    options = replace(OPTIONS, jitter=1, rotation=10.0, scaling=0.1, distortion=1.0, batch_size=30, checkpoint_steps=3)
    undisturbed = trainer(tmp_path / "whole", sets, options)
    model = undisturbed.run()
    stop_after(trainer(tmp_path / "killed", sets, options), undisturbed.total_steps - 2)
    assert (tmp_path / "killed" / checkpoint.NAME).exists()
    assert same(trainer(tmp_path / "killed", sets, options).run(), model)


RUN = """
import sys
from pathlib import Path
import torch
torch.set_num_threads(1)
from dataclasses import replace
from kdasr.data.frames import FrameOptions, FrameSource
from kdasr.models.dnn import DnnOptions
from kdasr.train.job import TrainJob, train_model
from kdasr.train.loop import TrainOptions
folder = Path(sys.argv[1])
source = FrameSource(folder / "train" / "feats", folder / "train" / "ali", FrameOptions(3, 2))
options = TrainOptions(epochs=25, batch_size=32, dropout=0.3, checkpoint_steps=3, log_steps=1, device="cpu")
train_model(TrainJob(folder / sys.argv[2], source, None, options, DnnOptions(2, 64), threads=1))
"""


def test_killed_by_sigkill_and_restarted_it_ends_the_same(tmp_path):
    write_set(tmp_path / "train", 20, seed=1)

    def start(name: str) -> subprocess.Popen:
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([os.getcwd(), *sys.path]), "OMP_NUM_THREADS": "1"}
        return subprocess.Popen(
            [sys.executable, "-c", RUN, str(tmp_path), name], env=environment, stderr=subprocess.PIPE
        )

    process = start("killed")
    metrics, deadline = tmp_path / "killed" / "metrics.jsonl", time.monotonic() + 60
    while time.monotonic() < deadline and len(log.read_metrics(metrics)) < 60:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "killed" / "info.json").exists(), "it was to be killed before it ended"
    processes = [start("killed"), start("undisturbed")]
    errors = [process.communicate()[1].decode() for process in processes]
    assert [process.returncode for process in processes] == [0, 0], errors
    assert "goes on from step" in errors[0] and "goes on" not in errors[1]
    assert io.fingerprint(tmp_path / "killed") == io.fingerprint(tmp_path / "undisturbed")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA")
def test_training_on_cuda_learns_and_resumes(sets, tmp_path):
    options = replace(OPTIONS, device="cuda", epochs=6, dropout=0.1, input_dropout=0.0, checkpoint_steps=4)
    stop_after(trainer(tmp_path, sets, options, width=64), 30)
    trainer(tmp_path, sets, options, width=64).run()
    assert lines(tmp_path)[-1]["dev_accuracy"] > 0.6
