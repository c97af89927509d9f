"""Dropout of hidden units: its rate, its mean, what is independent of what, gradients, resuming."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

from kdasr.models.dnn import Dnn, DnnOptions
from kdasr.models.dropout import Dropout

DTYPES = pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])


def transparent(width: int, dtype: torch.dtype = torch.float32) -> nn.Linear:
    """A layer that gives back what it gets."""
    layer = nn.Linear(width, width).to(dtype)
    layer.weight.data, layer.bias.data = torch.eye(width).to(dtype), torch.zeros(width, dtype=dtype)
    return layer


def units(dropout: Dropout, z: Tensor) -> Tensor:
    """What a layer behind the hidden layer `z` sees of it."""
    return dropout.through([transparent(z.shape[1], z.dtype)], z.clone())


@DTYPES
@pytest.mark.parametrize("rate", [0.001, 0.1, 0.2, 0.5, 0.8])
def test_dropout_drops_its_rate_and_keeps_the_mean(dtype: torch.dtype, rate: float):
    z = torch.full((1601, 125), 3.0, dtype=dtype)  # no whole number of random words
    out = units(Dropout(rate, seed=1), z)
    dropped = out.eq(0).float().mean().item()
    assert abs(dropped - rate) < 5 * math.sqrt(rate * (1 - rate) / z.numel())
    kept = out[out != 0].float()
    torch.testing.assert_close(kept, torch.full_like(kept, 3 / (1 - rate)), rtol=0.01, atol=0)


def correlation(one: Tensor, other: Tensor, rate: float) -> float:
    return float(((one - (1 - rate)) * (other - (1 - rate))).mean() / (rate * (1 - rate)))


@DTYPES
def test_dropped_units_are_independent_of_their_neighbours(dtype: torch.dtype):
    kept = units(Dropout(0.3, seed=2), torch.ones(1000, 512, dtype=dtype)).gt(0).float().flatten()
    for shift in (1, 2, 3, 4, 8, 512):
        assert abs(correlation(kept[shift:], kept[:-shift], 0.3)) < 5 / math.sqrt(kept.numel())


def test_the_layers_of_an_example_are_dropped_independently():
    """The first mask is read off where the second one kept: 2 m2 (2 m1 + 10) + 100."""
    layers = [transparent(200), transparent(200)]
    layers[0].bias.data += 10
    layers[1].bias.data += 100
    out = Dropout(0.5, seed=4).through(layers, torch.ones(2000, 200))
    assert sorted(out.unique().tolist()) == [100, 120, 124]
    second, first = out.gt(100), out.eq(124)
    for shift in (0, 1, 2, 8):
        both = (second & first.roll(shift, 1))[second & second.roll(shift, 1)].float()
        assert abs(both.mean().item() - 0.5) < 5 * 0.5 / math.sqrt(len(both))


def test_each_forward_pass_drops_others():
    dropout, z = Dropout(0.5, seed=5), torch.ones(100, 200)
    one, other = (units(dropout, z).gt(0).float() for _ in range(2))
    for rows in range(-4, 5):  # rows are shared by the layers of one pass, never by two passes
        assert abs(correlation(one.roll(rows, 0), other, 0.5)) < 5 / math.sqrt(z.numel())


def assert_within_rounding(own: Tensor | None, exact: Tensor | None, terms: Tensor) -> None:
    """Sums may differ by 4 units of rounding of the sum of their terms' sizes: some processors add in bf16 itself."""
    assert own is not None and exact is not None
    unit = torch.finfo(own.dtype).eps
    assert float(((own.detach().double() - exact).abs() / (4 * unit * terms + 1e-12)).max()) < 1


@DTYPES
@pytest.mark.parametrize("rate", [0.0, 0.4])
@pytest.mark.parametrize("onednn", [True, False])
def test_outputs_and_gradients_are_those_of_plain_torch(dtype: torch.dtype, rate: float, onednn: bool):
    """The same masks, read off a net of transparent layers, applied by autograd in float64.

    Without oneDNN torch multiplies as on a processor that has no bf16.
    """
    with torch.backends.mkldnn.flags(enabled=onednn):
        compare_with_plain_torch(dtype, rate)


def compare_with_plain_torch(dtype: torch.dtype, rate: float) -> None:
    torch.manual_seed(3)
    z = torch.randn(60, 40).to(dtype).requires_grad_()
    layer = nn.Linear(40, 30).to(dtype)
    dropout = Dropout(rate, seed=3)
    again = Dropout(rate, seed=3)
    mask = units(again, torch.ones(60, 40, dtype=dtype)).gt(0)
    out = dropout.through([layer], z * 1)
    weight = torch.randn(60, 30).to(dtype)
    (out * weight).sum().backward()

    exact = [tensor.detach().double().requires_grad_() for tensor in (z, layer.weight, layer.bias)]
    expected = torch.relu(exact[0]).mul(mask).div(1 - rate) @ exact[1].t() + exact[2]
    (expected * weight.double()).sum().backward()
    hidden, gradient = exact[0].detach().relu().mul(mask).div(1 - rate), weight.double().abs()
    bounds = gradient @ exact[1].detach().abs() / (1 - rate), gradient.t() @ hidden, gradient.sum(0)
    assert_within_rounding(out, expected, hidden @ exact[1].detach().abs().t() + exact[2].detach().abs())
    for own, theirs, terms in zip((z, layer.weight, layer.bias), exact, bounds, strict=True):
        assert_within_rounding(own.grad, theirs.grad, terms)
    assert z.grad is not None and torch.all(z.grad[(z.detach() <= 0) | ~mask] == 0)


@DTYPES
@pytest.mark.parametrize("depth", [0, 1, 4])
def test_without_dropout_a_net_trains_as_it_predicts(dtype: torch.dtype, depth: int):
    torch.manual_seed(1)
    model, x = Dnn(DnnOptions(depth, 16), (6,), 5).to(dtype), torch.randn(9, 6)
    trained, plain = model(x, Dropout(0.0)), model(x)
    torch.testing.assert_close(trained, plain)
    gradients = [
        torch.autograd.grad(logits.float().logsumexp(1).sum(), list(model.parameters())) for logits in (trained, plain)
    ]
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other)


def test_dropped_inputs_are_scaled():
    x = torch.full((500, 200), 2.0)
    out = Dropout(0.0, 0.25, seed=6).on_input(x.clone())
    assert abs(out.eq(0).float().mean().item() - 0.25) < 0.01 and torch.all((out == 0) | (out == 2 / 0.75))
    assert torch.equal(Dropout(0.0).on_input(x.clone()), x)


def test_dropout_goes_on_from_its_state():
    one, other = Dropout(0.5, 0.1, seed=1), Dropout(0.5, 0.1, seed=2)
    units(one, torch.ones(3, 7))
    other.load_state_dict(one.state_dict())
    for _ in range(3):
        assert torch.equal(units(one, torch.ones(5, 9)), units(other, torch.ones(5, 9)))
        assert torch.equal(one.on_input(torch.ones(5, 9)), other.on_input(torch.ones(5, 9)))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA")
def test_dropout_on_cuda_drops_its_rate():
    z, layer = torch.ones(1000, 512, device="cuda", dtype=torch.bfloat16), transparent(512, torch.bfloat16).cuda()
    out = Dropout(0.3, 0.2).through([layer], z)
    assert abs(float(out.eq(0).float().mean()) - 0.3) < 0.01
    assert abs(float(Dropout(0.3, 0.2).on_input(torch.ones_like(z)).eq(0).float().mean()) - 0.2) < 0.01
