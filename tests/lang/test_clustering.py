"""Clusters of sums: divisions against all that there are, merges against a plain search, of the frames themselves."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from kdasr.lang.clustering import divisions, halves, partition
from tests.lang import seen

FLOOR = 0.01


def groups(num: int, seed: int, spread: float = 1.0) -> list[np.ndarray]:
    """Frames (n, 3) of each of some things, about points that lie `spread` apart."""
    rng = np.random.default_rng(seed)
    return [rng.normal(rng.normal(0, spread, 3), 1, (int(rng.integers(2, 40)), 3)) for _ in range(num)]


def sums_of(frames: list[np.ndarray]) -> np.ndarray:
    return np.array([[len(x), *x.sum(0), *(x**2).sum(0)] for x in frames])


def likelihood(frames: list[np.ndarray], label: np.ndarray) -> float:
    """Of all frames with a Gaussian for each label."""
    return sum(
        seen.log_likelihood(np.concatenate([x for x, own in zip(frames, label, strict=True) if own == value]), FLOOR)
        for value in set(label.tolist())
    )


@pytest.mark.parametrize("seed", range(8))
def test_halves_are_the_likeliest_of_all(seed):
    frames = groups(8, seed)
    every = (np.array([0, *rest]) for rest in itertools.product([0, 1], repeat=7))
    best = max(likelihood(frames, half) for half in every if half.any())
    assert likelihood(frames, halves(sums_of(frames), FLOOR)) == pytest.approx(best, abs=1e-6)


def test_divisions_go_from_all_to_each_and_find_what_belongs_together():
    rng = np.random.default_rng(3)
    centres = np.array([[0, 0], [0, 1], [20, 0], [20, 1], [40, 8]])
    frames = [rng.normal(centre, 0.1, (10, 2)) for centre in centres]
    found = [tuple(sorted(cluster)) for cluster in divisions(sums_of(frames), FLOOR)]
    assert found[0] == (0, 1, 2, 3, 4) and set(found[-5:]) == {(row,) for row in range(5)}
    assert len(found) == 9 and {(0, 1), (2, 3)} < set(found)
    for cluster in map(set, found[1:]):  # each is a half of another
        assert any(cluster < set(other) and tuple(sorted(set(other) - cluster)) in found for other in found)


def test_things_that_do_not_differ_are_divided_too():
    same = sums_of([np.ones((4, 2))] * 5)
    assert sorted(map(len, divisions(same, FLOOR)), reverse=True)[0] == 5 and len(divisions(same, FLOOR)) == 9
    assert divisions(same[:1], FLOOR) == [[0]] and divisions(same[:0], FLOOR) == []


def merged(frames: list[np.ndarray], threshold: float) -> set[frozenset[int]]:
    """The plain search: all pairs tried anew before each merge."""
    standing = [frozenset([row]) for row in range(len(frames))]

    def likelihood_of(cluster: frozenset[int]) -> float:
        return seen.log_likelihood(np.concatenate([frames[row] for row in sorted(cluster)]), FLOOR)

    while len(standing) > 1:
        loss, one, other = min(
            (likelihood_of(one) + likelihood_of(other) - likelihood_of(one | other), sorted(one), sorted(other))
            for one, other in itertools.combinations(standing, 2)
        )
        if loss >= threshold:
            break
        standing = [cluster for cluster in standing if sorted(cluster) not in (one, other)]
        standing.append(frozenset(one) | frozenset(other))
    return set(standing)


@pytest.mark.parametrize("threshold", [0, 5, 12, 20, 1e9])
def test_merges_are_those_of_the_plain_search(threshold):
    frames = groups(9, 5, 0.7)
    label = partition(sums_of(frames), FLOOR, threshold)
    assert {frozenset(np.flatnonzero(label == value).tolist()) for value in label} == merged(frames, threshold)
    order = list(dict.fromkeys(label.tolist()))
    assert order == list(range(len(order)))  # numbered as they are met
    assert {0: len(order) == 9, 1e9: len(order) == 1}.get(threshold, 1 < len(order) < 9)
