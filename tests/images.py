"""Small images for tests: each class is a bright square in its own place, a little moved and noisy."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np

from kdasr import io
from kdasr.data.images import write_images


def pictures(count: int, seed: int, num_classes: int = 4, side: int = 8) -> tuple[np.ndarray, np.ndarray]:
    """Images (count, side, side) uint8 and their classes (count,) uint8, all classes as often."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(count) % num_classes).astype(np.uint8)
    images = rng.integers(0, 120, (count, side, side))
    for image, label in zip(images, labels, strict=True):
        down, right = np.divmod(label, 2) * np.array(side // 2) + rng.integers(0, 2, 2)
        image[down : down + 3, right : right + 3] += 100
    return images.clip(0, 255).astype(np.uint8), labels


def write_set(folder: Path, count: int, seed: int, num_classes: int = 4) -> Path:
    """A finished folder of images."""
    io.begin(folder, io.Made("corpus", {"seed": seed}))
    write_images(folder, *pictures(count, seed, num_classes), num_classes)
    return folder


def write_idx(path: Path, array: np.ndarray, magic: int | None = None, packed: bool = False) -> Path:
    """An idx file of unsigned bytes, raw or .gz; `magic` other than its own is a damage."""
    head = np.array([0x800 + array.ndim if magic is None else magic, *array.shape], ">u4").tobytes()
    content = head + array.astype(np.uint8).tobytes()
    path = path.with_name(f"{path.name}.gz") if packed else path
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(content) if packed else content)
    return path
