"""Stores the mean of several nets' predictions of the training cuts, utterance by utterance."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click
import torch
from data import load_cuts, load_pieces, names
from lhotse import CutSet
from options import Settings, run, settings
from torch import Tensor
from train import SHIFT, load_net, plain_batches

from kdasr import io
from kdasr.distill.writer import write_soft_targets


@torch.no_grad()
def predictions(models: tuple[Path, ...], cuts: CutSet) -> Iterator[tuple[str, Tensor]]:
    """Id and logits (K, T, S) of every cut."""
    nets = [load_net(model) for model in models]
    for batch in plain_batches(cuts):
        spoken = batch["supervisions"]
        found = [net(batch["inputs"], spoken["num_frames"]) for net in nets]
        logits, lengths = torch.stack([logits for logits, _ in found], 1), found[0][1].tolist()
        for cut, each, length in zip(spoken["cut"], logits, lengths, strict=True):
            yield cut.id, each[:, :length]


@click.command()
@settings
@click.option("--model", "models", type=Path, multiple=True, required=True, help="The teachers; repeatable.")
@click.argument("out", type=Path)
def main(out: Path, data: Path, models: tuple[Path, ...], conf: str, changes: tuple[str, ...], overwrite: bool) -> None:
    """Write soft targets of the training cuts into OUT."""
    chosen = Settings(conf, changes)
    write_soft_targets(
        out,
        predictions(models, load_cuts(data, "train")),
        names(load_pieces(data)),
        SHIFT,
        chosen.distill,
        chosen.store,
        teachers={model.name: io.fingerprint(model) for model in models},
        inputs={"data": io.fingerprint(data)},
        overwrite=overwrite,
    )


if __name__ == "__main__":
    run(main)
