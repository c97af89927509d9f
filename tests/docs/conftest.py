"""A checkout for the commands of the documents: the tutorial is done in it once a session, for all of its processes."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.docs import blocks

TUTORIAL = blocks.ROOT / "docs" / "tutorial.md"
FEW = (
    "subsets: {number: 2, size: 20}\nspecialist: {epochs: 1, threads: 1}\n"  # as conf/default.yaml of other recipes has
)


@dataclass(frozen=True)
class Checkout:
    """A copy of the checkout.

    Attributes:
        folder: its root.
        full: recipes have their own settings, and long blocks are run; else those of `conf/smoke.yaml`.
        failed: what failed of the tutorial.
    """

    folder: Path
    full: bool
    failed: list[str]


@pytest.fixture(scope="session")
def checkout(request, tmp_path_factory) -> Checkout:
    pytest.importorskip("k2")
    pytest.importorskip("espeakng_loader")
    full: bool = request.param
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    folder = shared / ("docs-full" if full else "docs")
    with open(shared / f"{folder.name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = folder / ".tutorial.json"
        if not done.exists():
            copy(folder)
            settings(folder / "egs" / "digits" / "conf", full)
            failed = blocks.run(TUTORIAL, folder, full)
            if not failed:
                leave(folder / "egs" / "digits")
            done.write_text(json.dumps(failed))
        return Checkout(folder, full, json.loads(done.read_text()))


def copy(folder: Path) -> None:
    """Copies all files that git tracks, or would."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=blocks.ROOT, text=True, capture_output=True, check=True).stdout
    for name in filter(None, listed.split("\0")):
        if (blocks.ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(blocks.ROOT / name, folder / name)


def settings(conf: Path, full: bool) -> None:
    """Gives default.yaml the settings of smoke.yaml, if few will do."""
    text = (conf / ("default.yaml" if full else "smoke.yaml")).read_text()
    (conf / "default.yaml").write_text(text + FEW)


def leave(recipe: Path) -> None:
    """Leaves what the commands of documents expect beside a recipe's own: recordings, cuts, alignments by a `sat`."""
    import soundfile

    spoken = sorted((recipe / "data" / "manifests" / "test" / "audio").glob("*/*.flac"))
    (recipe / "talks").mkdir()
    for name, path in zip(("speech.wav", "other.mp3", "talks/monday.flac"), spoken, strict=False):
        soundfile.write(recipe / name, *soundfile.read(path))
    shutil.copy(recipe / "data" / "manifests" / "dev" / "cuts.jsonl.gz", recipe / "my_cuts.jsonl.gz")
    (recipe / "exp" / "ali" / "sat").symlink_to(".")
