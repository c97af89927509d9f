"""Image examples (section 3): one example is one image; those of left-out classes are no training examples."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from kdasr import io
from kdasr.data.examples import Examples
from kdasr.data.table import Utterance
from kdasr.refusal import Refusal

IMAGES, LABELS = "images.npy", "labels.npy"
PART = 1000  # images that lie together in a stored column


@dataclass(frozen=True)
class ImageOptions:
    """Which images a model is trained on; scoring takes all."""

    classes: tuple[
        int, ...
    ] = ()  # of the transfer set; none named: all (section 3 leaves out the 3s, then all but 7, 8)


def write_images(folder: str | Path, images: np.ndarray, labels: np.ndarray, num_classes: int) -> dict[str, Any]:
    """Writes a set of images into a begun folder and finishes it.

    Args:
        folder: opened by `io.begin`.
        images: (N, height, width) uint8, 0 is the background.
        labels: (N,) uint8.
        num_classes: labels lie below it.

    Returns:
        The folder's info.
    """
    io.save_array(Path(folder) / IMAGES, images)
    io.save_array(Path(folder) / LABELS, labels)
    counts = np.bincount(labels, minlength=num_classes).tolist()
    return io.finish(folder, num_images=len(images), num_classes=num_classes, class_counts=counts)


class ImageExamples(Examples):
    """The images of a folder, pixels from 0 (background) to 1.

    Args:
        folder: made by `write_images` and finished.
        options: classes to train on.

    Raises:
        Refusal: the folder is unfinished or damaged, or a class to train on is none of the set's.
    """

    identity = ("num_pdfs", "images")
    movable = True

    def __init__(self, folder: str | Path, options: ImageOptions | None = None) -> None:
        self.folder, self.options = Path(folder), options or ImageOptions()
        info = io.read_info(self.folder, "corpus")
        self.fingerprint = str(info["fingerprint"])
        self.labelled = {"images": self.fingerprint}
        self.num_classes = int(info["num_classes"])
        self.labelling = f"{self.num_classes} classes"
        self._images, labels = (io.map_array(self.folder / name) for name in (IMAGES, LABELS))
        if not len(self._images) == len(labels) == info["num_images"]:
            found = f"{len(self._images)} images, {len(labels)} labels"
            raise Refusal("images are missing", where=folder, expected=info["num_images"], found=found, do=io.AGAIN)
        self._labels = torch.from_numpy(np.array(labels)).long()
        self.input_shape = tuple(self._images.shape[1:])
        begins = range(0, len(labels), PART)
        self.parts = [Utterance(f"{begin:06d}", "", begin, min(PART, len(labels) - begin)) for begin in begins]
        for number in self.options.classes:
            if not 0 <= number < self.num_classes:
                expected = f"0 to {self.num_classes - 1}"
                raise Refusal("no such class", where="images.classes", expected=expected, found=number)

    @cached_property
    def _pixels(self) -> Tensor:
        return torch.from_numpy(np.array(self._images))

    def batch(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """Images (B, height, width) float32 and classes (B,) int64 of the examples `index` (B,) int64."""
        return self._pixels.index_select(0, index).float().div_(255), self._labels.index_select(0, index)

    def labels(self) -> Tensor:
        """The class of every image, (N,) int64."""
        return self._labels

    def statistics(self) -> tuple[Tensor, Tensor]:
        """Mean 0, so that the background stays 0 where pixels are dropped or moved, and the deviation of all pixels."""
        deviation = float(np.std(self._images, dtype=np.float64)) / 255
        return torch.zeros(self.input_shape), torch.full(self.input_shape, max(deviation, 1e-3))

    def facts(self) -> dict[str, Any]:
        """Classes, labelling and fingerprint."""
        return {"num_pdfs": self.num_classes, "topology": self.labelling, "images": self.fingerprint}

    def pool(self, fraction: float, seed: int) -> Tensor:
        """Numbers of the images to train on: those of the options' classes, of them a random part."""
        drawn = super().pool(fraction, seed)
        if not self.options.classes:
            return drawn
        return drawn[torch.isin(self._labels.index_select(0, drawn), torch.tensor(self.options.classes))]


@dataclass(frozen=True)
class ImageSource:
    """Where a set's images come from; travels to worker processes and opens there."""

    images: Path
    options: ImageOptions = ImageOptions()
    section: ClassVar[str] = "images"

    def open(self) -> ImageExamples:
        """The examples."""
        return ImageExamples(self.images, self.options)

    def fingerprints(self) -> dict[str, str]:
        """Name of the input -> its content hash."""
        return {"images": io.fingerprint(self.images, "corpus")}
