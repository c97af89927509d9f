"""What reading training batches costs: `python benchmarks/loading.py`.

Frames a second of batches of 26 x 40 numbers in random order (sampler, windows, labels, float32), from memory and from
the files that the table is memory-mapped from; and what an example takes: bytes on disk, bytes in memory of the sampler
and the labels, seconds of a permutation. One thread; processor time, so that a busy machine hardly disturbs it.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import torch
from training import seconds, write_set  # beside this file

from kdasr.data.frames import FrameExamples, FrameOptions, FrameSource

STATES = 14_000  # the paper's, section 4


def reading(source: FrameSource, memory: float, batch: int, rounds: int) -> float:
    """Frames a second; `memory`, GiB, holds the table or does not."""
    examples = replace(source, options=FrameOptions(memory=memory)).open()
    sampler = examples.sampler(examples.pool(1.0, 0), batch, 0)

    def step() -> object:
        return examples.batch(sampler.next())

    seconds(step, 2)  # the table, and the first permutation
    return batch / min(seconds(step, 4) for _ in range(rounds))


def bytes_in_memory(examples: FrameExamples) -> float:
    """Of an example, beside features: its label, and its two numbers in the sampler."""
    sampler = examples.sampler(examples.pool(1.0, 0), 1024, 0)
    sampler.next()
    held = (examples.labels(), sampler.pool, sampler._order[1])
    return sum(column.numel() * column.element_size() for column in held) / len(examples)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hours", type=float, default=10.0, help="of speech, 100 frames a second; default: 10")
    parser.add_argument("--batch", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=50)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        source = write_set(folder, STATES, max(1, round(arguments.hours * 360_000 / 1000)), 1000)
        examples = source.open()
        assert isinstance(examples, FrameExamples)
        stored = {name: sum(file.stat().st_size for file in (folder / name).iterdir()) for name in ("feats", "ali")}
        began = time.process_time()
        examples.sampler(examples.pool(1.0, 0), 1, 0).next()
        order = time.process_time() - began
        row = {
            "frames": len(examples),
            "frames/s from memory": round(reading(source, 1e6, arguments.batch, arguments.rounds)),
            "frames/s from files": round(reading(source, 0.0, arguments.batch, arguments.rounds)),
            "bytes on disk": {name: round(size / len(examples), 2) for name, size in stored.items()},
            "bytes in memory": round(bytes_in_memory(examples), 2),
            "seconds a million of a permutation": round(1e6 * order / len(examples), 4),
        }
    print(json.dumps(row))


if __name__ == "__main__":
    main()
