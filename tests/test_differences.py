"""Where JSON values differ; options that an older version had not yet are no difference while they change nothing."""

from __future__ import annotations

from dataclasses import dataclass

from kdasr.differences import first_difference, option_difference


def test_the_first_difference():
    assert first_difference({"a": [1]}, {"a": [1]}) is None
    assert first_difference({"a": {"b": 1, "c": 2}}, {"a": {"b": 1, "c": 3}}) == ("a.c", 2, 3)
    assert first_difference({"a": 1}, {"a": 1, "b": 2}) == ("b", None, 2)
    assert first_difference({"a": 1, "b": 2}, {"a": 1}) == ("b", 2, None)


@dataclass
class Options:
    """Some that a version after the first could have."""

    epochs: int = 5
    clip: float = 5.0
    jitter: int = 0
    start: str = "random"


def test_an_option_that_is_off_but_not_by_default_is_a_difference_to_a_version_that_had_it_not_yet():
    assert option_difference({"epochs": 5, "clip": 5.0}, Options()) is None
    assert option_difference({"epochs": 5, "jitter": 0}, Options(), "train") == ("train.clip", None, 5.0)
    assert option_difference({"train": {"epochs": 5}}, {"train": Options(clip=0.0)}) == ("train.clip", None, 0.0)
    assert option_difference({"train": {"epochs": 5, "clip": 5.0}}, {"train": Options(jitter=2)}) == (
        "train.jitter",
        None,
        2,
    )
    assert option_difference({"epochs": 5, "clip": 5.0}, Options(start="teacher")) == ("start", None, "teacher")
    assert option_difference({}, {"images": {"classes": [], "more": {"a": 0}}}) is None  # a section of its own
