"""Processes that train one model together, a slice of every batch each, as torchrun starts them.

Each holds the whole model. Gradients, weighted by the examples they are of, are added up in one call, since the weights
lie in one vector; so all take the same step, and the losses are those of one process with the whole batch. The first
process alone writes. Without torchrun there is one process, and nothing is exchanged.
"""

from __future__ import annotations

import atexit
import datetime
import os
from collections.abc import Callable
from functools import cache
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch import distributed as dist

from kdasr.refusal import Refusal

T = TypeVar("T")
PATIENCE = datetime.timedelta(minutes=30)  # the others wait while the first scores the development set
LOST = "another process of this training was lost"
STREAM = 1 << 40  # between the seeds of two processes' random numbers


class Ranks:
    """The processes that train together, seen from one of them.

    Args:
        rank: number of this one, from 0.
        size: how many there are.
        local_size: how many of them share this machine's cores.
    """

    def __init__(self, rank: int = 0, size: int = 1, local_size: int = 1) -> None:
        self.rank, self.size, self.local_size = rank, size, local_size

    @property
    def first(self) -> bool:
        """Whether this process writes and speaks for all."""
        return self.rank == 0

    def seed(self, seed: int) -> int:
        """Seed of this process's own random numbers (dropout, noise, jitter); the first's is `seed` itself."""
        return seed + STREAM * self.rank

    def add(self, *vectors: Tensor) -> None:
        """Adds up vectors of all processes, in place.

        Raises:
            Refusal: a process is gone.
        """
        for vector in vectors if self.size > 1 else ():
            self._exchange(lambda vector=vector: dist.all_reduce(vector))  # type: ignore[misc]

    def from_first(self, make: Callable[[], T]) -> T:
        """What the first process makes, in all; if it raises, the first ends with its error, the others silently.

        Raises:
            Refusal: a process is gone.
        """
        if self.size == 1:
            return make()
        box: list[Any] = [None, False]
        try:
            if self.first:
                box = [make(), True]
        finally:
            self._exchange(lambda: dist.broadcast_object_list(box, src=0))
        if not box[1]:
            raise SystemExit(1)
        made: T = box[0]
        return made

    def gathered(self, value: T) -> list[T]:
        """The values of all processes, by rank.

        Raises:
            Refusal: a process is gone.
        """
        if self.size == 1:
            return [value]
        values: list[Any] = [None] * self.size
        self._exchange(lambda: dist.all_gather_object(values, value))
        return values

    def _exchange(self, call: Callable[[], object]) -> None:
        try:
            call()
        except RuntimeError as error:
            do = "the last checkpoint is kept: start again"
            raise Refusal(LOST, where=f"process {self.rank} of {self.size}", do=do) from error


@cache
def ranks() -> Ranks:
    """The processes that torchrun started, joined at the first call; this one alone if it did not start any.

    Raises:
        Refusal: they cannot be joined.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1:
        return Ranks()
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    try:
        dist.init_process_group("nccl" if torch.cuda.is_available() else "gloo", timeout=PATIENCE)
    except (RuntimeError, ValueError) as error:
        do = "start them by torchrun, all at once"
        raise Refusal("the processes of this training cannot be joined", found=str(error), do=do) from None
    atexit.register(dist.destroy_process_group)  # its threads would end a process that succeeded by an abort
    return Ranks(dist.get_rank(), dist.get_world_size(), int(os.environ.get("LOCAL_WORLD_SIZE", "1")))
