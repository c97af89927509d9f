"""safetensors 0.8 writes a file of a random name and renames it: a kill in between leaves `.tmpXXXXXX` behind for good.

Where that was a checkpoint's, the folder's fingerprint was another than that of a run which was not killed.
"""

from pathlib import Path

import torch

from kdasr import io, lock

MADE = io.Made("train", {"epochs": 1})


def finished(folder: Path, left: str = "") -> str:
    """The fingerprint of a folder that was killed in a save, if a name is left of it, and gone on with."""
    assert io.begin(folder, MADE)
    if left:
        (folder / left).write_bytes(b"half a checkpoint")
        lock.release(folder)
        assert io.begin(folder, MADE)
        assert not (folder / left).exists()
    io.save_tensors(folder / "model.safetensors", {"weight": torch.ones(3)})
    return str(io.finish(folder)["fingerprint"])


def test_a_kill_leaves_nothing_behind(tmp_path: Path):
    assert finished(tmp_path / "killed", ".tmpSQXUj2") == finished(tmp_path / "whole")
