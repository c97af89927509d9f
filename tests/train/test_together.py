"""Two processes that torchrun starts train what one trains; one that is lost stops them, and they go on."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from kdasr import io, log, models
from kdasr.refusal import Refusal
from kdasr.train import together
from kdasr.train.together import Ranks
from tests.tables import write_set

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path]), "OMP_NUM_THREADS": "1"}
SCRIPT = """
import json, os, sys
from pathlib import Path
from kdasr.data.frames import FrameOptions, FrameSource
from kdasr.models.dnn import DnnOptions
from kdasr.train import loop
from kdasr.train.job import TrainJob, train_members
from kdasr.train.together import ranks
import torch

folder, name, settings, lost_at = Path(sys.argv[1]), sys.argv[2], json.loads(sys.argv[3]), int(sys.argv[4])
train, dev = (
    FrameSource(folder / kind / "feats", folder / kind / "ali", FrameOptions(3, 2)) for kind in ("train", "dev")
)
common = {"epochs": 3, "batch_size": 50, "device": "cpu", "precision": "fp32", "log_steps": 1}
options = loop.TrainOptions(**{**common, **settings})
step = loop.Trainer.train_step

def watched(self):
    if lost_at and ranks().rank == 1 and self.step == lost_at:
        os._exit(9)
    due = step(self)
    sums = ranks().gathered(float(self.weights.flat.double().abs().sum()))
    assert len(set(sums)) == 1, sums  # the weights are the same everywhere
    return due

loop.Trainer.train_step = watched
train_members(TrainJob(folder / name, train, dev, options, DnnOptions(2, 24)), [3], 2)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("together")
    write_set(folder / "train", 20, seed=1)
    write_set(folder / "dev", 6, seed=2)
    (folder / "script.py").write_text(SCRIPT)
    return folder


def start(folder: Path, name: str, processes: int, settings: dict[str, object], lost_at: int = 0) -> tuple[int, str]:
    """Largest exit status of the processes, and all that they printed; joined by what torchrun sets for each."""
    script = [sys.executable, str(folder / "script.py"), str(folder), name, json.dumps(settings), str(lost_at)]
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
    common = {"WORLD_SIZE": str(processes), "LOCAL_WORLD_SIZE": str(processes), "MASTER_PORT": port}
    started = [
        subprocess.Popen(
            script,
            env={**ENVIRONMENT, **common, "MASTER_ADDR": "127.0.0.1", "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in range(processes)
    ]
    texts = [process.communicate()[0] for process in started]
    return max(process.returncode for process in started), "".join(texts)


def test_torchrun_starts_them(folder):
    """Without -r and -t torch 1.13's own torchrun fails on Python 3.11."""
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", "-r", "1", "-t", "1"]
    script = [str(folder / "script.py"), str(folder), "torchrun", "{}", "0"]
    done = subprocess.run([sys.executable, *launch, *script], env=ENVIRONMENT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    alone = train(folder, "alone", 1)
    assert torch.allclose(curve(folder / "torchrun" / "member-3"), curve(alone), atol=1e-4)


def train(folder: Path, name: str, processes: int, **settings: object) -> Path:
    status, text = start(folder, name, processes, settings)
    assert status == 0, text
    return folder / name / "member-3"


def curve(model: Path) -> torch.Tensor:
    lines = log.read_metrics(model / "metrics.jsonl")
    return torch.tensor(
        [[line["loss"], line["gradient_norm"], line["accuracy"]] for line in lines], dtype=torch.float64
    )


@pytest.mark.parametrize("batch", [50, 51])  # the second is not shared out evenly
def test_two_processes_have_the_loss_curve_of_one_with_the_whole_batch(folder, batch):
    alone, two = (train(folder, f"{count}-{batch}", count, batch_size=batch) for count in (1, 2))
    assert len(curve(alone)) > 30 and torch.allclose(curve(alone), curve(two), atol=1e-4)
    one, other = (models.load(model / "model.safetensors").state_dict() for model in (alone, two))
    assert all(torch.allclose(one[name], other[name], atol=1e-4) for name in one)
    assert io.read_info(alone)["dev"] == pytest.approx(io.read_info(two)["dev"], abs=2e-3)


def test_each_process_has_random_numbers_of_its_own(folder):
    assert Ranks().seed(7) == 7 and len({Ranks(rank, 3).seed(7) for rank in range(3)}) == 3
    alone, two = (train(folder, f"dropout-{count}", count, dropout=0.5) for count in (1, 2))
    assert not torch.allclose(curve(alone)[:5], curve(two)[:5], atol=1e-4)
    assert curve(two)[-1, 0] < 0.8 * curve(two)[0, 0]


def test_a_lost_process_stops_all_and_the_next_start_goes_on(folder):
    settings: dict[str, object] = {"dropout": 0.3, "checkpoint_steps": 4}
    whole = train(folder, "whole", 2, **settings)
    status, text = start(folder, "lost", 2, settings, lost_at=11)
    assert status != 0 and not (folder / "lost" / "member-3" / "info.json").exists()
    assert together.LOST in text and "the last checkpoint is kept: start again" in text
    again = train(folder, "lost", 2, **settings)
    assert io.fingerprint(again) == io.fingerprint(whole)
    assert torch.equal(curve(again), curve(whole))


def test_training_goes_on_with_another_number_of_processes(folder):
    settings: dict[str, object] = {"checkpoint_steps": 4}
    assert start(folder, "fewer", 2, settings, lost_at=11)[0] != 0
    fewer, alone = train(folder, "fewer", 1, **settings), train(folder, "single", 1, **settings)
    assert torch.allclose(curve(fewer), curve(alone), atol=1e-4)


def test_what_the_first_refuses_is_told_once(folder):
    train(folder, "told", 2)
    status, text = start(folder, "told", 2, {"dropout": 0.25})
    assert status != 0 and text.count("made with another options.train.dropout (expected 0.25, found 0.0)") == 1


def test_more_processes_than_examples_in_a_batch(folder):
    status, text = start(folder, "small", 2, {"batch_size": 1})
    told = (
        "more processes than examples in a batch (expected at most 1, found 2); start fewer, or set a larger batch_size"
    )
    assert status != 0 and told in text


def test_alone_nothing_is_exchanged(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    together.ranks.cache_clear()
    alone, vector = together.ranks(), torch.ones(2)
    alone.add(vector)
    assert (alone.rank, alone.size, alone.first) == (0, 1, True) and vector.tolist() == [1, 1]
    assert alone.from_first(lambda: 5) == 5 and alone.gathered("a") == ["a"]


def test_processes_that_cannot_be_joined(monkeypatch):
    together.ranks.cache_clear()
    monkeypatch.setenv("WORLD_SIZE", "2")
    for name in ("RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(
        Refusal, match="the processes of this training cannot be joined .found .*; start them by torchrun"
    ):
        together.ranks()
    together.ranks.cache_clear()
