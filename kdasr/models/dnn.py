"""The fully connected net of ReLU units: the acoustic model of section 4 and the image nets of section 3."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kdasr.models import Model
from kdasr.models.dropout import Dropout


@dataclass(frozen=True)
class DnnOptions:
    """Architecture; the paper's nets: 8 x 2560 (speech, section 4), 2 x 800 and 2 x 1200 (images, section 3)."""

    layers: int = 4  # hidden layers
    width: int = 512  # units a layer
    init_scale: float = 1.0  # of the initial weights, against He's; small ones leave less of chance in the trained net

    def __post_init__(self) -> None:
        if self.layers < 0 or self.width < 1:
            raise ValueError(f"no net has {self.layers} hidden layers of {self.width} units")
        if not self.init_scale > 0:
            raise ValueError(f"init_scale is above 0, not {self.init_scale:g}")


class Dnn(Model):
    """Normalised inputs, hidden ReLU layers, and a linear layer of logits.

    Args:
        options: depth and width.
        input_shape: shape of one input; D is the number of its elements.
        num_classes: S.
    """

    name, OPTIONS = "dnn", DnnOptions

    def __init__(self, options: DnnOptions, input_shape: tuple[int, ...], num_classes: int) -> None:
        super().__init__(options, input_shape, num_classes)
        dim = torch.Size(input_shape).numel()
        widths = [dim, *[options.width] * options.layers, num_classes]
        self.linear = nn.ModuleList(nn.Linear(*pair) for pair in pairwise(widths))
        self.mean: Tensor
        self.scale: Tensor
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("scale", torch.ones(dim))
        self._initialise(options.init_scale)

    def _initialise(self, scale: float) -> None:
        """He et al. 2015: variance 2 / fan-in keeps the size of activations through many ReLU layers."""
        for layer in self.linear:
            assert isinstance(layer, nn.Linear)
            gain = 1.0 if layer is self.linear[-1] else 2.0
            nn.init.normal_(layer.weight, std=scale * (gain / layer.in_features) ** 0.5)
            nn.init.zeros_(layer.bias)

    def set_normalisation(self, mean: Tensor, deviation: Tensor) -> None:
        """Takes the training inputs' mean and standard deviation; an input that never varies becomes 0."""
        self.mean.copy_(mean.flatten())
        varies = deviation.flatten() > 1e-4
        self.scale.copy_(torch.where(varies, 1 / deviation.flatten().clamp_min(1e-4), torch.zeros(())))

    def deviation(self) -> Tensor:
        """The standard deviation that `set_normalisation` took, `input_shape`; 0 where an input never varies."""
        varies = self.scale > 0
        return torch.where(varies, 1 / self.scale, torch.zeros_like(self.scale)).view(self.input_shape)

    def average(self) -> Tensor:
        """The mean that `set_normalisation` took, `input_shape`."""
        return self.mean.view(self.input_shape)

    def output_bias(self) -> Tensor:
        """The last layer's bias, (S,)."""
        bias: Tensor = self.linear[-1].bias
        return bias

    def output_weight(self) -> Tensor:
        """The last layer's weights, (S, H)."""
        weight: Tensor = self.linear[-1].weight
        return weight

    def replace_output(self, weight: Tensor, bias: Tensor) -> None:
        """Takes another last layer, of weights (C, H) and biases (C,)."""
        layer = nn.Linear(weight.shape[1], len(bias))
        layer.weight.data.copy_(weight)
        layer.bias.data.copy_(bias)
        self.linear[-1], self.num_classes = layer, len(bias)

    def forward(self, x: Tensor, dropout: Dropout | None = None) -> Tensor:
        """Logits (B, S), in the dtype of the weights, of inputs (B, *input_shape) float32."""
        h = torch.addcmul(-self.mean * self.scale, x.flatten(1), self.scale)
        h = h.to(self.linear[0].weight.dtype)
        first, *others = self.linear
        if dropout:
            z = F.linear(dropout.on_input(h), first.weight, first.bias)
            return dropout.through(others, z)
        z = F.linear(h, first.weight, first.bias)
        for layer in others:
            z = F.linear(torch.relu(z), layer.weight, layer.bias)
        return z
