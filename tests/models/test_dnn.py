"""The ReLU net: forward pass, initial weights, normalisation, saving."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from kdasr import io, models
from kdasr.models.dnn import Dnn, DnnOptions
from kdasr.refusal import Refusal


def net(layers: int = 3, width: int = 16, shape: tuple[int, ...] = (4, 5), classes: int = 7) -> Dnn:
    torch.manual_seed(1)
    return Dnn(DnnOptions(layers, width), shape, classes)


def test_logits_are_those_of_plain_numpy():
    model = net()
    mean, deviation = torch.randn(4, 5), torch.rand(4, 5).add(0.5)
    model.set_normalisation(mean, deviation)
    assert torch.equal(model.average(), mean)
    x = torch.randn(9, 4, 5)
    h = ((x - mean) / deviation).flatten(1).double().numpy()
    for number, layer in enumerate(model.linear):
        h = h @ layer.weight.detach().double().numpy().T + layer.bias.detach().double().numpy()
        h = np.maximum(h, 0) if number < 3 else h
    np.testing.assert_allclose(model(x).detach().numpy(), h, atol=1e-5)


def test_an_input_that_never_varies_becomes_zero():
    model = net(shape=(3,))
    model.set_normalisation(torch.zeros(3), torch.tensor([1.0, 0.0, 1.0]))
    x = torch.randn(2, 3)
    other = x.clone()
    other[:, 1] += 100
    assert torch.equal(model(x), model(other)) and torch.isfinite(model(other)).all()


def test_activations_keep_their_size_through_the_papers_depth():
    """He's initialisation: without it 8 layers shrink activations by 2^4 and more."""
    model = net(layers=8, width=512, shape=(200,), classes=50)
    h = torch.randn(256, 200)
    for layer in model.linear[:-1]:
        h = torch.relu(layer(h))
        assert 0.7 < (h**2).mean().item() < 1.5
    assert 0.3 < model.linear[-1](h).std().item() < 3


def test_initial_weights_are_scaled():
    def weights(scale: float) -> list[torch.Tensor]:
        torch.manual_seed(1)
        return [layer.weight for layer in Dnn(DnnOptions(2, 16, scale), (4, 5), 7).linear]

    for full, small in zip(weights(1.0), weights(0.25), strict=True):
        assert torch.equal(full / 4, small)


@pytest.mark.parametrize("scale", [0.0, -1.0, float("nan")])
def test_a_scale_of_initial_weights_is_above_0(scale: float):
    with pytest.raises(ValueError, match="init_scale is above 0"):
        DnnOptions(init_scale=scale)


def test_a_saved_model_is_the_same(tmp_path: Path):
    model = net()
    model.set_normalisation(torch.randn(4, 5), torch.rand(4, 5).add(1))
    models.save(tmp_path / "model.safetensors", model)
    again = models.load(tmp_path / "model.safetensors")
    x = torch.randn(3, 4, 5)
    assert torch.equal(model(x), again(x)) and again.describe() == model.describe()


def test_weights_of_another_architecture_are_refused_in_one_line(tmp_path: Path):
    io.save_tensors(tmp_path / "model", net(layers=2).state_dict(), net(layers=3).describe())
    with pytest.raises(
        Refusal, match=r"model: weights of another architecture: shape of linear\.\d\.\w+ differs"
    ) as caught:
        models.load(tmp_path / "model")
    assert "\n" not in str(caught.value)


def test_a_tensor_of_another_shape_is_refused(tmp_path: Path):
    model = net()
    tensors = {**model.state_dict(), "linear.0.weight": torch.zeros(16, 19)}
    io.save_tensors(tmp_path / "model", tensors, model.describe())
    with pytest.raises(Refusal, match=r"shape of linear.0.weight differs \(expected \(16, 20\), found \(16, 19\)\)"):
        models.load(tmp_path / "model")


def test_foreign_files_are_refused(tmp_path: Path):
    (tmp_path / "text").write_text("no tensors")
    with pytest.raises(Refusal, match="damaged or foreign tensor file"):
        models.load(tmp_path / "text")
    io.save_tensors(tmp_path / "bare", {"a": torch.zeros(1)})
    with pytest.raises(Refusal, match="bare: not a model of kdasr"):
        models.load(tmp_path / "bare")
    io.save_tensors(tmp_path / "other", {"a": torch.zeros(1)}, {"architecture": "dnnn"})
    with pytest.raises(Refusal, match="unknown architecture 'dnnn'; did you mean 'dnn'"):
        models.load(tmp_path / "other")
    io.save_tensors(tmp_path / "newer", {"a": torch.zeros(1)}, {"architecture": "dnn", "options": {"heads": 4}})
    with pytest.raises(Refusal, match="unknown options of architecture 'dnn'"):
        models.load(tmp_path / "newer")


def test_casting_keeps_the_normalisation_exact():
    model = net()
    model.set_normalisation(torch.full((4, 5), 12.3456789), torch.ones(4, 5))
    half = models.cast(model, torch.bfloat16)
    assert half.linear[0].weight.dtype == torch.bfloat16 and half.mean.dtype == torch.float32
    assert torch.equal(half.mean, model.mean) and model.linear[0].weight.dtype == torch.float32


def test_the_deviation_is_what_normalisation_was_told():
    model, deviation = net(shape=(2, 3)), torch.tensor([[0.5, 2.0, 0.0], [1.0, 3.0, 4.0]])
    assert torch.equal(model.deviation(), torch.ones(2, 3))
    model.set_normalisation(torch.randn(2, 3), deviation)
    torch.testing.assert_close(model.deviation(), deviation)


def test_impossible_nets_are_refused():
    with pytest.raises(ValueError, match="no net has 2 hidden layers of 0 units"):
        DnnOptions(2, 0)
