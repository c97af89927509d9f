"""Joint inference: cases with a known answer, the gradient against autograd, both methods at one minimum."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from kdasr.refusal import Refusal
from kdasr.specialists.infer import (
    DESCENT,
    MOST_BITS,
    Collected,
    Cover,
    Evidence,
    InferOptions,
    descend,
    gradient,
    joint,
    objective,
)

SUBSETS = [[0, 1, 2, 3], [3, 4, 5], [0, 5, 6], [7, 8, 3]]
S = 10
EVERY = torch.arange(S)
COVER = Cover(SUBSETS, S)


def opinions(
    rows: int, seed: int, active: Tensor, sharp: float = 3.0, full: bool = False
) -> tuple[Evidence, Tensor, list[Tensor]]:
    """Random distributions; `active` (M, B) says who speaks. Also p^g, and p^m of all rows."""
    generator = torch.Generator().manual_seed(seed)
    p = (torch.randn(rows, S, generator=generator) * sharp).softmax(1)
    each = [torch.randn(rows, S if full else len(some) + 1, generator=generator) * sharp for some in SUBSETS]
    each = [values.softmax(1) for values in each]
    collected = Collected(p, len(SUBSETS))
    for number, (some, values) in enumerate(zip(SUBSETS, each, strict=True)):
        which = active[number].nonzero().flatten()
        collected.add(number, EVERY if full else torch.tensor(some), which, values[which])
    return collected.evidence(), p, each


def speaking(rows: int, seed: int) -> Tensor:
    return torch.rand(len(SUBSETS), rows, generator=torch.Generator().manual_seed(seed)) < 0.6


def kl(p: Tensor, q: Tensor) -> Tensor:
    return (p * (p.log() - q.log())).sum(1)


def test_f_is_equation_5_but_for_a_constant():
    active = speaking(6, 1)
    evidence, p, each = opinions(6, 0, active)
    differences = []
    for seed in range(3):
        q = torch.randn(6, S, generator=torch.Generator().manual_seed(seed)).softmax(1)
        value = kl(p, q)
        for some, own, speaks in zip(SUBSETS, each, active, strict=True):
            folded = torch.cat([q[:, some], 1 - q[:, some].sum(1, keepdim=True)], 1)
            value = value + kl(own, folded) * speaks
        differences.append(value - objective(q.log(), evidence, COVER))
    torch.testing.assert_close(differences[0], differences[1], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(differences[0], differences[2], atol=1e-4, rtol=1e-4)


def test_the_gradient_in_closed_form_is_autograds():
    evidence, _, _ = opinions(20, 0, speaking(20, 1))
    evidence = Evidence(evidence.single.double(), evidence.dustbin.double(), evidence.count.double())
    z = torch.randn(20, S, dtype=torch.float64, requires_grad=True)
    (expected,) = torch.autograd.grad(objective(z, evidence, COVER).sum(), z)
    torch.testing.assert_close(gradient(z.detach(), evidence, COVER), expected)


@pytest.mark.parametrize("sharp", [0.5, 3.0, 12.0])
def test_newton_and_the_papers_descent_find_the_same_minimum(sharp):
    evidence, _, _ = opinions(40, 2, speaking(40, 3), sharp)
    fast = joint(evidence, COVER, InferOptions())
    precise = Evidence(evidence.single.double(), evidence.dustbin.double(), evidence.count.double())
    slow = descend(precise, COVER, InferOptions(1, DESCENT, 20000, 1e-6), precise.single.log())
    torch.testing.assert_close(fast.exp().double(), slow.exp(), atol=1e-4, rtol=0)
    torch.testing.assert_close(fast.exp().sum(1), torch.ones(40))
    at_minimum = gradient(fast.double(), precise, COVER)
    assert float(at_minimum.abs().max()) < 1e-5
    assert bool((objective(fast.double(), precise, COVER) <= objective(slow, precise, COVER) + 1e-6).all())


def test_without_an_active_specialist_it_is_the_generalist():
    evidence, p, _ = opinions(7, 0, torch.zeros(len(SUBSETS), 7, dtype=torch.bool))
    torch.testing.assert_close(joint(evidence, COVER, InferOptions()).exp(), p)
    torch.testing.assert_close(joint(evidence, COVER, InferOptions(method=DESCENT)).exp(), p)


@pytest.mark.parametrize("number", range(4))
def test_one_active_specialist_has_a_closed_form(number):
    """Inside the mean of both; outside the generalist's proportions, with the mean of its mass and the dustbin's."""
    active = torch.zeros(len(SUBSETS), 30, dtype=torch.bool)
    active[number] = True
    evidence, p, each = opinions(30, 5, active, 6.0)
    inside = torch.zeros(S, dtype=torch.bool)
    inside[SUBSETS[number]] = True
    expected = torch.zeros(30, S)
    expected[:, SUBSETS[number]] = (p[:, SUBSETS[number]] + each[number][:, :-1]) / 2
    outside = p[:, ~inside].sum(1, keepdim=True)
    expected[:, ~inside] = p[:, ~inside] / outside * (outside + each[number][:, -1:]) / 2
    torch.testing.assert_close(joint(evidence, COVER, InferOptions()).exp(), expected, atol=1e-6, rtol=1e-4)


def test_full_distributions_give_the_arithmetic_mean():
    active = speaking(25, 7)
    evidence, p, each = opinions(25, 6, active, full=True)
    total = p + sum(values * speaks[:, None] for values, speaks in zip(each, active, strict=True))
    expected = total / (1 + active.sum(0))[:, None]
    for options in (InferOptions(), InferOptions(method=DESCENT, steps=20)):
        torch.testing.assert_close(joint(evidence, COVER, options).exp(), expected, atol=1e-6, rtol=1e-4)


def test_examples_without_active_specialists_are_not_iterated(monkeypatch):
    from kdasr.specialists import infer

    seen: list[int] = []
    solve = infer.newton

    def watched(a: Tensor, *others: Any) -> Tensor:
        seen.append(len(a))
        return solve(a, *others)

    monkeypatch.setattr(infer, "newton", watched)
    active = speaking(50, 8)
    active[:, ::2] = False
    joint(opinions(50, 9, active)[0], COVER, InferOptions())
    assert sum(seen) == int(active.any(0).sum())


@pytest.mark.parametrize("active", [1, 2, 4, 6, 13])
def test_classes_go_together_by_what_active_specialists_know_of_them(active):
    """Each group is of classes that lie outside of the same of the example's subsets, be they few or many."""
    subsets = [[number, number + 1, number + 2] for number in range(0, 28, 2)]
    cover = Cover(subsets, 30)
    drawn = [torch.randperm(14, generator=torch.Generator().manual_seed(row))[:active] for row in range(8)]
    which = torch.stack(drawn)
    group, outside = cover.grouped(which)
    kinds = max(torch.unique(~cover.inside[some], dim=1).shape[1] for some in drawn)
    assert outside.shape[2] == (kinds if active <= MOST_BITS else cover.outside.shape[1])
    for row in range(8):
        told = outside[row][:, group[row]].bool()  # of every class, (K, S)
        assert torch.equal(told, ~cover.inside[which[row]])
        empty = torch.ones(outside.shape[2], dtype=torch.bool)
        empty[group[row]] = False
        assert not outside[row][:, empty].any()


