"""Architectures by registered name; a model's file says which it is and with which options."""

from __future__ import annotations

import copy
import importlib
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import Tensor, nn

from kdasr import io
from kdasr.differences import first_difference
from kdasr.refusal import Refusal, unknown_name

if TYPE_CHECKING:
    from kdasr.models.dropout import Dropout

M = TypeVar("M", bound="Model")

ARCHITECTURES = {  # name: where its class is, by name alone, for some lie on a higher floor; options are its `OPTIONS`
    "dnn": "kdasr.models.dnn:Dnn",
    "joint": "kdasr.specialists.joint:Joint",
}


class Model(nn.Module):
    """A classifier of examples.

    Attributes:
        name: its key in ARCHITECTURES.
        OPTIONS: frozen dataclass of its architecture options.
    """

    name: str
    OPTIONS: type

    def __init__(self, options: Any, input_shape: tuple[int, ...], num_classes: int) -> None:
        super().__init__()
        self.options, self.input_shape, self.num_classes = options, tuple(input_shape), num_classes

    @abstractmethod
    def forward(self, x: Tensor, dropout: Dropout | None = None) -> Tensor:
        """Logits (B, S), in the dtype of the parameters, of inputs (B, *input_shape) float32."""

    def set_normalisation(self, mean: Tensor, deviation: Tensor) -> None:
        """Takes the training inputs' mean and standard deviation, each `input_shape`."""
        raise NotImplementedError

    def deviation(self) -> Tensor:
        """The standard deviation that `set_normalisation` took, `input_shape`; 0 where an input never varies."""
        raise NotImplementedError

    def average(self) -> Tensor:
        """The mean that `set_normalisation` took, `input_shape`."""
        raise NotImplementedError

    def output_bias(self) -> Tensor:
        """What is added to each class's logit last, (S,), the weights' own tensor."""
        raise NotImplementedError

    def output_weight(self) -> Tensor:
        """What each class's logit weighs the last hidden layer by, (S, H), the weights' own tensor."""
        raise NotImplementedError

    def replace_output(self, weight: Tensor, bias: Tensor) -> None:
        """Takes another last layer, of weights (C, H) and biases (C,): from now on the model has C classes."""
        raise NotImplementedError

    def describe(self) -> dict[str, Any]:
        """Architecture, options and dimensions, as saved beside the weights."""
        shape, options = list(self.input_shape), asdict(self.options)
        return {
            "architecture": self.name,
            "options": options,
            "input_shape": shape,
            "num_classes": self.num_classes,
        }


def build(architecture: str, options: Any, input_shape: tuple[int, ...], num_classes: int) -> Model:
    """A new model with random weights from torch's generator."""
    model: Model = find(architecture)(options, input_shape, num_classes)
    return model


def find(architecture: str, where: str | Path | None = None) -> type[Model]:
    """The class of a registered architecture."""
    if architecture not in ARCHITECTURES:
        raise unknown_name("architecture", architecture, ARCHITECTURES, where)
    module, _, name = ARCHITECTURES[architecture].partition(":")
    found: type[Model] = getattr(importlib.import_module(module), name)
    return found


def parameters(description: Mapping[str, Any]) -> int:
    """Number of trained weights of a model that is described so, as `Model.describe` does."""
    cls = find(description["architecture"])
    shape, classes = tuple(description["input_shape"]), description["num_classes"]
    return sum(each.numel() for each in cls(cls.OPTIONS(**description["options"]), shape, classes).parameters())


def cast(model: M, dtype: torch.dtype) -> M:
    """A copy whose parameters have another dtype; buffers, such as the inputs' mean, stay in float32."""
    copied = copy.deepcopy(model)
    for parameter in copied.parameters():
        parameter.data = parameter.data.to(dtype)
    return copied


def save(path: str | Path, model: Model) -> None:
    """Writes weights and description as safetensors, atomically."""
    io.save_tensors(path, {name: tensor.clone() for name, tensor in model.state_dict().items()}, model.describe())


def load(path: str | Path) -> Model:
    """Reads a model of whichever architecture its file names, on the CPU; options newer than the file have defaults."""
    tensors, description = io.load_tensors(path)
    if not isinstance(description, Mapping) or "architecture" not in description:
        raise Refusal(
            "not a model of kdasr",
            where=path,
            expected="a description of the architecture",
            found=description,
        )
    cls = find(description["architecture"], path)
    try:
        options = cls.OPTIONS(**description["options"])
    except TypeError as error:
        raise Refusal(f"unknown options of architecture {cls.name!r}", where=path, found=str(error)) from None
    model = cls(options, tuple(description["input_shape"]), description["num_classes"])
    own = model.state_dict()
    shapes, expected_shapes = ({name: tuple(each.shape) for name, each in some.items()} for some in (tensors, own))
    difference = first_difference(shapes, expected_shapes)
    if difference:
        name, found, expected = difference
        raise Refusal(
            f"weights of another architecture: shape of {name} differs",
            where=path,
            expected=expected,
            found=found,
        )
    with torch.no_grad():
        for name, tensor in own.items():
            tensor.copy_(tensors[name])
    return model
