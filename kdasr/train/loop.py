"""The training loop of every model: hard labels or soft targets, checkpoints, exact resume, metrics."""

from __future__ import annotations

import math
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from kdasr import io, log
from kdasr.data import folds
from kdasr.data.examples import Examples
from kdasr.differences import option_difference
from kdasr.models import Model
from kdasr.models.dropout import Dropout
from kdasr.models.generator import Stochastic
from kdasr.refusal import Refusal, unknown_name
from kdasr.train import checkpoint, optim, precision
from kdasr.train.accuracy import Score, evaluate
from kdasr.train.loss import Objective
from kdasr.train.noise import InputNoise, Jitter, Masks
from kdasr.train.together import ranks

SELECTIONS = ("last", "best_dev")
HIDING = ("input_noise", "time_mask", "frequency_mask")
MOVING = ("jitter", "rotation", "scaling", "distortion")
SCORED_STEPS = 4  # training accuracy is that of every fourth batch, and of the first after each report


@dataclass(frozen=True)
class TrainOptions:
    """How a model is trained; baseline, members and student each have their own values."""

    seed: int = 0  # of initial weights, order of examples, dropout and noise
    epochs: int = 10  # times through the training examples
    batch_size: int = 256  # frames
    optimizer: str = "sgd"  # sgd (Nesterov) or adam
    learning_rate: float = 0.05  # peak
    momentum: float = 0.9  # of sgd
    schedule: str = "linear"  # linear (to zero) or halving (when dev cross-entropy stops falling)
    warmup: float = 0.0  # epochs during which the learning rate rises from 0
    dropout: float = 0.0  # share of hidden units, 0 to 1; the paper's image teacher: 0.5
    input_dropout: float = 0.0  # share of inputs, 0 to 1
    input_noise: float = 0.0  # standard deviation of Gaussian noise on the normalised inputs; live teachers see it too
    varied_noise: bool = False  # each input's noise has a level of its own, uniform from 0 to input_noise
    time_mask: int = 0  # frames of a window hidden at most, one stretch (SpecAugment); live teachers see the same
    frequency_mask: int = 0  # bins of a window hidden at most, one band; live teachers see the same
    jitter: int = 0  # pixels that images are moved by at most, in any direction; the paper's image teacher: 2
    rotation: float = 0.0  # degrees that images are turned by at most, either way
    scaling: float = 0.0  # share by which images grow at most, or shrink, in height and width each on its own
    distortion: float = 0.0  # pixels that 5 x 5 points of an image are moved by at most, the rest smoothly between
    max_norm: float = 0.0  # of a unit's incoming weights (section 3); 0: none
    clip: float = 5.0  # largest norm of the gradient; 0: none
    fraction: float = 1.0  # part of the training examples, above 0 to 1; section 6: 0.03
    folds: int = 0  # of speakers; a member leaves out fold seed % folds, which others do not teach then; 0: none
    select: str = "last"  # last, or best_dev: the weights of the epoch with the best dev frame accuracy
    precision: str = "auto"  # auto (bf16 where the hardware has it), bf16, fp32
    device: str = "auto"  # auto (cuda where there is one), cpu, cuda, cuda:1
    threads: int = 0  # of each process; 0: the cores, shared among the processes that run at once
    log_steps: int = 100  # steps between training lines
    checkpoint_seconds: float = 30.0  # from one checkpoint to the next
    checkpoint_steps: int = 0  # the same in steps; 0: by time alone

    def __post_init__(self) -> None:
        if not (0 <= self.dropout < 1 and 0 <= self.input_dropout < 1 and 0 < self.fraction <= 1):
            raise ValueError("dropout and input_dropout lie in 0 <= rate < 1, fraction in 0 < fraction <= 1")
        if min(getattr(self, name) for name in HIDING + MOVING) < 0:
            raise ValueError(f"{', '.join(HIDING + MOVING[:-1])} and {MOVING[-1]} are at least 0")
        if min(self.epochs, self.batch_size, self.log_steps) < 1 or self.learning_rate < 0:
            raise ValueError("epochs, batch_size and log_steps are at least 1, learning_rate at least 0")
        if self.folds < 0 or self.folds == 1:
            raise ValueError("folds are at least 2, or 0 for none")
        if min(self.warmup, self.clip, self.max_norm, self.threads, self.checkpoint_steps) < 0:
            raise ValueError("warmup, clip, max_norm, threads and checkpoint_steps are at least 0")

    @property
    def left_out(self) -> dict[str, int]:
        """`fold`, the one that the model leaves out, `of` so many; empty: none."""
        return {"fold": self.seed % self.folds, "of": self.folds} if self.folds else {}

    @property
    def hiding(self) -> dict[str, float]:
        """The options that hide a part of the inputs, by noise or masks, as far as they are set."""
        return {name: value for name in HIDING if (value := getattr(self, name))}

    @property
    def moving(self) -> dict[str, float]:
        """The options that move, turn, scale or distort images, as far as they are set."""
        return {name: value for name in MOVING if (value := getattr(self, name))}


