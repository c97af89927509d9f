"""Checkpoints: all that a run needs to go on bit for bit, in one safetensors file with JSON inside."""

from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from kdasr import io
from kdasr.differences import first_difference
from kdasr.refusal import Refusal

NAME = "checkpoint.safetensors"
FORMAT = 2  # of the state; another number for every change that an older reader or checkpoint does not fit


def save(path: str | Path, tensors: Mapping[str, Mapping[str, Tensor]], state: Mapping[str, Any]) -> None:
    """Writes a checkpoint atomically.

    Args:
        path: the file.
        tensors: group (weights, optimiser, ...) -> name -> tensor.
        state: JSON types.
    """
    flat = {f"{group}/{name}": tensor.clone() for group, named in tensors.items() for name, tensor in named.items()}
    flat.update({f"generators/{name}": tensor for name, tensor in _torch_generators().items()})
    own = {"format": FORMAT, "python": random.getstate(), "numpy": _numpy_generator()}
    io.save_tensors(path, flat, {**state, **own})


def load(path: str | Path) -> tuple[dict[str, dict[str, Tensor]], dict[str, Any]]:
    """Reads what `save` wrote and sets the generators of torch, numpy and Python.

    Raises:
        Refusal: the file is absent, damaged, no checkpoint, or one that another version of kdasr left.
    """
    flat, state = io.load_tensors(path)
    if not isinstance(state, dict) or "python" not in state:
        raise Refusal("not a checkpoint of kdasr", where=path, do="delete it to train anew")
    if state.get("format", 1) != FORMAT:
        raise Refusal(
            "a checkpoint of another version of kdasr",
            where=path,
            expected=f"format {FORMAT}",
            found=f"format {state.get('format', 1)}",
            do="delete it to train anew, or go on with the version that wrote it",
        )
    tensors: dict[str, dict[str, Tensor]] = {}
    for key, tensor in flat.items():
        group, _, name = key.partition("/")
        tensors.setdefault(group, {})[name] = tensor
    _set_generators(tensors.pop("generators"), state)
    return tensors, state


def restore(tensors: Mapping[str, Tensor], into: Mapping[str, Tensor], where: str | Path) -> None:
    """Copies saved tensors into those in use; refuses names or shapes of another architecture."""
    saved, own = ({name: list(tensor.shape) for name, tensor in side.items()} for side in (tensors, into))
    difference = first_difference(saved, own)
    if difference:
        name, found, expected = difference
        raise Refusal(
            f"a checkpoint of another architecture: shape of {name} differs",
            where=where,
            expected=expected,
            found=found,
        )
    with torch.no_grad():
        for name, tensor in into.items():
            tensor.copy_(tensors[name])


def seed_everything(seed: int) -> None:
    """Seeds the generators of torch (all devices), numpy and Python."""
    torch.manual_seed(seed)
    np.random.seed(seed % 2**32)
    random.seed(seed)


def _torch_generators() -> dict[str, Tensor]:
    states = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        states.update({f"cuda:{number}": state for number, state in enumerate(torch.cuda.get_rng_state_all())})
    return states


def _numpy_generator() -> list[Any]:
    name, keys, *rest = np.random.get_state(legacy=True)
    return [name, np.asarray(keys).tolist(), *rest]


def _set_generators(states: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
    torch.set_rng_state(states["cpu"])
    cuda = [
        states[name]
        for name in sorted(states, key=lambda name: int(name[5:] or -1) if name != "cpu" else -1)
        if name != "cpu"
    ]
    if cuda and torch.cuda.is_available():
        torch.cuda.set_rng_state_all(cuda[: torch.cuda.device_count()])
    name, keys, *rest = state["numpy"]
    np.random.set_state((name, np.array(keys, dtype=np.uint32), *rest))
    version, words, gauss = state["python"]
    random.setstate((version, tuple(words), gauss))
