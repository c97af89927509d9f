"""Speakers held out for development: shares of the sexes, an order that no list tells, namesakes together."""

import hashlib

import pytest

from kdasr.corpora import held_out


def by_hash(names: list[str]) -> list[str]:
    return sorted(names, key=lambda name: hashlib.sha256(name.encode()).hexdigest())


@pytest.mark.parametrize(
    ("num_women", "num_men", "count", "women", "men"),
    [(16, 12, 3, 2, 1), (5, 5, 4, 2, 2), (0, 9, 3, 0, 3), (8, 1, 2, 2, 0)],
)
def test_each_sex_gives_its_share_the_first_by_their_hash(num_women, num_men, count, women, men):
    female, male = [f"f{n}" for n in range(num_women)], [f"m{n}" for n in range(num_men)]
    expected = sorted(by_hash(female)[:women] + by_hash(male)[:men])
    assert held_out.choose(female, male, count) == expected
    assert held_out.choose(reversed(female), reversed(male), count) == expected


def test_speakers_of_one_person_stay_together_and_give_way_where_they_do_not_fit():
    names = ["abc", "abc2", "abc3", "xyz"]
    assert held_out.choose([], names, 2, lambda name: name.rstrip("0123456789")) == ["xyz"]
    assert held_out.choose([], names, 4, lambda name: name.rstrip("0123456789")) == names
