"""A new option of the net made every model that was saved before it unreadable."""

from pathlib import Path

import torch

from kdasr import io, models
from kdasr.models.dnn import DnnOptions


def test_models_older_than_an_option_load(tmp_path: Path):
    model = models.build("dnn", DnnOptions(1, 8), (2, 3), 4)
    description = model.describe()
    del description["options"]["init_scale"]
    io.save_tensors(tmp_path / "model.safetensors", dict(model.state_dict()), description)
    x = torch.randn(5, 2, 3)
    assert torch.equal(models.load(tmp_path / "model.safetensors")(x), model(x))
