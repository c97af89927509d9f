"""A picture of what a generalist confuses, cluster by cluster."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kdasr.report.panels import panels

NAMED = 60  # classes at most whose names are written beside the picture


def draw_confusion(path: str | Path, matrix: np.ndarray, names: Sequence[str]) -> bool:
    """Draws a covariance or correlation matrix as a PNG, atomically; True.

    Args:
        path: the picture.
        matrix: (S, S), in the order of the clusters.
        names: of the classes, in that order.
    """
    others = np.abs(matrix - np.diag(np.diag(matrix)))
    reach = float(np.quantile(others, 0.999)) or 1.0  # a class's own variance would outshine what it shares

    def panel(axes: Any, _: None) -> None:
        axes.imshow(matrix, cmap="RdBu_r", vmin=-reach, vmax=reach, interpolation="nearest")
        axes.set_title("red: predicted together")
        if len(names) <= NAMED:
            places = range(len(names))
            axes.set_xticks(places, names, rotation=90, fontsize=5)
            axes.set_yticks(places, names, fontsize=5)

    return panels(path, [None], panel)
