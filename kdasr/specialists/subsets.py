"""A folder of subsets: found in a generalist's predictions on a transfer set, whose labels are not looked at."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from kdasr import io, jobs, log
from kdasr.data.examples import Source
from kdasr.distill.ensemble import VERBS, Ensemble
from kdasr.refusal import Refusal
from kdasr.specialists.confusion import Confusion, SubsetOptions, cluster
from kdasr.specialists.dustbin import expect_subset
from kdasr.train.accuracy import BATCH

VERB = "subsets"
SUBSETS, MATRIX = "subsets.json", "confusion.npy"


@dataclass(frozen=True)
class SubsetsJob:
    """Subsets to find."""

    folder: Path
    source: Source
    generalist: Path
    subsets: SubsetOptions
    overwrite: bool = False

    @property
    def made(self) -> io.Made:
        """What makes the folder."""
        inputs = {**self.source.fingerprints(), "generalist": io.fingerprint(self.generalist, *VERBS)}
        return io.Made(VERB, {"subsets": self.subsets, self.source.section: self.source.options}, inputs)


def make_subsets(job: SubsetsJob) -> dict[str, Any]:
    """Finds subsets and writes them, unless they are there; returns the folder's info.

    Raises:
        Refusal: the generalist is of another labelling than the set, its predictions are not numbers, or there are no
            such subsets.
    """
    if io.begin(job.folder, job.made, job.overwrite):
        generalist, examples = Ensemble.load(job.generalist, device="auto"), job.source.open()
        generalist.expect(examples)
        confusion = Confusion(examples.num_classes, job.subsets)
        pool = examples.pool(job.subsets.fraction, job.subsets.seed)

        def predictions(some: Tensor) -> Tensor:
            return generalist.probabilities(examples.batch(some.long())[0], job.subsets.temperature)

        for p in jobs.in_threads(predictions, log.progress(pool.split(BATCH), str(job.folder))):
            confusion.add(p)
        found, names = cluster(confusion.columns(), job.subsets), examples.class_names()
        listed = [{"classes": some, "names": [names[number] for number in some]} for some in found.subsets]
        io.write_json(job.folder / SUBSETS, {"subsets": listed, "order": found.order, "names": names})
        if confusion.basis is None:
            io.save_array(job.folder / MATRIX, confusion.matrix().numpy().astype(np.float32))
        covered = torch.tensor([number for some in found.subsets for number in some]).bincount(minlength=len(names))
        io.finish(
            job.folder,
            num_pdfs=examples.num_classes,
            labelling=examples.labelling,
            num_examples=len(pool),
            sizes=[len(some) for some in found.subsets],
            covered=int((covered > 0).sum()),
            subsets_per_class=float(covered.double().mean()),
        )
    return io.read_info(job.folder)


def read_subsets(folder: Path, generalist: Path) -> list[tuple[int, ...]]:
    """The subsets of a folder, each as its classes, nearest to the centroid first.

    Raises:
        Refusal: they were found in another generalist's predictions, or are no subsets.
    """
    info = io.read_info(folder, VERB)
    do = "name the generalist that they were found with, or find them anew"
    io.expect_same(
        "the subsets' generalist", io.fingerprint(generalist, *VERBS), info["inputs"]["generalist"], folder, do
    )
    content = io.read_json(folder / SUBSETS)
    listed = content.get("subsets") if isinstance(content, dict) else None
    if not isinstance(listed, list) or not all(isinstance(one, dict) and "classes" in one for one in listed):
        raise Refusal("damaged subsets", where=folder / SUBSETS, expected="a list of subsets", do=io.AGAIN)
    for number, one in enumerate(listed):
        expect_subset(one["classes"], info["num_pdfs"], f"{folder}, subset {number}")
    return [tuple(one["classes"]) for one in listed]


def listing(folder: Path, most: int) -> str:
    """The subsets by their classes' names, a line each.

    Args:
        folder: of subsets.
        most: names of a subset; 0 for all.
    """
    info, content = io.read_info(folder, VERB), io.read_json(folder / SUBSETS)
    lines = [
        f"{len(content['subsets'])} subsets, {info['covered']} of {info['num_pdfs']} classes in one or more, "
        f"{info['subsets_per_class']:.2f} subsets a class"
    ]
    for number, one in enumerate(content["subsets"]):
        names = one["names"][: most or None]
        rest = len(one["names"]) - len(names)
        lines.append(f"{number} ({len(one['names'])}): {' '.join(names)}" + (f" and {rest} more" if rest else ""))
    return "\n".join(lines)


def ordered(folder: Path) -> tuple[np.ndarray, list[str]]:
    """The confusion matrix, (S, S) float32, rows and columns cluster by cluster, and the classes' names so.

    Raises:
        Refusal: only a sketch of it was kept.
    """
    io.read_info(folder, VERB)
    if not (folder / MATRIX).exists():
        do = "find them with subsets.limit at the number of classes or above"
        raise Refusal("there is no matrix to draw, a sketch alone", where=folder, do=do)
    content = io.read_json(folder / SUBSETS)
    order = content["order"]
    return io.map_array(folder / MATRIX)[np.ix_(order, order)], [content["names"][number] for number in order]
