"""Frames per second of training against the same matrix products alone: `python benchmarks/training.py`.

Prints, for nets as egs/*/conf sets them, how much of the bound that the products of their batch set is met, in bf16
where the processor has it, else in float32; dropout, jitter and weight constraint included. Short rounds of both
alternate and the best of each counts, since other programs share the machine.
"""

from __future__ import annotations

import argparse
import itertools
import json
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from kdasr import io, models
from kdasr.cli.options import Settings
from kdasr.data.examples import Source
from kdasr.data.frames import FrameSource
from kdasr.data.images import ImageSource, write_images
from kdasr.data.table import FrameTableWriter
from kdasr.distill.loss import DistillOptions
from kdasr.distill.soft_targets import Distillation
from kdasr.models.dnn import DnnOptions
from kdasr.train.loop import Trainer
from kdasr.train.loss import Objective, hard_labels
from kdasr.train.precision import compute_dtype

EGS = Path(__file__).parents[1] / "egs"


@dataclass(frozen=True)
class Net:
    """A net of a recipe.

    Attributes:
        conf: its settings, below egs.
        section: train (hard labels) or student (soft targets).
        classes: states or digits.
        steps: of a round.
        part: of the settings.
    """

    conf: str
    section: str
    classes: int
    steps: int
    part: str | None = None

    @property
    def settings(self) -> Settings:
        """Its settings."""
        return Settings(str(EGS / self.conf), (), self.part)


NETS = {
    "an4": Net("an4/conf/default.yaml", "train", 109, 4),
    "an4-student": Net("an4/conf/default.yaml", "student", 109, 4),
    "paper": Net("an4/conf/paper.yaml", "train", 14_000, 1),  # section 4
    "mnist-teacher": Net("mnist/conf/default.yaml", "train", 10, 10, "teacher"),
    "mnist-small": Net("mnist/conf/default.yaml", "train", 10, 10),
    "mnist-student": Net("mnist/conf/default.yaml", "student", 10, 10),
}


def write_images_set(folder: Path, num_classes: int) -> ImageSource:
    """As many random images as MNIST has for training."""
    rng = np.random.default_rng(0)
    io.begin(folder / "images", io.Made("corpus", {}))
    pixels, labels = rng.integers(0, 256, (60_000, 28, 28), np.uint8), rng.integers(0, num_classes, 60_000, np.uint8)
    write_images(folder / "images", pixels, labels, num_classes)
    return ImageSource(folder / "images")


def write_set(folder: Path, num_pdfs: int, num_utterances: int = 300, frames: int = 300, dim: int = 40) -> FrameSource:
    """Random features and labels."""
    rng = np.random.default_rng(0)
    io.begin(folder / "feats", io.Made("features", {}))
    io.begin(folder / "ali", io.Made("align", {}))
    features, alignment = FrameTableWriter(folder / "feats"), FrameTableWriter(folder / "ali")
    for number in range(num_utterances):
        features.add(f"u{number}", "s", rng.normal(size=(frames, dim)).astype(np.float16))
        alignment.add(f"u{number}", "s", rng.integers(0, num_pdfs, frames).astype(np.int32))
    features.close()
    alignment.close()
    io.save_array(folder / "ali" / "transition_pdfs.npy", np.arange(num_pdfs, dtype=np.int32))
    io.finish(folder / "feats", dim=dim)
    io.finish(folder / "ali", num_pdfs=num_pdfs, topology="", silence_pdfs=[])
    return FrameSource(folder / "feats", folder / "ali")


def products(net: DnnOptions, inputs: int, outputs: int, batch: int) -> Callable[[], None]:
    """The matrix products of one step: each layer's output, weight gradient and input gradient (not the first's)."""
    widths = [inputs, *[net.width] * net.layers, outputs]
    shapes, dtype = list(itertools.pairwise(widths)), compute_dtype("auto", torch.device("cpu"))
    x = [torch.randn(batch, width).to(dtype) for width, _ in shapes]
    w = [torch.randn(width, into).to(dtype) for into, width in shapes]
    g = [torch.randn(batch, width).to(dtype) for _, width in shapes]

    def step() -> None:
        for layer in range(len(shapes)):
            x[layer] @ w[layer].t()
        for layer in reversed(range(len(shapes))):
            g[layer].t() @ x[layer]
            if layer:
                g[layer] @ w[layer]

    return step


class RandomTargets:
    """Soft targets that cost nothing to fetch."""

    def __init__(self, rows: int, num_classes: int, temperature: float) -> None:
        self.temperature, self.rows = temperature, torch.rand(rows, num_classes).softmax(1)

    def batch(self, index: Tensor, inputs: Tensor | None = None) -> Tensor:
        """The first rows, (B, S)."""
        return self.rows[: len(index)]


def seconds(step: Callable[[], object], steps: int) -> float:
    """Seconds a step: processor time with one thread, which a busy machine hardly disturbs; else wall time."""
    clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
    began = clock()
    for _ in range(steps):
        step()
    return (clock() - began) / steps


def measure(name: str, batch: int | None, dropout: float | None, rounds: int) -> dict[str, float | str]:
    """Frames, or images, a second of a net's training and of its products alone; None takes the net's own setting."""
    net = NETS[name]
    dnn, options, soft = net.settings.section("dnn"), net.settings.section(net.section), net.section == "student"
    own = {"batch_size": batch, "dropout": dropout}
    options = replace(options, **{key: value for key, value in own.items() if value is not None})
    options = replace(
        options, epochs=100, device="cpu", learning_rate=0.01
    )  # random labels: no lesson, but no divergence
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write: Callable[[Path, int], Source] = write_images_set if "mnist" in name else write_set
        examples = write(folder, net.classes).open()
        model = models.build("dnn", dnn, examples.input_shape, net.classes)
        model.set_normalisation(*examples.statistics())
        targets = RandomTargets(options.batch_size, net.classes if soft else 1, 2.0)
        objective: Objective = Distillation(targets, DistillOptions(2.0)) if soft else hard_labels
        trainer = Trainer(folder / "model", model, examples, None, objective, options)
        alone = products(dnn, torch.Size(examples.input_shape).numel(), net.classes, options.batch_size)
        for step in (trainer.train_step, alone):
            seconds(step, 2)
        pairs = [(seconds(trainer.train_step, net.steps), seconds(alone, net.steps)) for _ in range(rounds)]
    ours, bound = (min(column) for column in zip(*pairs, strict=True))
    switched = {key: getattr(options, key) for key in ("dropout", "input_dropout", "jitter", "max_norm")}
    return {
        "net": name,
        "batch": options.batch_size,
        **{key: value for key, value in switched.items() if value},
        "targets": "soft" if soft else "hard",
        "frames/s": options.batch_size / ours,
        "bound": options.batch_size / bound,
        "share": bound / ours,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--net", choices=NETS, action="append", help="repeatable; default: all")
    parser.add_argument("--batch", type=int, action="append", help="in place of the net's own; repeatable")
    parser.add_argument("--dropout", type=float, action="append", help="in place of the net's own; repeatable")
    parser.add_argument("--rounds", type=int, default=100, help="default: 100; of the paper's net 6 at most")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    for name in arguments.net or NETS:
        rounds = min(arguments.rounds, 6) if name == "paper" else arguments.rounds
        for batch, dropout in itertools.product(arguments.batch or [None], arguments.dropout or [None]):
            row = measure(name, batch, dropout, rounds)
            rounded = {key: round(value, 3) if isinstance(value, float) else value for key, value in row.items()}
            print(json.dumps(rounded), flush=True)


if __name__ == "__main__":
    main()
