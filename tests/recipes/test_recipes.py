"""Every recipe from a clean folder with conf/smoke.yaml, held to a bound; and one that is killed again and again."""

import os
import random
import re
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest

from kdasr import io
from tests.images import write_idx

ROOT = Path(__file__).resolve().parents[2]
CORPORA = Path(os.environ.get("KDASR_DATA", ROOT.parent / "shared" / "data"))
MODELS = ("mono", "members/member-0", "members/member-1", "soft_targets", "student/student-0")
BOUNDS = {"digits": 40.0, "an4": 40.0, "yesno": 10.0}  # WER of the GMM on the test set, per cent

pytestmark = pytest.mark.recipe


def command(recipe: str, folder: Path) -> list[str]:
    run = [str(ROOT / "egs" / recipe / "run.sh"), "--data", str(folder / "data"), "--exp", str(folder / "exp")]
    return [*run, "--conf", str(ROOT / "egs" / recipe / "conf" / "smoke.yaml"), "--seeds", "0-1"]


def run_whole(recipe: str, folder: Path) -> str:
    done = subprocess.run(command(recipe, folder), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:] + done.stdout[-1000:]
    return done.stdout + done.stderr


def need(recipe: str) -> None:
    if recipe != "digits" and not (CORPORA / recipe).is_dir():
        pytest.skip(f"{CORPORA / recipe} is not there")
    pytest.importorskip("k2")
    if recipe == "digits":
        pytest.importorskip("espeakng_loader")


def word_error_rate(folder: Path, system: str) -> float:
    rate = io.read_json(folder / "exp" / "score" / system / "wer.json")["test"]["wer"]
    assert isinstance(rate, float)
    return rate


@pytest.mark.parametrize("recipe", ["digits", "an4"])
def test_recipe_runs_from_a_clean_folder(recipe: str, tmp_path: Path) -> None:
    need(recipe)
    run_whole(recipe, tmp_path)
    assert word_error_rate(tmp_path, "gmm") < BOUNDS[recipe]
    for system in ("members/ensemble", "members/member-0", "student"):
        assert 0 <= word_error_rate(tmp_path, system) < 100
    table = (tmp_path / "exp" / "results.md").read_text()
    assert "nsemble" in table and re.search(r"\d+\.\d+", table)


def test_the_study_on_images_runs_from_a_clean_folder(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for part, count in (("train", 2000), ("t10k", 500)):
        labels = rng.integers(0, 10, count)
        pictures = rng.integers(0, 60, (count, 28, 28))
        for picture, label in zip(pictures, labels, strict=True):
            picture[4 + 2 * label : 6 + 2 * label, 8:20] += 150  # a bar, the lower the larger the class
        write_idx(tmp_path / "idx" / f"{part}-images-idx3-ubyte", pictures)
        write_idx(tmp_path / "idx" / f"{part}-labels-idx1-ubyte", labels)
    own = ["--corpus", str(tmp_path / "idx"), "--set", "mnist.check=false", "--temperatures", "2,20", "--widths", "20"]
    seeds = ["--seeds", "0,1", "--num-jobs", "1"]
    done = subprocess.run([*command("mnist", tmp_path), *own, *seeds], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:] + done.stdout[-1000:]
    for name in ("small", "best"):
        assert io.read_info(tmp_path / "exp" / "accuracy" / "test" / name)["accuracy"] > 0.3  # 0.1 by chance
    for seed in (0, 1):
        found = io.read_info(tmp_path / "exp" / "bias" / "without_3" / str(seed))["errors"]["test"]
        assert found["best"]["errors"] <= found["before"]["errors"]
    table = (tmp_path / "exp" / "results.md").read_text()
    assert "ensemble of 2 teachers" in table and "7s and 8s alone" in table and "T = 20" in table
    assert (tmp_path / "exp" / "results-temperatures.png").exists()


def test_a_recipe_killed_at_any_moment_ends_with_the_same_models(tmp_path: Path) -> None:
    need("yesno")
    begin = time.monotonic()
    run_whole("yesno", tmp_path / "calm")
    seconds = time.monotonic() - begin
    assert word_error_rate(tmp_path / "calm", "gmm") < BOUNDS["yesno"]
    moments, killed_in = random.Random(2015), []
    for number in range(4):
        with open(tmp_path / f"log-{number}", "w") as log:
            process = subprocess.Popen(
                command("yesno", tmp_path / "killed"), stdout=log, stderr=log, start_new_session=True
            )
            try:
                process.wait(moments.uniform(0.1, 0.4) * seconds)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                assert process.wait() == -signal.SIGKILL
                killed_in += re.findall(r"=== stage (\d+):", (tmp_path / f"log-{number}").read_text())[-1:]
    assert len(killed_in) >= 3 and len(set(killed_in)) >= 2, killed_in  # in the middle of at least two stages
    run_whole("yesno", tmp_path / "killed")
    for model in MODELS:
        calm, killed = (io.read_info(tmp_path / run / "exp" / model)["fingerprint"] for run in ("calm", "killed"))
        assert calm == killed, model
    assert word_error_rate(tmp_path / "calm", "student") == word_error_rate(tmp_path / "killed", "student")


def test_a_finished_recipe_is_up_to_date_and_other_settings_are_refused(tmp_path: Path) -> None:
    need("yesno")
    stages = ["--stop-stage", "2"]
    for again in (False, True):
        done = subprocess.run([*command("yesno", tmp_path), *stages], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert ("up to date" in done.stderr) == again
    other = [*command("yesno", tmp_path), *stages, "--stage", "2", "--set", "lm.order=2"]
    refused = subprocess.run(other, capture_output=True, text=True)
    assert refused.returncode == 1
    assert "options.order" in refused.stderr and "--overwrite" in refused.stderr
    assert "resume with" in refused.stdout + refused.stderr
