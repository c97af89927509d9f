"""How fast joint inference is, network passes left out: `python benchmarks/specialists.py`.

Random predictions of a generalist and of specialists of overlapping subsets; each example's top class decides who is
active, and subsets are drawn so that there are three or more on average. Timed from probabilities to log q, two threads
with examples of their own as when a set is scored. A loop over single examples in numpy, of expectation and
maximisation until nothing moves, gives the same q; prints the largest difference, and the speed of both.
"""

from __future__ import annotations

import argparse
import json
import time

import numpy as np
import torch
from torch import Tensor

from kdasr import jobs
from kdasr.specialists.infer import Collected, Cover, Evidence, InferOptions, joint

SAME = 1e-4  # of q: largest difference from the loop's


def subsets(states: int, number: int, size: int, generator: torch.Generator) -> list[list[int]]:
    """Random subsets of the states."""
    return [torch.randperm(states, generator=generator)[:size].sort().values.tolist() for _ in range(number)]


def predictions(rows: int, classes: int, sharp: float, generator: torch.Generator) -> Tensor:
    return (torch.randn(rows, classes, generator=generator) * sharp).softmax(1)


def collect(p: Tensor, each: list[Tensor], some: list[Tensor], active: Tensor) -> Evidence:
    collected = Collected(p, len(each))
    for number, values in enumerate(each):
        rows = active[:, number].nonzero().flatten()
        collected.add(number, some[number], rows, values[rows])
    return collected.evidence()


def reference(p: np.ndarray, active: list[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """The q of one example, (S,) float64: each dustbin's mass is shared out as q is, until q stays.

    Args:
        p: the generalist's, (S,).
        active: S^m and p^m, the dustbin last, of each active specialist.
    """
    single = p.astype(np.float64)
    outsides = []
    for classes, values in active:
        single[classes] += values[:-1]
        outside = np.ones(len(p), bool)
        outside[classes] = False
        outsides.append((outside, float(values[-1])))
    total = single.sum() + sum(mass for _, mass in outsides)
    q = single / single.sum()
    for _ in range(100_000):
        shared = single.copy()
        for outside, mass in outsides:
            shared[outside] += mass * q[outside] / q[outside].sum()
        moved, q = np.abs(shared / total - q).max(), shared / total
        if moved < 1e-9:
            break
    return q


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--states", type=int, default=1000)
    parser.add_argument("--specialists", type=int, default=10)
    parser.add_argument("--size", type=int, default=320, help="classes of a subset")
    parser.add_argument("--frames", type=int, default=16384)
    parser.add_argument("--sharp", type=float, default=5.0, help="standard deviation of the logits")
    parser.add_argument("--compared", type=int, default=100, help="frames of the loop")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    generator = torch.Generator().manual_seed(0)
    chosen = subsets(arguments.states, arguments.specialists, arguments.size, generator)
    cover, some = Cover(chosen, arguments.states), [torch.tensor(classes) for classes in chosen]
    p = predictions(arguments.frames, arguments.states, arguments.sharp, generator)
    each = [predictions(arguments.frames, len(classes) + 1, arguments.sharp, generator) for classes in chosen]
    active = cover.active(p.log(), 1)

    def infer(rows: Tensor) -> Tensor:
        return joint(collect(p[rows], [values[rows] for values in each], some, active[rows]), cover, InferOptions())

    batches, best, busy = torch.arange(arguments.frames).split(2048), np.inf, np.inf
    for _ in range(arguments.rounds):
        began, busy_before = time.perf_counter(), time.process_time()
        found = torch.cat(list(jobs.in_threads(infer, batches)))
        best = min(best, time.perf_counter() - began)
        busy = min(busy, time.process_time() - busy_before)  # where other programs keep the cores from it
    rows = range(min(arguments.compared, arguments.frames))
    asked = [
        (p[row].numpy(), [(some[m].numpy(), each[m][row].numpy()) for m in active[row].nonzero().flatten().tolist()])
        for row in rows
    ]
    began = time.perf_counter()
    expected = np.stack([reference(*one) for one in asked])
    loop = len(asked) / (time.perf_counter() - began)
    difference = float(np.abs(found[: len(rows)].exp().numpy() - expected).max())
    row = {
        "states": arguments.states,
        "specialists": arguments.specialists,
        "active": round(float(active.sum(1).float().mean()), 2),
        "frames/s": round(arguments.frames / best),
        "frames/s of processor time": round(arguments.threads * arguments.frames / busy),
        "loop frames/s": round(loop),
        "difference": float(f"{difference:.2g}"),
    }
    print(json.dumps(row))
    if difference > SAME:
        raise SystemExit(f"q differs from the loop's by {difference:g}")


if __name__ == "__main__":
    main()
