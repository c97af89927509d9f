"""Frames whose predictions are no numbers counted as right where their label is 0, and made priors of no numbers."""

from __future__ import annotations

import pytest
import torch

from kdasr.refusal import Refusal
from kdasr.specialists.measures import Gain
from kdasr.train.accuracy import Tally
from kdasr.train.job import priors
from tests.specialists.conftest import data, source

__all__ = ["data"]  # a fixture
TOLD = r"predictions that are not numbers \(expected finite ones, found 1 of \d+\); train the model anew, or look for"


def test_they_are_refused(data):
    z, labels = torch.zeros(6, 3), torch.zeros(6, dtype=torch.int64)
    bad = z.clone()
    bad[4] = torch.nan
    for add in (lambda: Tally().add(bad, labels), lambda: Gain([(0,)], 3).add(z, bad, labels)):
        with pytest.raises(Refusal, match=TOLD):
            add()

    def model(x: torch.Tensor) -> torch.Tensor:
        found = torch.zeros(len(x), 8)
        found[0, 0] = torch.nan
        return found

    examples = source(data).open()
    with pytest.raises(Refusal, match=TOLD):
        priors(model, examples, examples.pool(1.0, 0))  # type: ignore[arg-type]
