"""The distillation loss: the laws of section 2."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from kdasr.distill.loss import DistillOptions, distillation_loss, soft_cross_entropy
from kdasr.distill.sparse import Sparse
from kdasr.refusal import Refusal

B, S = 6, 9


def draw(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Student's logits, teacher's logits, labels."""
    generator = torch.Generator().manual_seed(seed)
    z, v = (torch.randn(B, S, generator=generator, dtype=torch.float64).mul(3) for _ in range(2))
    return z.requires_grad_(), v, torch.randint(0, S, (B,), generator=generator)


def gradient(loss: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
    (found,) = torch.autograd.grad(loss, z)
    return found


@pytest.mark.parametrize("temperature", [1.0, 2.0, 7.5])
def test_cross_entropy_of_a_distribution_with_itself_is_its_entropy(temperature: float):
    z, _, _ = draw()
    p = F.softmax(z.detach().div(temperature), dim=1)
    entropy = -(p * p.log()).sum(1).mean()
    assert float(soft_cross_entropy(z.detach(), p, temperature)) == pytest.approx(float(entropy), rel=1e-6)
    assert float(gradient(soft_cross_entropy(z, p, temperature), z).abs().max()) < 1e-7  # and its least value


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0, 20.0])
@pytest.mark.parametrize(("soft", "hard"), [(1.0, 0.5), (1.0, 0.0), (0.0, 1.0), (0.3, 2.0)])
def test_the_loss_and_its_gradient_are_those_of_the_formula(temperature: float, soft: float, hard: float):
    z, v, y = draw()
    p = F.softmax(v.div(temperature), dim=1)
    exponents = torch.exp(z.div(temperature))
    q_soft, q = exponents / exponents.sum(1, keepdim=True), torch.exp(z) / torch.exp(z).sum(1, keepdim=True)
    plain = soft * temperature**2 * -(p * q_soft.log()).sum() / B - hard * q[torch.arange(B), y].log().sum() / B
    loss = distillation_loss(z, p, y, DistillOptions(temperature, soft, hard))
    assert float(loss) == pytest.approx(float(plain), rel=1e-5)
    torch.testing.assert_close(gradient(loss, z), gradient(plain, z), rtol=1e-4, atol=1e-6)


def test_the_gradient_by_hand():
    """d/dz = w_soft T (q_T - p_T) / B + w_hard (q - y) / B (section 2.1, times T^2)."""
    z, v, y = draw()
    p = F.softmax(v.div(4), dim=1)
    expected = 0.7 * 4 * (F.softmax(z.div(4), dim=1) - p) / B + 0.2 * (F.softmax(z, dim=1) - F.one_hot(y, S)) / B
    loss = distillation_loss(z, p, y, DistillOptions(4.0, 0.7, 0.2))
    torch.testing.assert_close(gradient(loss, z), expected.detach(), rtol=1e-4, atol=1e-6)


def test_at_high_temperature_it_matches_logits():
    """Section 2.1: with zero-mean logits the gradient tends to (z_i - v_i) / (N T^2), times T^2 here."""
    z, v, y = draw()
    z = (z - z.mean(1, keepdim=True)).detach().requires_grad_()
    v = v - v.mean(1, keepdim=True)
    differences = []
    for temperature in (10.0, 100.0, 1000.0):
        p = F.softmax(v.div(temperature), dim=1)
        loss = -(p * F.log_softmax(z.div(temperature), dim=1)).sum(1).mean() * temperature**2
        differences.append(float((gradient(loss, z) - (z - v) / (S * B)).abs().max()))
    assert differences[0] > 5 * differences[1] > 25 * differences[2]
    ours = distillation_loss(z, F.softmax(v.div(100), dim=1), y, DistillOptions(100.0, 1.0, 0.0))
    torch.testing.assert_close(gradient(ours, z), ((z - v) / (S * B)).detach(), rtol=0.05, atol=2e-3)


