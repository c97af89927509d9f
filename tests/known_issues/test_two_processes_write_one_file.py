"""Parts of a set that are decoded side by side each wrote `lattices/words.json`: one took the other's file away."""

import pytest

pytest.importorskip("k2")

from kdasr.decode.lattice import LatticeWriter


def test_one_part_writes_what_the_words_of_all_mean(tmp_path):
    LatticeWriter(tmp_path, ["A"], [[], [1]], part=1)
    assert list(tmp_path.rglob("*")) == []
    LatticeWriter(tmp_path, ["A"], [[], [1]], part=0)
    assert [path.name for path in tmp_path.rglob("*.json")] == ["words.json"]
