"""What storing soft targets costs, in bytes and time: `python benchmarks/soft_targets.py`.

Teachers and student are nets as egs/mini_librispeech sets them, with random weights and data; a scale of the teachers'
logits makes them as sure as trained ones. Prints the size of what is stored at several temperatures, how fast it is
written beside the teachers' forward pass alone, and how much of a student's training step reading and the loss take,
stored sparse and stored dense, beside the loss on hard labels alone. Short rounds of what is compared alternate and the
best of each counts.
"""

from __future__ import annotations

import argparse
import itertools
import json
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from training import EGS, seconds, write_set

from kdasr import io, jobs, models
from kdasr.cli.options import Settings
from kdasr.data.examples import Examples
from kdasr.distill import inspection
from kdasr.distill.ensemble import Ensemble
from kdasr.distill.soft_targets import BATCH_NUMBERS, Distillation, LiveTargets, Maker, SoftTargets
from kdasr.distill.store import SAMPLED, TAILS, StoreOptions
from kdasr.train.loop import Trainer

SETTINGS = Settings(str(EGS / "mini_librispeech/conf/default.yaml"), ())


class DenseTargets:
    """Soft targets as float16 rows of a file, the format without a store."""

    def __init__(self, path: Path, rows: Tensor, temperature: float) -> None:
        io.save_array(path, rows.half().numpy())
        self.rows, self.temperature = io.map_array(path), temperature

    def batch(self, index: Tensor, inputs: Tensor | None = None) -> Tensor:
        """p_T, (B, S) float32."""
        stored = torch.from_numpy(self.rows[index.numpy()]).float()
        return stored / stored.sum(1, keepdim=True)


def build(examples: Examples, seed: int) -> models.Model:
    torch.manual_seed(seed)
    model = models.build("dnn", SETTINGS.section("dnn"), examples.input_shape, examples.num_classes)
    model.set_normalisation(*examples.statistics())
    return model


