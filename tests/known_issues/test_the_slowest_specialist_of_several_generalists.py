"""Where several generalists had specialists, "at most" was the mean of each one's slowest."""

import json
import shutil

from kdasr.report.run import read_run
from kdasr.report.specialists import specialists_tables
from tests.report import runs


def test_at_most_is_the_slowest_of_all(tmp_path):
    """Of the generalist's 3 s: 0.5 and 1 s beside one generalist, 0.5 and 2 s beside the other."""
    exp = runs.write_run(tmp_path / "exp")
    runs.add_specialists(exp)
    shutil.copytree(exp / "specialists", exp / "slower")
    shutil.copytree(exp / "slower", exp / "specialists/member-0")
    (exp / "slower").rename(exp / "specialists/member-1")
    for name in ("nets", "gain", "accuracy", "score"):
        shutil.rmtree(exp / "specialists" / name)
    line = json.dumps({"step": 100, "epoch": 1, "frames_per_second": 12800.0, "loss": 1.0})
    (exp / "specialists/member-1/nets/specialist-1/metrics.jsonl").write_text(f"{line}\n")
    text = specialists_tables([read_run(exp)])
    assert "in 33.3 % of its generalist's time on average, 66.7 % at most" in text
