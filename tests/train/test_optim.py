"""Optimisers against torch's own, schedules against their definition."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from itertools import pairwise

import pytest
import torch

from kdasr.models.dnn import Dnn, DnnOptions
from kdasr.refusal import Refusal
from kdasr.train import optim


def net() -> Dnn:
    torch.manual_seed(3)
    return Dnn(DnnOptions(2, 33), (7,), 5)


def loss_of(model: torch.nn.Module, step: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(step)
    x, y = torch.randn(20, 7, generator=generator), torch.randint(0, 5, (20,), generator=generator)
    return torch.nn.functional.cross_entropy(model(x), y)


def train_ours(model: Dnn, name: str, clip: float = 0.0, max_norm: float = 0.0, steps: int = 12) -> None:
    weights = optim.Weights(model, torch.float32)
    optimizer = optim.optimizer(name, weights, 0.9, clip, max_norm)
    for step in range(steps):
        loss_of(weights.computing, step).backward()
        optimizer.step(0.05, weights.take_gradient())


def train_torchs(model: Dnn, make: Callable[..., torch.optim.Optimizer], clip: float = 0.0, steps: int = 12) -> None:
    optimizer = make(model.parameters())
    for step in range(steps):
        optimizer.zero_grad()
        loss_of(model, step).backward()
        if clip:
            torch.nn.utils.clip_grad_norm_(model.parameters(), clip)
        optimizer.step()


def assert_same(one: Dnn, other: Dnn) -> None:
    for mine, theirs in zip(one.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs, atol=2e-6, rtol=2e-5)


@pytest.mark.parametrize("clip", [0.0, 0.2])
def test_sgd_is_torchs_nesterov(clip: float):
    ours, theirs = net(), net()
    train_ours(ours, "sgd", clip)
    train_torchs(theirs, lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9, nesterov=True), clip)
    assert_same(ours, theirs)


def test_adam_is_torchs():
    ours, theirs = net(), net()
    train_ours(ours, "adam")
    train_torchs(theirs, lambda p: torch.optim.Adam(p, lr=0.05))
    assert_same(ours, theirs)


def test_pieces_do_not_matter(monkeypatch: pytest.MonkeyPatch):
    whole, pieces = net(), net()
    train_ours(whole, "sgd")
    monkeypatch.setattr(optim, "PIECE", 50)
    train_ours(pieces, "sgd")
    for one, other in zip(whole.parameters(), pieces.parameters(), strict=True):
        assert torch.equal(one, other)


def test_no_unit_exceeds_the_weight_constraint():
    model = net()
    train_ours(model, "sgd", max_norm=0.7)
    for layer in model.linear:
        assert float(layer.weight.norm(dim=1).max()) <= 0.7 + 1e-6
    free = net()
    train_ours(free, "sgd")
    assert float(free.linear[0].weight.norm(dim=1).max()) > 0.8


def test_the_weight_constraint_leaves_smaller_units_alone():
    model = net()
    weights = optim.Weights(model, torch.float32)
    layer, before = model.linear[0].weight, model.linear[0].weight.detach().clone()
    limit = float(before.norm(dim=1).mean())
    weights.limit_norms(limit)
    small = before.norm(dim=1) <= limit
    assert small.any() and not small.all()
    torch.testing.assert_close(layer[small], before[small], rtol=0, atol=0)
    torch.testing.assert_close(layer[~small].norm(dim=1), torch.full((int((~small).sum()),), limit))


@pytest.mark.parametrize("max_norm", [0.0, 0.7])
def test_the_computing_copy_follows_the_weights(max_norm: float):
    model = net()
    weights = optim.Weights(model, torch.bfloat16)
    optimizer = optim.optimizer("sgd", weights, 0.9, 5.0, max_norm)
    before = copy.deepcopy(weights.computing)
    loss_of(lambda x: weights.computing(x).float(), 0).backward()  # type: ignore[arg-type]
    optimizer.step(0.1, weights.take_gradient())
    for master, copied, old in zip(
        model.parameters(), weights.computing.parameters(), before.parameters(), strict=True
    ):
        assert torch.equal(master.to(torch.bfloat16), copied) and not torch.equal(copied, old)
        assert master.dtype == torch.float32


def test_the_linear_schedule_rises_and_falls_to_zero():
    schedule = optim.schedule("linear", 0.4, total_steps=100, warmup_steps=10)
    rates = [schedule.rate(step) for step in range(100)]
    assert rates[0] == pytest.approx(0.04) and rates[9] == pytest.approx(0.4) == max(rates)
    falls = [before - after for before, after in pairwise(rates[10:])]
    assert falls == pytest.approx([0.4 / 90] * 89) and rates[-1] == pytest.approx(0.4 / 90)


def test_the_rate_halves_when_the_cross_entropy_stops_falling():
    schedule = optim.schedule("halving", 0.8, total_steps=100, warmup_steps=0)
    rates = []
    for cross_entropy in [3.0, 2.0, 2.1, 1.5, 1.5, 1.4999, 1.2]:
        rates.append(schedule.rate(7))
        schedule.epoch_end(cross_entropy)
    assert [*rates, schedule.rate(7)] == [0.8, 0.8, 0.8, 0.4, 0.4, 0.2, 0.1, 0.1]


def test_a_cross_entropy_that_is_no_number_halves():
    schedule = optim.schedule("halving", 0.8, 100, 0)
    schedule.epoch_end(1.0)
    schedule.epoch_end(math.nan)
    assert schedule.rate(0) == 0.4


def test_the_halving_schedule_goes_on_from_its_state():
    one, other = optim.schedule("halving", 0.8, 100, 4), optim.schedule("halving", 0.8, 100, 4)
    for cross_entropy in (3.0, 4.0, 2.0):
        one.epoch_end(cross_entropy)
    other.load_state_dict(one.state_dict())
    for schedule in (one, other):
        schedule.epoch_end(2.5)
    assert one.rate(50) == other.rate(50) == 0.2 and other.rate(0) == 0.05


def test_unknown_names_are_refused():
    with pytest.raises(Refusal, match="unknown optimizer 'sdg'; did you mean 'sgd'"):
        optim.optimizer("sdg", optim.Weights(net(), torch.float32), 0.9, 0, 0)
    with pytest.raises(Refusal, match="unknown schedule 'liner'; did you mean 'linear'"):
        optim.schedule("liner", 1, 1, 0)
