"""Measures counted by hand."""

from __future__ import annotations

import torch

from kdasr.specialists.measures import Gain, relative, table


def logits(guesses: list[int], classes: int = 4) -> torch.Tensor:
    return torch.nn.functional.one_hot(torch.tensor(guesses), classes).float()


def test_accuracy_is_counted_by_how_many_know_the_right_class():
    gain = Gain([[0, 1], [1, 2]], 4)  # class 1 twice, 0 and 2 once, 3 never
    labels = torch.tensor([0, 1, 1, 2, 3, 3])
    gain.add(logits([0, 1, 0, 0, 3, 0]), logits([0, 1, 1, 2, 0, 3]), labels)
    assert gain.covered.tolist() == [[2, 1, 1], [2, 1, 2], [2, 1, 2]]
    gain.add(logits([1]), logits([1]), torch.tensor([2]))
    found = gain.as_json()
    assert found["by_coverage"][1] == {"specialists": 1, "examples": 3, "generalist": 1, "joint": 2, "relative": 1.0}
    assert found["all"] == {"examples": 7, "generalist": 3, "joint": 5, "relative": 5 / 3 - 1}


def test_conditional_accuracy_chooses_among_the_subsets_classes_alone():
    gain = Gain([[2, 0]], 4)
    generalist = torch.tensor([[1.0, 9, 0, 0], [0, 9, 1, 0], [1, 0, 0, 9]])  # among 2 and 0: 0, 2, 0
    specialist = torch.tensor([[0.0, 1], [1, 0], [1, 0]])  # 0, 2, 2
    joint = torch.tensor([[0.0, 9, 1, 0], [0, 9, 1, 0], [0, 0, 1, 9]])  # 2, 2, 2
    gain.add_within(0, generalist, joint, specialist, torch.tensor([0, 2, 2]))
    assert gain.conditional.tolist() == [[3, 2, 2, 3]]
    row = gain.as_json()["by_specialist"][0]
    expected = {"number": 0, "classes": 2, "examples": 3, "generalist": 2, "specialist": 3, "joint": 2, "relative": 0.0}
    assert {name: row[name] for name in expected} == expected
    assert "conditional: 66.67 % -> 66.67 % (+0.00 % relative), specialists alone 100.00 %, 3 examples" in table(
        gain.as_json()
    )


def test_from_nothing_there_is_no_relative_change():
    assert relative(0, 3) is None and relative(4, 5) == 0.25
    assert "n/a" in table(Gain([[0]], 2).as_json()) and "cover" not in table(Gain([[0]], 2).as_json())