@pytest.mark.parametrize("hard", [0.0, 0.5])
def test_the_soft_term_keeps_its_square_of_t_whatever_the_hard_weight(hard: float):
    """The size of the soft gradient must not fall as 1 / T^2 when the hard labels are switched off."""
    z, v, y = draw()
    sizes = []
    for temperature in (10.0, 40.0):
        options = DistillOptions(temperature, 1.0, hard)
        hard_part = gradient(F.cross_entropy(z, y).mul(hard), z)
        whole = gradient(distillation_loss(z, F.softmax(v.div(temperature), dim=1), y, options), z)
        sizes.append(float((whole - hard_part).norm()))
    assert sizes[1] == pytest.approx(sizes[0], rel=0.2)


def test_the_loss_is_a_mean_per_frame():
    z, v, y = draw()
    p = F.softmax(v.div(2), dim=1)
    one = distillation_loss(z, p, y, DistillOptions(2.0))
    twice = distillation_loss(torch.cat([z, z]), torch.cat([p, p]), torch.cat([y, y]), DistillOptions(2.0))
    assert float(one) == pytest.approx(float(twice), rel=1e-6)


def test_large_logits_do_not_overflow():
    z = torch.tensor([[1e4, 0.0, -1e4]], requires_grad=True)
    loss = distillation_loss(z, torch.tensor([[0.0, 1.0, 0.0]]), torch.tensor([1]), DistillOptions(1.0))
    assert torch.isfinite(loss) and torch.isfinite(gradient(loss, z)).all()


@pytest.mark.parametrize("offset", [0.0, 1e3])
def test_logits_far_from_0_lose_no_digits_that_they_have(offset: float):
    """In float32, against float64 of the same numbers: the terms of the loss nearly cancel."""
    z, v, y = draw()
    z32 = (z.detach() + offset).float().requires_grad_()
    p, options = F.softmax(v, dim=1), DistillOptions(2.0)
    plain = 4 * -(p * F.log_softmax(z32.double() / 2, dim=1)).sum(1).mean() + 0.5 * F.cross_entropy(z32.double(), y)
    slope = gradient(plain, z32)
    for given in (p.float(), Sparse(p.new_zeros(B).float(), p[0].float(), torch.arange(B * S), p.flatten().float())):
        loss = distillation_loss(z32, given, y, options)
        assert float(loss) == pytest.approx(float(plain), rel=1e-6 if not offset else 1e-4)
        torch.testing.assert_close(gradient(loss, z32), slope, rtol=1e-4, atol=1e-6)


def test_a_frame_without_a_label_has_no_hard_term_and_its_whole_soft_one():
    z, v, y = draw()
    p, options = F.softmax(v.div(2), dim=1), DistillOptions(2.0, 1.0, 0.5)
    some = y.clone()
    some[[1, 4]] = -1
    known = some >= 0
    hard = F.cross_entropy(z[known], y[known], reduction="sum") / B
    plain = distillation_loss(z, p, y, DistillOptions(2.0, 1.0, 0.0)) + 0.5 * hard
    loss = distillation_loss(z, p, some, options)
    assert float(loss) == pytest.approx(float(plain), rel=1e-6)
    torch.testing.assert_close(gradient(loss, z), gradient(plain, z), rtol=1e-5, atol=1e-7)
    none = distillation_loss(z, p, torch.full_like(y, -1), options)
    assert float(none) == pytest.approx(float(distillation_loss(z, p, y, DistillOptions(2.0, 1.0, 0.0))), rel=1e-6)


def test_labels_are_not_looked_at_without_a_hard_weight():
    z, v, y = draw()
    p, options = F.softmax(v, dim=1), DistillOptions(1.0, 1.0, 0.0)
    unlabelled = torch.full_like(y, -1)
    assert torch.equal(distillation_loss(z, p, y, options), distillation_loss(z, p, unlabelled, options))


def test_low_precision_logits_are_summed_in_float32():
    z, v, y = draw()
    p = F.softmax(v, dim=1).float()
    loss = distillation_loss(z.bfloat16(), p, y, DistillOptions(1.0))
    assert loss.dtype == torch.float32
    assert float(loss) == pytest.approx(float(distillation_loss(z.bfloat16().float(), p, y, DistillOptions(1.0))))


