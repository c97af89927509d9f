"""Dustbins: labels, half and half, the correction on a case with a known answer, initial weights."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from kdasr import models
from kdasr.distill.loss import DistillOptions, soft_cross_entropy
from kdasr.models.dnn import DnnOptions
from kdasr.refusal import Refusal
from kdasr.specialists.dustbin import (
    FULL,
    Balanced,
    HalfAndHalf,
    Retained,
    SpecialistExamples,
    SpecialistOptions,
    correction,
    cut,
)
from tests.specialists.conftest import source


def test_labels_are_positions_in_the_subset_and_the_dustbin_is_last(data):
    examples = source(data).open()
    seen, index = SpecialistExamples(examples, (5, 0, 2)), torch.arange(len(examples))
    y = examples.labels().long()
    expected = torch.tensor([1, 3, 2, 3, 3, 0, 3, 3])[y]
    assert torch.equal(seen.labels(), expected) and torch.equal(seen.batch(index)[1], expected)
    assert seen.num_classes == 4 and seen.background == (1,)  # class 0 is silence
    assert torch.equal(seen.batch(index[:9])[0], examples.batch(index[:9])[0])
    assert seen.share(index) == pytest.approx(float((expected < 3).float().mean()))
    full = SpecialistExamples(examples, (5, 0, 2), FULL)
    assert full.num_classes == 8 and torch.equal(full.labels(), y)


@pytest.mark.parametrize(
    "subset, line",
    [
        ((), "a subset without a class"),
        (tuple(range(8)), "a subset of all classes, which leaves no dustbin"),
        ((1, 8), r"no subset of the classes .*found 1, 8"),
        ((1, 1), r"no subset of the classes"),
    ],
)
def test_subsets_that_are_none_are_refused(data, subset, line):
    with pytest.raises(Refusal, match=line):
        SpecialistExamples(source(data).open(), subset)


def test_examples_that_are_all_of_the_subset_or_none_are_refused(data):
    examples = source(data).open()
    pool = (examples.labels() == 3).nonzero().flatten()
    for subset, found in (((3, 4), len(pool)), ((1,), 0)):
        with pytest.raises(Refusal, match=f"all of the subset, or none .*found {found} of {len(pool)}"):
            SpecialistExamples(examples, subset).share(pool)


def test_every_batch_is_half_of_the_subset_and_every_epoch_sees_it_once():
    inside, outside = torch.arange(100, 130), torch.arange(0, 100)
    sampler = HalfAndHalf(inside, outside, 9, 1000, seed=3)  # one fewer, to be even
    assert sampler.batch_size == 8 and sampler.batches_per_epoch == 7
    epochs = [[sampler.next() for _ in range(7)] for _ in range(2)]
    for batches in epochs:
        assert [int((batch >= 100).sum()) for batch in batches] == [4] * 7 and {len(b) for b in batches} == {8}
        seen = torch.cat(batches)
        assert len(seen[seen >= 100].unique()) == 28
    assert not torch.equal(epochs[0][0], epochs[1][0])
    few = HalfAndHalf(torch.arange(3), torch.arange(3, 5), 64, 1000, seed=0)
    assert few.batch_size == 6 and few.batches_per_epoch == 1 and len(few.next()) == 6


def test_an_epoch_of_a_large_subset_is_a_part_of_it_another_each_time():
    sampler = HalfAndHalf(torch.arange(100, 200), torch.arange(100), 8, 40, seed=0)
    assert sampler.batches_per_epoch == 5
    seen = torch.cat([sampler.next() for _ in range(100)])
    assert len(seen[seen >= 100].unique()) > 95  # of 20 epochs of 20
    assert HalfAndHalf(torch.arange(9), torch.arange(9, 20), 8, 3, seed=0).batches_per_epoch == 1


def test_the_halves_go_on_where_they_were_and_ranks_share_a_batch():
    def fresh(rank: int = 0, world: int = 1, seed: int = 5) -> HalfAndHalf:
        return HalfAndHalf(torch.arange(40, 64), torch.arange(40), 8, 1000, seed, rank, world)

    one, other = fresh(), fresh(seed=99)
    drawn = [one.next() for _ in range(8)]
    state = one.state_dict()
    other.load_state_dict(state)
    assert all(torch.equal(one.next(), other.next()) for _ in range(10))
    ranks = [fresh(rank, 2) for rank in range(2)]
    for batch in drawn:
        parts = [sampler.next() for sampler in ranks]
        assert torch.equal(torch.cat(parts).sort().values, batch.sort().values)
        assert [int((part >= 40).sum()) for part in parts] == [2, 2]


COUNTS = torch.tensor([[3, 1, 9, 2], [1, 4, 2, 6], [2, 2, 5, 11]])  # of values x and classes y; S^m is {0, 1}
SUBSET = [0, 1]


def half_and_half() -> tuple[Tensor, Tensor]:
    """The table's examples, those of the subset as many times as there are others, and the other way round."""
    pairs = [(x, y) for x, y in product(range(3), range(4)) for _ in range(int(COUNTS[x, y]))]
    inside = [(x, y) for x, y in pairs if y in SUBSET]
    outside = [(x, 2) for x, y in pairs if y not in SUBSET]
    both = torch.tensor(inside * len(outside) + outside * len(inside))
    return both[:, 0], both[:, 1]


