"""benchmarks/training.py: nets as the recipes set them."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
CONF = yaml.safe_load((ROOT / "egs" / "mnist" / "conf" / "default.yaml").read_text())


@pytest.mark.parametrize(
    "net, options",
    [("mnist-teacher", {**CONF["train"], **CONF["parts"]["teacher"]["train"]}), ("mnist-student", CONF["student"])],
)
def test_a_net_is_timed_as_its_recipe_sets_it(net, options):
    command = [sys.executable, ROOT / "benchmarks" / "training.py", "--net", net, "--rounds", "2", "--threads", "1"]
    row = json.loads(subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT).stdout)
    assert row["net"] == net and row["batch"] == options["batch_size"]
    assert row["targets"] == ("hard" if net == "mnist-teacher" else "soft")
    for name in ("dropout", "input_dropout", "jitter", "max_norm"):
        assert row.get(name, 0) == options.get(name, 0)
    assert row["frames/s"] > 0 and row["share"] == pytest.approx(row["frames/s"] / row["bound"], rel=0.01)
