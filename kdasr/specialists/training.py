"""Specialists, a folder each: trained independently, from the generalist's weights."""

from __future__ import annotations

import copy
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from kdasr import io, jobs, models
from kdasr.data.examples import Examples, Source
from kdasr.distill.ensemble import VERBS, model_folders
from kdasr.distill.loss import DistillOptions
from kdasr.models import Model
from kdasr.refusal import Refusal
from kdasr.specialists.dustbin import (
    DUSTBIN,
    FULL,
    Balanced,
    Retained,
    SpecialistOptions,
    SpecialistSource,
    cut,
    expect_examples,
)
from kdasr.train import precision
from kdasr.train.job import fit, inputs, threads_each, trained
from kdasr.train.loss import Objective
from kdasr.train.together import ranks

VERB = "specialists"


def one_model(folder: str | Path) -> Path:
    """The folder of the one model that `folder` holds.

    Raises:
        Refusal: it holds several.
    """
    found = model_folders(folder)
    if len(found) > 1:
        do = f"name one of them, such as {found[0]}"
        raise Refusal("a generalist is one model", where=folder, expected=1, found=len(found), do=do)
    return found[0]


def specialist_folders(folder: Path) -> list[Path]:
    """The `specialist-<m>` folders in a folder, by m.

    Raises:
        Refusal: some subset has no specialist.
    """
    numbered = {int(path.name[11:]): path for path in folder.glob("*") if re.fullmatch(r"specialist-\d+", path.name)}
    folders = [numbered[number] for number in sorted(numbered)]
    wanted = max((io.read_info(path, VERB).get("of", 0) for path in folders), default=0)  # older ones do not tell
    if missing := [number for number in range(wanted) if number not in numbered]:
        found, do = f"no specialist-{missing[0]}", "train them too (kdasr specialists)"
        raise Refusal("specialists are missing", where=folder, expected=wanted, found=found, do=do)
    return folders


@dataclass(frozen=True)
class SpecialistJob:
    """One specialist to train; travels to a worker process."""

    folder: Path
    source: Source
    dev: Source | None
    generalist: Path
    subset: tuple[int, ...]
    specialist: SpecialistOptions
    distill: DistillOptions  # of the kind `full`
    subsets: str = ""  # content hash of all subsets
    of: int = 0  # how many these are
    threads: int = 0
    overwrite: bool = False

    def __post_init__(self) -> None:
        if self.specialist.folds:
            found = self.specialist.folds
            raise Refusal("a specialist leaves out no fold", where="specialist.folds", found=found, do="set it to 0")

    @property
    def made(self) -> io.Made:
        """What makes the folder."""
        options = {"specialist": self.specialist, "subset": self.subset, self.source.section: self.source.options}
        options |= {"distill": self.distill} if self.specialist.kind == FULL else {}
        named = {"generalist": io.fingerprint(self.generalist, *VERBS), "subsets": self.subsets}
        return io.Made(VERB, options, {**inputs(self.source, self.dev), **named})


def train_specialist(job: SpecialistJob) -> dict[str, Any]:
    """Trains one specialist into its folder, or goes on with it; returns its info.

    Raises:
        Refusal: the generalist and the examples do not belong together, or none of these are of the subset.
    """
    if left_out := io.read_info(job.generalist, *VERBS).get("left_out"):
        raise Refusal(
            "specialists learn of all speakers, and their generalist left some out",
            where=job.generalist,
            expected="a generalist of train.folds 0",
            found=f"one that left out fold {left_out['fold']} of {left_out['of']}",
            do="name another",
        )
    if ranks().from_first(lambda: io.begin(job.folder, job.made, job.overwrite)):
        options, kind = job.specialist, job.specialist.kind
        prior = io.load_tensors(job.generalist / "priors.safetensors")[0]["mean_posterior"]
        source = SpecialistSource(job.source, job.subset, kind, options.largest_epoch)
        dev = SpecialistSource(job.dev, job.subset, kind) if job.dev else None
        examples = source.open()
        generalist = trained(job.generalist)(examples)
        share = examples.share(examples.pool(options.fraction, options.seed))

        def build(examples: Examples) -> Model:
            return cut(generalist, job.subset, prior) if kind == DUSTBIN else copy.deepcopy(generalist)

        def objective(examples: Examples) -> Objective:
            others = torch.ones(examples.num_classes, dtype=torch.bool)
            others[torch.arange(len(job.subset)) if kind == DUSTBIN else list(job.subset)] = False
            if kind == DUSTBIN:
                return Balanced(others, share)
            device = precision.compute_device(options.device)
            teacher = models.cast(generalist.to(device), precision.compute_dtype(options.precision, device))
            return Retained(teacher.eval(), others, share, job.distill)

        facts = {"subset": job.subset, "kind": kind, "pi": share, "of": job.of, "subsets": job.subsets}
        facts["generalist"] = io.fingerprint(job.generalist, *VERBS)
        fit(job.folder, source, dev, options, build, objective, job.threads, **facts)
    return io.read_info(job.folder)


def train_specialists(job: SpecialistJob, subsets: dict[int, Sequence[int]], num_jobs: int) -> list[dict[str, Any]]:
    """Trains specialists side by side, each in `specialist-<m>` below the job's folder; those that are done stay.

    Args:
        job: the settings of all.
        subsets: m -> S^m, of those to train.
        num_jobs: processes at most.

    Returns:
        Their infos, in the order of the subsets.

    Raises:
        Refusal: no training example is of a subset, or all are; nothing is begun then.
    """
    examples = job.source.open()
    labels = examples.label_counts(examples.pool(job.specialist.fraction, job.specialist.seed))
    for number, subset in subsets.items():
        expect_examples(labels, subset, f"subset {number}")
    share = job.threads or threads_each(num_jobs, len(subsets))
    work = [
        replace(job, folder=job.folder / f"specialist-{number}", subset=tuple(subset), threads=share)
        for number, subset in subsets.items()
    ]
    return jobs.run(train_specialist, work, num_jobs if ranks().size == 1 else 1, share, "specialists")
