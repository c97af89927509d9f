"""Panels side by side in one picture."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from kdasr import io


def panels(
    path: str | Path,
    keys: Sequence[Any],
    panel: Callable[[Any, Any], None],
    width: float = 4.5,
    height: float = 3.5,
) -> bool:
    """Draws a panel for each key, `panel(axes, key)`, side by side into a PNG, atomically; True. Inches."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width * len(keys), height), layout="constrained")
    for axes, key in zip(figure.subplots(1, len(keys), squeeze=False)[0], keys, strict=True):
        panel(axes, key)
        axes.grid(alpha=0.3)
    with io.atomic(path) as part_path:
        figure.savefig(part_path, format="png", dpi=120, metadata={"Software": None})  # no version: the same bytes
    return True
