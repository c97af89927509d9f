"""One trained model, one folder: from examples to weights, priors and `info.json`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F

from kdasr import io, jobs, log, models
from kdasr.data.examples import Examples, Source
from kdasr.models import Model
from kdasr.models.dnn import DnnOptions
from kdasr.refusal import Refusal
from kdasr.train import checkpoint
from kdasr.train.accuracy import BATCH, evaluate, expect_numbers
from kdasr.train.loop import Trainer, TrainOptions
from kdasr.train.loss import Objective, hard_labels
from kdasr.train.together import ranks

TRAINED = ("train", "distill", "bias")  # verbs that make nets
PRIOR_FRAMES = 100_000  # examples at most that the mean posterior is taken over


@dataclass(frozen=True)
class TrainJob:
    """One model to train on hard labels; travels to a worker process."""

    folder: Path
    source: Source
    dev: Source | None
    train: TrainOptions
    dnn: DnnOptions
    threads: int = 0
    overwrite: bool = False
    start: Path | None = None  # a trained model to go on from, in place of a new net

    @property
    def made(self) -> io.Made:
        """What makes the folder."""
        options, found = initial_made(self.start, self.dnn)
        options |= {"train": self.train, self.source.section: self.source.options}
        return io.Made("train", options, {**inputs(self.source, self.dev), **found})


def inputs(source: Source, dev: Source | None) -> dict[str, str]:
    """Fingerprints of training and development set, by name."""
    held_out = {f"dev_{name}": value for name, value in dev.fingerprints().items()} if dev else {}
    return {**source.fingerprints(), **held_out}


def train_model(job: TrainJob) -> dict[str, Any]:
    """Trains one model into its folder, or goes on with it; returns its info."""
    _expect_unseen(job.start, job.train)
    if ranks().from_first(lambda: io.begin(job.folder, job.made, job.overwrite)):
        build = initial(job.start, job.dnn)
        fit(job.folder, job.source, job.dev, job.train, build, lambda examples: hard_labels, job.threads)
    return io.read_info(job.folder)


def _expect_unseen(start: Path | None, options: TrainOptions) -> None:
    """Refuses to go on from a model that has seen the fold which this one leaves out."""
    own = options.left_out
    if start is None or not own:
        return
    if (theirs := io.read_info(start, *TRAINED).get("left_out")) != own:
        raise Refusal(
            "the model to go on from was trained on the fold that this one leaves out",
            where=start,
            expected=f"one that left out fold {own['fold']} of {own['of']}",
            found=f"one that left out fold {theirs['fold']} of {theirs['of']}" if theirs else "one that left out none",
            do="name another",
        )


def initial_made(start: Path | None, dnn: DnnOptions) -> tuple[dict[str, Any], dict[str, str]]:
    """What a model's first weights hang on: options, and fingerprints of inputs."""
    return ({"dnn": dnn}, {}) if start is None else ({}, {"start": io.fingerprint(start, *TRAINED)})


def initial(start: Path | None, dnn: DnnOptions) -> Callable[[Examples], Model]:
    """Makes a model with its first weights: those of a trained one, or random ones."""
    return fresh(dnn) if start is None else trained(start)


def fresh(dnn: DnnOptions) -> Callable[[Examples], Model]:
    """Makes a net with random weights, which takes the examples' mean and deviation."""

    def build(examples: Examples) -> Model:
        model = models.build("dnn", dnn, examples.input_shape, examples.num_classes)
        model.set_normalisation(*examples.statistics())
        return model

    return build


def trained(folder: Path) -> Callable[[Examples], Model]:
    """Takes a trained net with its weights, mean and deviation, which learnt other examples of the same kind.

    Raises:
        Refusal: when called with examples of another kind.
    """

    def build(examples: Examples) -> Model:
        examples.expect_model(io.read_info(folder, *TRAINED), str(folder))
        return models.load(folder / "model.safetensors")

    return build