def draw_sparse(kept: int, seed: int = 0) -> Sparse:
    """Targets of B frames in float64: some states kept, any others in the shape of a prior."""
    generator = torch.Generator().manual_seed(seed)
    shape = torch.rand(S, generator=generator, dtype=torch.float64).softmax(0)
    p = torch.rand(B, kept, generator=generator, dtype=torch.float64).softmax(1)
    tail = torch.rand(B, generator=generator, dtype=torch.float64) * (0.2 if kept < S else 0)
    states = torch.stack([torch.randperm(S, generator=generator)[:kept] for _ in range(B)])
    background = tail / (1 - shape[states].sum(1)) if kept < S else tail
    excess = p * (1 - tail[:, None]) - background[:, None] * shape[states]
    return Sparse(background, shape, (torch.arange(B)[:, None] * S + states).flatten(), excess.flatten())


@pytest.mark.parametrize("kept", [1, 4, S - 1, S])
def test_the_sparse_cross_entropy_and_its_gradient_are_the_dense_ones(kept: int):
    """In float64, against a dense p put together state by state."""
    sparse = draw_sparse(kept)
    p = torch.zeros(B, S, dtype=torch.float64)
    for frame in range(B):
        p[frame] += sparse.background[frame] * sparse.shape
    for place, excess in zip(sparse.index.tolist(), sparse.excess, strict=True):
        p[place // S, place % S] += excess
    torch.testing.assert_close(p.sum(1), torch.ones(B, dtype=torch.float64))
    assert float(p.min()) > -1e-12
    z, _, _ = draw()
    for temperature in (1.0, 3.0):
        expected = -(p * F.log_softmax(z / temperature, dim=1)).sum(1).mean()
        slope = gradient(expected, z)
        for given in (sparse, p):
            found = soft_cross_entropy(z, given, temperature)
            torch.testing.assert_close(found, expected, rtol=1e-12, atol=0)
            torch.testing.assert_close(gradient(found, z), slope, rtol=1e-10, atol=1e-12)
    assert torch.autograd.gradcheck(lambda logits: soft_cross_entropy(logits, sparse, 2.0), z)


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_the_loss_on_sparse_targets_is_that_on_dense_ones(temperature: float):
    z, _, y = draw()
    double = draw_sparse(3)
    sparse = Sparse(double.background.float(), double.shape.float(), double.index, double.excess.float())
    options = DistillOptions(temperature, 0.8, 0.3)
    found, expected = distillation_loss(z, sparse, y, options), distillation_loss(z, sparse.dense(), y, options)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(gradient(found, z), gradient(expected, z), rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize(
    "bad", [{"temperature": 0.0}, {"temperature": -1.0}, {"soft_weight": -0.1}, {"hard_weight": -1.0}]
)
def test_impossible_options_are_refused(bad: dict):
    with pytest.raises(ValueError, match="temperature must be above 0, soft_weight and hard_weight not below"):
        DistillOptions(**bad)


def test_nothing_to_learn_from_is_refused():
    with pytest.raises(ValueError, match="soft_weight and hard_weight must not both be 0"):
        DistillOptions(soft_weight=0.0, hard_weight=0.0)


def test_an_unknown_mean_is_refused():
    with pytest.raises(Refusal, match="unknown mean 'harmonic'; did you mean|unknown mean 'harmonic'; known"):
        DistillOptions(mean="harmonic")


def test_an_unknown_start_is_refused():
    with pytest.raises(Refusal, match=r"distill.start: unknown start 'teachers'; .*teacher"):
        DistillOptions(start="teachers")


@pytest.mark.parametrize(("bad", "told"), [({"mean": "geometric"}, "for the arithmetic mean"), ({}, "at least 0")])
def test_some_teachers_of_a_geometric_mean_and_fewer_than_none_are_refused(bad: dict, told: str):
    with pytest.raises(ValueError, match=f"teachers_per_batch is {told}"):
        DistillOptions(teachers_per_batch=2 if bad else -1, **bad)