def teachers(examples: Examples, number: int, entropy: float) -> Ensemble:
    """Nets that differ a little, their logits scaled so that p of one at T = 1 has about that entropy, nats."""
    members = [build(examples, seed) for seed in range(number)]
    shared = members[0].state_dict()
    for member in members[1:]:
        own = member.state_dict()
        member.load_state_dict({name: shared[name] + 0.05 * (own[name] - shared[name]) for name in own})
    ensemble = Ensemble(members)
    x, _ = examples.batch(torch.arange(0, len(examples), max(1, len(examples) // 200)))
    while float(torch.special.entr(ensemble.members[0](x).softmax(1)).sum(1).mean()) > entropy:
        with torch.no_grad():
            for member in ensemble.members:
                member.linear[-1].weight *= 1.1
    return ensemble


def write(folder: Path, ensemble: Ensemble, examples: Examples, temperature: float, options: StoreOptions) -> Path:
    io.begin(folder, io.Made("soft-targets", {"temperature": temperature}))
    maker = Maker(folder, ensemble, examples, temperature, options)
    maker.finish(maker.write(range(maker.num_shards)))
    return folder


def sizes(folder: Path, ensemble: Ensemble, examples: Examples, options: StoreOptions) -> Iterator[dict[str, float]]:
    """What is stored at each temperature."""
    for temperature in (1.0, 2.0, 5.0):
        targets = SoftTargets(write(folder / f"{temperature:g}", ensemble, examples, temperature, options), examples)
        found = inspection.content(targets)
        if targets.store.options.tail == SAMPLED:
            stored, drawn = inspection.variance(targets, ensemble, examples)
            lost = {"variance of a drawn label's": stored / drawn if drawn else 0.0}
        else:
            lost = {"divergence": inspection.divergence(targets, ensemble, examples)[0]}
        yield {
            "T": temperature,
            "states kept": found.kept[0],
            "kept mass": found.mass[0],
            "entropy": found.entropy,
            **lost,
            "bytes a frame": found.size / found.frames,
            "share of dense": found.size / found.frames / (4 * examples.num_classes),
        }


def times(folder: Path, ensemble: Ensemble, examples: Examples, kept: StoreOptions, rounds: int) -> dict[str, float]:
    """Seconds: of all frames by the teachers and by writing, of a batch by the student's step and by its parts."""
    options = replace(SETTINGS.section("student"), epochs=1000, device="cpu", learning_rate=0.01, input_noise=0.0)
    distill, batch = SETTINGS.section("distill"), options.batch_size
    index = torch.arange(len(examples))
    maker = Maker(folder, ensemble, examples, distill.temperature, kept)
    pieces = index.split(max(64, BATCH_NUMBERS // examples.num_classes))

    def forward() -> None:
        for _ in jobs.in_threads(lambda some: ensemble.logits(examples.batch(some)[0]), pieces):
            pass

    def rewrite() -> None:
        for shard in folder.glob("shard-*"):
            shard.unlink()
        maker.write(range(maker.num_shards))

    stored = SoftTargets(write(folder / "stored", ensemble, examples, distill.temperature, kept), examples)
    live = LiveTargets(ensemble, distill.temperature, examples)
    rows = torch.cat([live.batch(some) for some in index.split(1024)])
    dense = DenseTargets(folder / "dense.npy", rows, distill.temperature)
    trainer = Trainer(folder / "student", build(examples, 99), examples, None, Distillation(stored, distill), options)
    batches = itertools.cycle(torch.randperm(len(examples)).split(batch)[:-1])
    drawn = next(batches)
    logits, labels = torch.randn(batch, examples.num_classes, requires_grad=True), examples.batch(drawn)[1]

    def loss(targets: SoftTargets | DenseTargets) -> Callable[[], object]:
        soft, inputs = targets.batch(drawn), torch.empty(0)

        class Fetched:
            temperature = distill.temperature

            def batch(self, index: Tensor, inputs: Tensor | None = None) -> object:
                return soft

        objective = Distillation(Fetched(), distill)  # type: ignore[arg-type]
        return lambda: torch.autograd.grad(objective(logits, labels, drawn, inputs), logits)

    steps: dict[str, Callable[[], object]] = {
        "teachers": forward,
        "writing": rewrite,
        "step": trainer.train_step,
        "read sparse": lambda: stored.batch(next(batches)),
        "loss sparse": loss(stored),
        "read dense": lambda: dense.batch(next(batches)),
        "loss dense": loss(dense),
        "loss hard": lambda: torch.autograd.grad(F.cross_entropy(logits, labels), logits),
    }
    best = dict.fromkeys(steps, np.inf)
    for number in range(rounds):
        for name, step in steps.items():
            of_all = name in ("teachers", "writing")
            if not of_all or number < max(3, rounds // 10):
                best[name] = min(best[name], seconds(step, 1 if of_all else 5))
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--states", type=int, default=1600)
    parser.add_argument("--teachers", type=int, default=5)
    parser.add_argument("--utterances", type=int, default=20, help="of 300 frames")
    parser.add_argument("--entropy", type=float, default=0.3, help="of a teacher's p at T = 1, nats")
    parser.add_argument("--keep", type=int, default=StoreOptions.keep, help="states of a frame")
    parser.add_argument("--tail", choices=TAILS, default=StoreOptions.tail, help="what becomes of the others")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        examples = write_set(folder, arguments.states, arguments.utterances).open()
        ensemble = teachers(examples, arguments.teachers, arguments.entropy)
        kept = StoreOptions(keep=arguments.keep, tail=arguments.tail)
        for row in sizes(folder / "sizes", ensemble, examples, kept):
            print(json.dumps({name: float(f"{value:.4g}") for name, value in row.items()}), flush=True)
        found = times(folder, ensemble, examples, kept, arguments.rounds)
    frames, step = len(examples), found["step"]
    written = {name: round(frames / found[name]) for name in ("teachers", "writing")}
    print(json.dumps({"frames/s": written, "share": round(found["teachers"] / found["writing"], 3)}))
    parts = {name: round(1000 * seconds, 3) for name, seconds in found.items() if name not in written}
    ways = ("sparse", "dense", "hard")
    shares = {way: round((found.get(f"read {way}", 0.0) + found[f"loss {way}"]) / step, 3) for way in ways}
    print(json.dumps({"ms a batch": parts, "share of the step": shares}))


if __name__ == "__main__":
    main()
