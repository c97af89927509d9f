"""benchmarks/: nets as the recipes set them, small soft targets, and a graph that is made at once."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from kdasr.lang.lexicon import read_lexicon
from kdasr.lang.topology import make_topology
from tests import toy

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


@pytest.mark.parametrize("tail", ["uniform", "sampled"])
def test_soft_targets_are_sized_and_timed_both_ways(tail):
    small = ("--states", "120", "--teachers", "2", "--utterances", "2", "--rounds", "1", "--tail", tail)
    command = [sys.executable, str(ROOT / "benchmarks" / "soft_targets.py"), *small]
    shown = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT).stdout
    *sizes, written, read = map(json.loads, shown.splitlines())
    assert [row["T"] for row in sizes] == [1.0, 2.0, 5.0]
    lost = "variance of a drawn label's" if tail == "sampled" else "divergence"
    assert 0 <= sizes[0][lost] < sizes[2][lost] < 1
    for row in sizes:
        assert row["bytes a frame"] == pytest.approx(8 + 3 * row["states kept"], rel=0.02)
        assert row["share of dense"] == pytest.approx(row["bytes a frame"] / 480, rel=0.01)
    assert written["share"] == pytest.approx(written["frames/s"]["writing"] / written["frames/s"]["teachers"], rel=0.01)
    for way, share in read["share of the step"].items():
        times = read["ms a batch"]
        expected = (times.get(f"read {way}", 0) + times[f"loss {way}"]) / times["step"]
        assert share == pytest.approx(expected, rel=0.05, abs=0.001)  # both are rounded to thousandths


def test_reading_is_timed_from_memory_and_from_files():
    command = [sys.executable, str(ROOT / "benchmarks" / "loading.py"), "--hours", "0.05", "--rounds", "1"]
    row = json.loads(subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT).stdout)
    assert row["frames"] == 18_000 and min(row["frames/s from memory"], row["frames/s from files"]) > 0
    assert row["bytes in memory"] == 12 and 80 < row["bytes on disk"]["feats"] < 83


def test_joint_inference_is_timed_beside_a_loop_that_gives_the_same():
    small = ("--states", "40", "--size", "12", "--frames", "300", "--compared", "20", "--rounds", "1", "--threads", "1")
    command = [sys.executable, str(ROOT / "benchmarks" / "specialists.py"), *small]
    row = json.loads(subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT).stdout)
    assert row["active"] > 2 and row["frames/s"] > 0 and row["difference"] < 1e-4


def test_a_graph_is_timed_and_told_with_its_memory(tmp_path):
    pytest.importorskip("kaldifst")
    (tmp_path / "lexicon").write_text(toy.LEXICON)
    toy.context_tree(make_topology(read_lexicon(tmp_path / "lexicon")), 3).write(tmp_path / "tree")
    files = {"lexicon": tmp_path / "lexicon", "arpa": toy.write_arpa(tmp_path / "lm"), "tree": tmp_path / "tree"}
    options = [str(word) for name, path in files.items() for word in (f"--{name}", path)]
    command = [sys.executable, str(ROOT / "benchmarks" / "graph.py"), *options]
    shown = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT).stdout
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in shown.splitlines() if line.startswith("|")]
    assert [row[0] for row in rows[2:]] == [
        "decoding graph, s",
        "its memory, GiB",
        "search of random frames, x real time",
        "memory after it, GiB",
    ]
    assert [row[4] for row in rows[2:]] == ["yes", "yes", "", "yes"]