def test_sure_and_contradicting_distributions_stay_finite():
    """Masses that float32 lets vanish, on both sides."""
    active = torch.ones(len(SUBSETS), 60, dtype=torch.bool)
    evidence, _, _ = opinions(60, 11, active, 60.0)
    found = joint(evidence, COVER, InferOptions())
    assert bool(torch.isfinite(found).all())
    torch.testing.assert_close(found.exp().sum(1), torch.ones(60))
    precise = Evidence(evidence.single.clamp_min(1e-37).double(), evidence.dustbin.double(), evidence.count.double())
    out, q = (~COVER.inside).double(), precise.single / precise.single.sum(1, keepdim=True)
    for _ in range(3000):  # each dustbin shared out as q is: f never rises
        q = (precise.single + q * ((precise.dustbin / (q @ out.t())) @ out)) / precise.count[:, None]
    best = objective(q.log(), precise, COVER)
    assert bool((objective(found.double(), precise, COVER) <= best + 1e-4).all())


def test_the_active_set_is_of_the_most_probable_classes():
    log_p = torch.tensor([[0.0] * S] * 3)
    log_p[0, 9], log_p[1, 3], log_p[2, 6], log_p[2, 4] = 5, 5, 5, 4
    assert COVER.active(log_p, 1).tolist() == [[False] * 4, [True, True, False, True], [False, False, True, False]]
    assert COVER.active(log_p, 2)[2].tolist() == [False, True, True, False]
    assert bool(COVER.active(log_p, 99).all())


def test_classes_outside_of_the_same_subsets_are_one_group():
    assert COVER.outside.shape == (4, 8)  # 0; 1 and 2; 3; 4; 5; 6; 7 and 8; 9
    torch.testing.assert_close(COVER.outside[:, COVER.group], (~COVER.inside).double())


def test_options_that_are_none_are_refused():
    with pytest.raises(Refusal, match="unknown method 'newtons'.*did you mean 'newton'"):
        InferOptions(method="newtons")
    with pytest.raises(ValueError, match="top is at least 1, steps at least 0"):
        replace(InferOptions(), top=0)
