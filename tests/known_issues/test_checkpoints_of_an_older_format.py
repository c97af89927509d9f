"""A checkpoint from before training ran on several processes ended in a KeyError."""

from pathlib import Path

import pytest
import torch

from kdasr import io
from kdasr.refusal import Refusal
from kdasr.train import checkpoint


def test_checkpoints_of_an_older_format(tmp_path: Path):
    path = tmp_path / checkpoint.NAME
    checkpoint.save(path, {"weights": {"w": torch.ones(2)}}, {"step": 3})
    assert checkpoint.load(path)[1]["step"] == 3
    tensors, state = io.load_tensors(path)
    del state["format"]
    io.save_tensors(path, tensors, state)
    before = path.read_bytes()
    expected = r"checkpoint of another version of kdasr \(expected format 2, found format 1\); delete it to train anew"
    with pytest.raises(Refusal, match=expected):
        checkpoint.load(path)
    assert path.read_bytes() == before
