"""What can be set: sections of `conf/default.yaml`, over the values here, under `--set train.epochs=20`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from kdasr import config
from kdasr.distill.loss import DistillOptions
from kdasr.distill.store import StoreOptions
from kdasr.refusal import Refusal


@dataclass(frozen=True)
class DataOptions:
    """Bins of the filterbanks; word pieces, blank included."""

    bins: int = 80
    pieces: int = 100


@dataclass(frozen=True)
class NetOptions:
    """Channels; frames between the taps of each block's convolution; dropout of each block."""

    width: int = 192
    dilations: tuple[int, ...] = (1, 2, 1, 2, 1, 2)
    dropout: float = 0.2


@dataclass(frozen=True)
class TrainOptions:
    """Epochs, of the net that others start from and of those; seconds of speech a batch; the largest learning rate.

    It is reached after a fifth of the steps.
    """

    start_epochs: int = 30
    epochs: int = 60
    max_duration: float = 100.0
    learning_rate: float = 2e-3


@dataclass(frozen=True)
class DecodeOptions:
    """Scales of the language model, tried on dev; k2's beams, and the states that it keeps at least and at most."""

    lm_scales: tuple[float, ...] = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0, 1.2)
    search_beam: float = 20.0
    output_beam: float = 8.0
    min_active: int = 30
    max_active: int = 10_000


@dataclass(frozen=True)
class StoredOptions(DistillOptions):
    """kdasr's own, without those of teachers that it asks as training goes: soft targets are stored here."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.teachers_per_batch or self.start != "random":
            raise ValueError("teachers_per_batch and start are of teachers on the fly; soft targets are stored here")


SECTIONS: dict[str, type] = {
    "data": DataOptions,
    "net": NetOptions,
    "train": TrainOptions,
    "distill": StoredOptions,
    "store": StoreOptions,
    "decode": DecodeOptions,
}


class Settings:
    """The sections of a file, with changes."""

    def __init__(self, conf: str, changes: tuple[str, ...]) -> None:
        self.conf, self.changes = conf, changes

    def __getattr__(self, section: str) -> Any:
        return config.resolve(SECTIONS[section], section, self.conf, self.changes, SECTIONS)


def settings(command: Callable) -> Callable:
    """Adds `--conf`, `--set` and `--overwrite`."""
    for option in (
        click.option("--overwrite", is_flag=True, help="Make the output again if something else made it."),
        click.option("--set", "changes", multiple=True, metavar="SECTION.NAME=VALUE", help="One setting; repeatable."),
        click.option("--conf", default="conf/default.yaml", show_default=True, help="YAML file of settings."),
        click.option("--data", type=Path, required=True, help="Folder of data.py."),
    ):
        command = option(command)
    return command


def run(command: Callable) -> None:
    """Runs a script's command; a refusal is one line and exit status 1."""
    try:
        command()
    except Refusal as refusal:
        sys.exit(f"{Path(sys.argv[0]).name}: {refusal}")
