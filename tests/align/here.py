"""The parts of a training set in this process, so that a test can look into them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any


class Here:
    """Stands for `jobs.Workers`."""

    def __init__(self, make: Callable[[Any], Any], items: Sequence[Any], num_jobs: int = 1) -> None:
        self.parts = [make(item) for item in items]

    def each(self, method: Callable[..., Any], *arguments: object) -> list[Any]:
        return [method(part, *arguments) for part in self.parts]

    def __enter__(self) -> Here:
        return self

    def __exit__(self, *_: object) -> None:
        pass