class Trainer:
    """Trains one model in its folder; created again on the same folder it goes on from the last checkpoint.

    Processes that torchrun started train it together, each on a slice of every batch; the first writes.

    Args:
        folder: where checkpoint, metrics and TensorBoard curves are kept.
        model: float32, on the CPU, initialised and normalised.
        examples: the training set.
        dev: the development set, scored after each epoch; None if there is none.
        objective: the loss.
        options: how to train.
    """

    def __init__(
        self,
        folder: Path,
        model: Model,
        examples: Examples,
        dev: Examples | None,
        objective: Objective,
        options: TrainOptions,
    ) -> None:
        precision.keep_freed_memory()
        self.folder, self.examples, self.dev, self.objective, self.options = (
            folder,
            examples,
            dev,
            objective,
            options,
        )
        self.ranks = ranks()
        self.device = precision.compute_device(options.device)
        self.model = model.to(self.device)
        self.weights = optim.Weights(self.model, precision.compute_dtype(options.precision, self.device))
        self.optimizer = optim.optimizer(
            options.optimizer, self.weights, options.momentum, options.clip, options.max_norm
        )
        own_seed = self.ranks.seed(options.seed)
        self.dropout = Dropout(options.dropout, options.input_dropout, own_seed)
        self.noise = InputNoise(options.input_noise, self.model.deviation(), options.varied_noise, own_seed)
        self.masks = Masks(options.time_mask, options.frequency_mask, self.model.average(), own_seed)
        self.jitter = Jitter(options.jitter, options.rotation, options.scaling, options.distortion, own_seed)
        self.pool = examples.pool(options.fraction, options.seed)
        if left_out := options.left_out:
            self.pool = folds.without(examples, self.pool, left_out["fold"], left_out["of"])
        self.sampler = examples.sampler(self.pool, options.batch_size, options.seed, self.ranks.rank, self.ranks.size)
        epoch = self.sampler.batches_per_epoch
        self.total_steps = options.epochs * epoch
        self.schedule = optim.schedule(
            options.schedule, options.learning_rate, self.total_steps, round(options.warmup * epoch)
        )
        self.step = 0
        self.epoch_began = 0.0, 0  # time, and step, at which this process began the epoch
        self.saved = 0.0  # time of the last checkpoint
        self.lately, self.this_epoch = Running(), Running()
        self.best: dict[str, Tensor] = {}
        self.best_accuracy = -1.0
        self._check()

    def _check(self) -> None:
        if self.options.select not in SELECTIONS:
            raise unknown_name("selection", self.options.select, SELECTIONS, "train.select")
        for name, value in self.options.moving.items():
            if not self.examples.movable:
                raise Refusal(f"{name} is for images", where=self.folder, found=value, do=f"set {name} to 0")
        if not len(self.pool):
            raise Refusal("no examples to train on", where=self.folder, do="name other classes, or a larger fraction")
        if self.sampler.batch_size < self.ranks.size:
            raise Refusal(
                "more processes than examples in a batch",
                where=self.folder,
                expected=f"at most {self.sampler.batch_size}",
                found=self.ranks.size,
                do="start fewer, or set a larger batch_size",
            )
        wants_dev = (
            "halving"
            if self.options.schedule == "halving"
            else "best_dev"
            if self.options.select == "best_dev"
            else None
        )
        if wants_dev and self.dev is None:
            raise Refusal(
                f"{wants_dev} wants a development set",
                where=self.folder,
                do="name one with --dev-features and --dev-ali, or --dev-images",
            )
        if self.dev is not None:
            do = "make both sets with the same settings, and align them with one model"
            for what in ("labelling", "input_shape", "extractor"):
                own, theirs = getattr(self.examples, what), getattr(self.dev, what)
                io.expect_same(f"the development set's {what}", own, theirs, self.folder, do)

    def run(self) -> Model:
        """Trains to the end; returns the model with the weights that `select` chooses, on its device."""
        self._resume()
        metrics = log.Metrics(self.folder, self.step if self.step else -1) if self.ranks.first else None
        self.saved = began = time.monotonic()
        self.epoch_began = began, self.step
        steps = range(self.step, self.total_steps)
        for _ in log.progress(steps, str(self.folder)) if self.ranks.first else steps:
            due = self.train_step()
            if self.step % self.options.log_steps == 0 and metrics:
                metrics.write(
                    self.step,
                    {
                        "epoch": self.epoch,
                        **self.lately.line(time.monotonic() - began),
                        "learning_rate": self.rate,
                    },
                )
            if self.step % self.options.log_steps == 0:
                self.lately, began = Running(), time.monotonic()
            if self.step % self.sampler.batches_per_epoch == 0:
                self._end_epoch(metrics)
            if due:
                self._save()
        self._save()
        if metrics:
            metrics.close()
        if self.best:
            self.model.load_state_dict(self.best)
        return self.model

    @property
    def epoch(self) -> int:
        """Number of the epoch that the last step belonged to, from 1."""
        return -(-self.step // self.sampler.batches_per_epoch)

    @property
    def rate(self) -> float:
        """Learning rate of the last step."""
        return self.schedule.rate(self.step - 1)

    def train_step(self) -> bool:
        """One step of `run`; returns whether a checkpoint is due after it."""
        index = self.sampler.next()
        x, y = self.examples.batch(index)
        x, y = self.masks(self.noise(self.jitter(x.to(self.device)))), y.to(self.device)
        logits = self.weights.computing(x, self.dropout).float()
        loss = self.objective(logits, y, index, x)
        loss.backward()
        norm = self.weights.take_gradient(len(y) / self.sampler.batch_size, self.ranks.add)
        value, rate = float(loss.detach()), self.schedule.rate(self.step)
        if not (math.isfinite(norm) and math.isfinite(value)):
            raise self._diverged(index, x, value, norm, rate)
        self.optimizer.step(rate, norm)
        self.step += 1
        scored = self.step % SCORED_STEPS == 0 or not (self.lately.scored and self.this_epoch.scored)
        right = int((logits.detach().argmax(1) == y).sum()) if scored else 0
        sums = [value * len(y), len(y), right, int((y >= 0).sum()), self.ranks.first and self._due()]
        self.ranks.add(total := torch.tensor(sums, dtype=torch.float64).to(self.device))
        loss_sum, frames, right, labelled, due = total.tolist()
        for running in (self.lately, self.this_epoch):
            running.add(int(frames), loss_sum, norm)
            if scored:
                running.score(int(labelled), int(right))
        return bool(due)

    def _diverged(self, index: Tensor, x: Tensor, loss: float, norm: float, rate: float) -> Refusal:
        bad = ~torch.isfinite(x.flatten(1)).all(1).cpu()
        names = self.examples.names(index[bad] if bad.any() else index)
        named = ", ".join(names[:3]) + (f" and {len(names) - 3} others" if len(names) > 3 else "")
        span = f"inputs from {float(x.min()):.4g} to {float(x.max()):.4g}"
        values = "inputs that are not finite" if bad.any() else span
        found = f"loss {loss:.4g}, gradient norm {norm:.4g}, learning rate {rate:.4g}, {values}, in {named}"
        do = "mend these features" if bad.any() else "lower the learning rate, or set clip"
        return Refusal(
            f"training diverged at step {self.step}",
            where=self.folder,
            found=found,
            do=f"{do}; the last checkpoint is kept",
        )

    def _end_epoch(self, metrics: log.Metrics | None) -> None:
        line: dict[str, float | int | str] = {
            "epoch": self.epoch,
            **self.this_epoch.line(None),
            "learning_rate": self.rate,
        }
        began, first = self.epoch_began
        speed = (self.step - first) * self.options.batch_size / (time.monotonic() - began)
        if self.total_steps < self.options.log_steps:  # no other line tells
            line["frames_per_second"] = speed
        text = f"loss {line['loss']:.4f}, accuracy {100 * float(line['accuracy']):.2f} %"
        text += f", {speed:,.0f} examples/s, learning rate {self.rate:.4g}"
        cross_entropy = None
        if (dev := self.dev) is not None:
            score = self.ranks.from_first(lambda: self._score(dev))
            cross_entropy = score.cross_entropy
            line.update({f"dev_{name}": value for name, value in asdict(score).items()})
            text += f"; dev: {score}"
            if self.options.select == "best_dev" and score.accuracy > self.best_accuracy:
                self.best_accuracy = score.accuracy
                self.best = {name: tensor.clone() for name, tensor in self.model.state_dict().items()}
        self.schedule.epoch_end(cross_entropy)
        if metrics:
            metrics.write(self.step, line)
            log.event(f"{self.folder}: epoch {self.epoch} of {self.options.epochs}: {text}")
        self.this_epoch, self.epoch_began = Running(), (time.monotonic(), self.step)

    def _score(self, examples: Examples) -> Score:
        computing = self.weights.computing
        return evaluate(lambda x: computing(x).float(), examples, self.device)

    def _due(self) -> bool:
        by_step = self.options.checkpoint_steps and self.step % self.options.checkpoint_steps == 0
        return bool(by_step) or time.monotonic() - self.saved > self.options.checkpoint_seconds

    def _save(self) -> None:
        streams = self.ranks.gathered({name: stream.state_dict() for name, stream in self._streams().items()})
        if self.ranks.first:
            self._write(streams)
        self.saved = time.monotonic()

    def _streams(self) -> dict[str, Stochastic]:
        """What has random numbers of this process's own."""
        return {"dropout": self.dropout, "noise": self.noise, "masks": self.masks, "jitter": self.jitter}

    def _write(self, streams: list[dict[str, Any]]) -> None:
        tensors = {"weights": self.model.state_dict(), "optimizer": self.optimizer.state(), "best": self.best}
        state = {
            "model": self.model.describe(),
            "options": self.options,
            "step": self.step,
            "sampler": self.sampler.state_dict(),
            "schedule": self.schedule.state_dict(),
            "streams": streams,
            "running": [self.lately, self.this_epoch],
            "best_accuracy": self.best_accuracy,
        }
        checkpoint.save(self.folder / checkpoint.NAME, tensors, state)

    def _resume(self) -> None:
        path = self.folder / checkpoint.NAME
        if not self.ranks.from_first(path.exists):
            return
        tensors, state = checkpoint.load(path)
        for what, own in (("model", self.model.describe()), ("options", self.options)):
            if difference := option_difference(state.get(what), own, what):
                name, found, expected = difference
                raise Refusal(
                    f"a checkpoint of another {name}",
                    where=path,
                    expected=expected,
                    found=found,
                    do="delete it to train anew",
                )
        checkpoint.restore(tensors["weights"], self.model.state_dict(), path)
        checkpoint.restore(tensors["optimizer"], self.optimizer.state(), path)
        self.weights.refresh()
        self.best = {name: tensor.to(self.device) for name, tensor in tensors.get("best", {}).items()}
        self.best_accuracy, self.step = state["best_accuracy"], state["step"]
        self.sampler.load_state_dict(state["sampler"])
        self.schedule.load_state_dict(state["schedule"])
        self._resume_streams(state["streams"])
        self.lately, self.this_epoch = (Running(**running) for running in state["running"])
        if self.ranks.first:
            log.event(f"{self.folder}: goes on from step {self.step} of {self.total_steps}")

    def _resume_streams(self, states: list[dict[str, Any]]) -> None:
        """Random numbers go on; those that the checkpoint does not know begin anew, and torch's own (on CUDA)."""
        if self.ranks.rank < len(states):
            for name, stream in self._streams().items():
                if name in (known := states[self.ranks.rank]):
                    stream.load_state_dict(known[name])
        if not self.ranks.first:
            torch.manual_seed(self.ranks.seed(self.options.seed) + self.step)


@dataclass
class Running:
    """Sums over some steps of training."""

    steps: int = 0
    frames: int = 0
    loss: float = 0.0
    norm: float = 0.0
    scored: int = 0  # frames whose accuracy was looked at
    right: int = 0

    def add(self, frames: int, loss: float, norm: float) -> None:
        """Adds a step: frames, sum of their losses, gradient norm."""
        self.steps, self.frames = self.steps + 1, self.frames + frames
        self.loss, self.norm = self.loss + loss, self.norm + norm

    def score(self, frames: int, right: int) -> None:
        """Adds the accuracy of a step: frames, frames right."""
        self.scored, self.right = self.scored + frames, self.right + right

    def line(self, seconds: float | None) -> dict[str, float]:
        """Means a frame, accuracy over the steps scored, and frames a second."""
        values = {
            "loss": self.loss / self.frames,
            "accuracy": self.right / max(1, self.scored),
            "gradient_norm": self.norm / self.steps,
        }
        return {**values, "frames_per_second": self.frames / seconds} if seconds else values