def optimum(loss: Balanced | None) -> Tensor:
    """The logits of each x, (3, 3) float64, that are best for examples half and half."""
    x, y = half_and_half()
    table = torch.zeros(3, 3, dtype=torch.float64, requires_grad=True)
    search = torch.optim.LBFGS([table], max_iter=500, tolerance_grad=1e-11, tolerance_change=0, history_size=20)

    def step() -> float:
        search.zero_grad()
        logits = table[x]
        value = F.cross_entropy(logits, y) if loss is None else loss(logits, y, x, x)
        value.backward()
        return float(value)

    search.step(step)
    return table.detach()


def test_a_specialist_at_its_optimum_tells_the_true_posteriors_after_correction():
    share = float(COUNTS[:, SUBSET].sum() / COUNTS.sum())
    truth = torch.cat([COUNTS[:, SUBSET], COUNTS[:, 2:].sum(1, keepdim=True)], 1).double()
    truth /= truth.sum(1, keepdim=True)
    plain = optimum(None)
    assert float((plain.softmax(1) - truth).abs().max()) > 0.1
    plain[:, 2] += correction(share)  # after training, as the paper has it
    torch.testing.assert_close(plain.softmax(1), truth, atol=1e-6, rtol=0)
    during = optimum(Balanced(torch.tensor([False, False, True]), share))
    torch.testing.assert_close(during.softmax(1), truth, atol=1e-6, rtol=0)


def test_corrected_all_along_or_after_training_is_the_same_training():
    torch.manual_seed(0)
    x, y, share, others = torch.randn(64, 5), torch.randint(3, (64,)), 0.2, torch.tensor([False, False, True])
    both = [torch.nn.Linear(5, 3) for _ in range(2)]
    both[1].load_state_dict(both[0].state_dict())
    both[1].bias.data[2] -= correction(share)  # the correction is added at the end, so it is not there at the start
    for net, loss in zip(both, (Balanced(others, share), None), strict=True):
        for _ in range(30):
            net.zero_grad()
            value = loss(net(x), y, y, x) if loss else F.cross_entropy(net(x), y)
            value.backward()
            for parameter in net.parameters():
                assert parameter.grad is not None
                parameter.data -= 0.3 * parameter.grad
    both[1].bias.data[2] += correction(share)
    torch.testing.assert_close(both[0](x), both[1](x), atol=1e-5, rtol=1e-5)


def test_the_dustbin_starts_as_the_tightest_line_below_the_log_sum_of_the_others():
    torch.manual_seed(0)
    net = models.build("dnn", DnnOptions(1, 6), (4,), 5)
    prior = torch.tensor([0.1, 0.2, 0.3, 0.3, 0.1])
    small, x = cut(net, [3, 0], prior), torch.randn(50, 4)
    z, found = net(x), small(x)
    assert small.num_classes == 3 and net.num_classes == 5
    torch.testing.assert_close(found[:, :2], z[:, [3, 0]])
    log_sum = z[:, [1, 2, 4]].logsumexp(1)
    assert bool((found[:, 2] <= log_sum + 1e-5).all())
    net.output_weight().data[[1, 2, 4]] = 0.7  # where the others' posteriors are the prior's, it is met
    net.output_bias().data[[1, 2, 4]] = prior[[1, 2, 4]].log()
    torch.testing.assert_close(cut(net, [3, 0], prior)(x)[:, 2], net(x)[:, [1, 2, 4]].logsumexp(1))


def test_the_full_kind_learns_labels_of_all_classes_and_keeps_the_generalist_outside():
    torch.manual_seed(0)
    net = models.build("dnn", DnnOptions(0, 4), (4,), 5)
    x, y, logits = torch.randn(8, 4), torch.randint(5, (8,)), torch.randn(8, 5)
    others, share = torch.tensor([True, False, True, True, False]), 0.3
    options = DistillOptions(2.0, 0.7, 0.5)
    found = Retained(net, others, share, options)(logits, y, y, x)
    hard = F.cross_entropy(logits - correction(share) * others, y)
    with torch.no_grad():
        soft = (net(x)[:, others] / 2).softmax(1)
    expected = 0.5 * hard + 0.7 * 4 * soft_cross_entropy(logits[:, others], soft, 2.0)
    torch.testing.assert_close(found, expected)


def test_options_name_their_kinds():
    with pytest.raises(Refusal, match="unknown kind 'dustbins'.*did you mean 'dustbin'"):
        SpecialistOptions(kind="dustbins")
    with pytest.raises(ValueError, match="batch_size is at least 2"):
        replace(SpecialistOptions(), batch_size=1)
