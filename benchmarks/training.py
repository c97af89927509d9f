"""Frames per second of training against the same matrix products alone: `python benchmarks/training.py`.

Prints, for the AN4 net (4 x 512) and the paper's (8 x 2560 over 14,000 states, section 4), how much of the bound that
the products set is met, in bf16 where the processor has it, else in float32. Short rounds of both alternate and the
best of each counts, since other programs share the machine.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from kdasr import io, models
from kdasr.data.frames import FrameSource
from kdasr.data.table import FrameTableWriter
from kdasr.distill.loss import DistillOptions
from kdasr.distill.soft_targets import Distillation
from kdasr.models.dnn import DnnOptions
from kdasr.train.loop import Objective, Trainer, TrainOptions, hard_labels
from kdasr.train.precision import compute_dtype

NETS = {
    "an4": (DnnOptions(4, 512), 109, 4),
    "paper": (DnnOptions(8, 2560), 14_000, 1),
}  # net, states, steps a round


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


def measure(name: str, batch: int, dropout: float, soft: bool, rounds: int) -> dict[str, float | str]:
    net, states, steps = NETS[name]
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        source = write_set(folder, states)
        examples = source.open()
        model = models.build("dnn", net, examples.input_shape, states)
        model.set_normalisation(*examples.statistics())
        options = TrainOptions(epochs=100, batch_size=batch, dropout=dropout, device="cpu", learning_rate=0.01)
        targets = RandomTargets(batch, states if soft else 1, 2.0)
        objective: Objective = Distillation(targets, DistillOptions(2.0)) if soft else hard_labels
        trainer = Trainer(folder / "model", model, examples, None, objective, options)
        alone = products(net, torch.Size(examples.input_shape).numel(), states, batch)
        for step in (trainer._train_step, alone):
            seconds(step, 2)
        pairs = [(seconds(trainer._train_step, steps), seconds(alone, steps)) for _ in range(rounds)]
    ours, bound = (min(column) for column in zip(*pairs, strict=True))
    return {
        "net": name,
        "batch": batch,
        "dropout": dropout,
        "targets": "soft" if soft else "hard",
        "frames/s": batch / ours,
        "bound": batch / bound,
        "share": bound / ours,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--net", choices=NETS, action="append")
    parser.add_argument("--batch", type=int, action="append")
    parser.add_argument("--dropout", type=float, action="append")
    parser.add_argument("--soft", action="store_true", help="distillation instead of hard labels")
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    for net in arguments.net or NETS:
        for batch in arguments.batch or [512]:
            for dropout in arguments.dropout or [0.0, 0.2]:
                row = measure(
                    net,
                    batch,
                    dropout,
                    arguments.soft,
                    arguments.rounds if net == "an4" else min(arguments.rounds, 6),
                )
                print(
                    json.dumps(
                        {key: round(value, 3) if isinstance(value, float) else value for key, value in row.items()}
                    )
                )
                sys.stdout.flush()


if __name__ == "__main__":
    main()
