"""Where a system of a study shared cells with one before it, its row lacked these, and so did mean, spread and p."""

from __future__ import annotations

from tests.cli.test_study import folder, rows, run

__all__ = ["folder"]  # a fixture


def test_each_has_all_of_its_own_and_equal_ones_are_computed_once(folder):
    hot = "{members: [2], distill.temperature: [1, 2], seed: [0, 1, 2]}"
    run(folder, "split", study=f"\n  {{seeds: [0, 1], student: [{{members: [2]}}, {hot}]}}\n")
    found = rows(folder, "split")
    named = [f"student,members=2,distill.temperature=2,seed={seed}" for seed in range(3)]
    assert len(found) == 2 + 6 and all(name in found for name in named)
    assert found[named[0]]["dev"] == found["student,members=2,seed=0"]["dev"]
    assert [(folder / "split" / name).exists() for name in named] == [False, False, True]