def fit(
    folder: Path,
    source: Source,
    dev: Source | None,
    options: TrainOptions,
    build: Callable[[Examples], Model],
    objective: Callable[[Examples], Objective],
    threads: int,
    **facts: Any,
) -> None:
    """Trains a model in a folder that has begun and finishes it; processes started by torchrun do so together.

    Args:
        folder: the model's.
        source: training set.
        dev: development set or None.
        options: how to train; its seed is the model's.
        build: makes the model, with its initial weights, for the opened training set.
        objective: makes the loss from the opened training set.
        threads: torch threads; 0 for all cores.
        facts: what else `info.json` shall say.
    """
    together = ranks()
    with torch_threads(options.threads or threads or max(1, jobs.cores() // together.local_size)):
        examples, held_out = source.open(), dev.open() if dev else None
        checkpoint.seed_everything(options.seed)
        model = build(examples)
        if not together.first:
            torch.manual_seed(together.seed(options.seed))  # on CUDA it decides on dropout
        trainer = Trainer(folder, model, examples, held_out, objective(examples), options)
        trainer.run()
        together.from_first(lambda: _finish(folder, trainer, held_out, facts))


def _finish(folder: Path, trainer: Trainer, dev: Examples | None, facts: dict[str, Any]) -> None:
    """Writes what is known of a trained model."""
    model, examples, options = trainer.model.cpu(), trainer.examples, trainer.options
    models.save(folder / "model.safetensors", model)
    io.save_tensors(folder / "priors.safetensors", priors(model, examples, trainer.pool))
    io.finish(
        folder,
        model=model.describe(),
        **examples.facts(),
        labelling=examples.labelling,
        seed=options.seed,
        num_examples=len(trainer.pool),
        steps=trainer.step,
        **({"left_out": options.left_out} if options.left_out else {}),
        dev=asdict(evaluate(model, dev)) if dev else None,
        **facts,
    )
    (folder / checkpoint.NAME).unlink(missing_ok=True)
    log.event(f"{folder}: finished")


def priors(model: Model, examples: Examples, pool: torch.Tensor) -> dict[str, torch.Tensor]:
    """What a decoder divides by: `counts` (S,) of the training labels, `mean_posterior` (S,) of the model."""
    sample = pool[:: -(-len(pool) // PRIOR_FRAMES)].long()
    total = torch.zeros(examples.num_classes, dtype=torch.float64)

    def posterior(index: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():  # a thread's own setting
            found = F.softmax(model(examples.batch(index)[0]), dim=1)
            expect_numbers(found)
            return found.sum(0)

    for each in jobs.in_threads(posterior, log.progress(sample.split(BATCH), "prior")):
        total.add_(each)
    return {"counts": examples.label_counts(pool), "mean_posterior": total.div(len(sample)).float()}


@contextmanager
def torch_threads(number: int) -> Iterator[None]:
    """Gives torch a number of threads for a while."""
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def train_members(job: TrainJob, seeds: Sequence[int], num_jobs: int) -> list[dict[str, Any]]:
    """Trains the members of an ensemble, which differ by seed alone (section 4), each in `member-<seed>`.

    Args:
        job: the settings of all; its folder holds the members'.
        seeds: one a member.
        num_jobs: processes at most; one after another where torchrun's processes train each together.

    Returns:
        The members' infos, in the order of the seeds.
    """
    share = job.threads or threads_each(num_jobs, len(seeds))
    members = [
        replace(job, folder=job.folder / f"member-{seed}", train=replace(job.train, seed=seed), threads=share)
        for seed in seeds
    ]
    return jobs.run(train_model, members, num_jobs if ranks().size == 1 else 1, share, str(job.folder))


def threads_each(num_jobs: int, num_models: int) -> int:
    """Threads of each model that trains at once; alike however many are still to do, so results are too."""
    return max(1, jobs.cores() // max(1, min(num_jobs, num_models)))
