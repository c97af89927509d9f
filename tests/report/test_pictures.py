"""Learning curves."""

from pathlib import Path

import pytest

from kdasr.report import pictures
from kdasr.report.run import read_run


def test_curves_have_a_point_an_epoch(exp):
    found = pictures.curves([read_run(exp)])
    assert [part for part, _ in found] == ["members", "members", "student"]
    assert [line["epoch"] for line in found[2][1]] == [1, 2]
    assert found[2][1][1]["dev_accuracy"] == pytest.approx(0.645 - 0.1 / 2)


def test_the_picture_is_a_png_and_the_same_again(exp, tmp_path):
    run = [read_run(exp)]
    one, two = tmp_path / "one.png", tmp_path / "two.png"
    assert pictures.draw(one, run) and pictures.draw(two, run)
    assert one.read_bytes().startswith(b"\x89PNG") and one.read_bytes() == two.read_bytes()


def test_no_curve_no_picture(exp, tmp_path):
    for path in Path(exp).rglob("metrics.jsonl"):
        path.unlink()
    assert not pictures.draw(tmp_path / "x.png", [read_run(exp)]) and not (tmp_path / "x.png").exists()
