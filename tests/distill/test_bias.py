"""Shifted biases: errors counted at once are those of nets shifted one by one."""

import pytest
import torch

from kdasr import models
from kdasr.data.images import ImageExamples
from kdasr.distill import bias
from kdasr.distill.bias import BiasOptions, Curve
from kdasr.models.dnn import DnnOptions
from kdasr.refusal import Refusal
from tests import images


@pytest.fixture
def examples(tmp_path):
    return ImageExamples(images.write_set(tmp_path / "set", 200, seed=3))


@pytest.fixture
def model():
    torch.manual_seed(5)
    return models.build("dnn", DnnOptions(1, 16), (8, 8), 4)


def test_a_shift_comes_among_those_tried_once():
    shifts = BiasOptions(-1, 1, 0.1).shifts()
    assert bias.among(shifts, 0.7) is shifts and 0.7 not in shifts.tolist()  # which holds 0.7000000000000001
    wider = bias.among(shifts, 3.25).tolist()
    assert wider == [*shifts.tolist(), 3.25] and bias.among(shifts, -0.15).tolist() == sorted([*shifts.tolist(), -0.15])


@pytest.mark.parametrize("classes", [(2,), (0, 3)])
def test_errors_are_those_of_nets_shifted_one_by_one(examples, model, classes):
    shifts = BiasOptions(-2, 2, 0.25).shifts()
    found = bias.curve(model, examples, classes, shifts)
    x, y = examples.batch(torch.arange(200))
    own = torch.isin(y, torch.tensor(classes))
    for number, shift in enumerate(shifts.tolist()):
        other = bias.shifted(models.cast(model, torch.float32), classes, shift)
        wrong = other(x).argmax(1) != y
        assert int(found.errors[number]) == int(wrong.sum())
        assert int(found.class_errors[number]) == int(wrong[own].sum())
    assert found.num_examples == 200 and found.num_class_examples == 50 * len(classes)
    assert len(set(found.errors.tolist())) > 3


def test_shifts_hold_no_shift_and_their_ends():
    shifts = BiasOptions(-0.3, 0.5, 0.1).shifts()
    torch.testing.assert_close(shifts, torch.tensor([-0.3, -0.2, -0.1, 0, 0.1, 0.2, 0.3, 0.4, 0.5]).double())
    assert 0.0 in shifts.tolist()


@pytest.mark.parametrize(
    "errors, chosen",
    [
        ([9, 9, 9, 5, 5, 5, 5], 0.0),  # no shift is as good: none
        ([9, 9, 9, 9, 5, 5, 5], 2.0),  # the middle
        ([5, 5, 5, 9, 9, 9, 9], -2.0),
        ([5, 9, 9, 9, 9, 5, 5], 2.0),  # the nearer of two, and its middle
        ([9, 9, 9, 9, 9, 9, 5], 3.0),
    ],
)
def test_the_best_shift(errors, chosen):
    shifts = BiasOptions(-3, 3, 1).shifts()
    counted = torch.tensor(errors)
    found = bias.best(Curve(counted, counted, 100, 10), shifts)
    assert float(shifts[found]) == chosen


def test_the_summary_tells_before_after_and_best():
    shifts = BiasOptions(-1, 1, 1).shifts()
    found = Curve(torch.tensor([8, 6, 4]), torch.tensor([3, 2, 1]), 100, 10)
    assert bias.summary(found, shifts, 0) == {
        "examples": 100,
        "examples_of_classes": 10,
        "before": {"shift": 0.0, "errors": 6, "errors_of_classes": 2},
        "after": {"shift": -1.0, "errors": 8, "errors_of_classes": 3},
        "best": {"shift": 1.0, "errors": 4, "errors_of_classes": 1},
    }


@pytest.mark.parametrize("classes", [(4,), (-1,), (), (0, 1, 2, 3)])
def test_classes_that_cannot_be_shifted_are_refused(examples, model, classes):
    with pytest.raises(Refusal, match="classes that cannot be shifted .expected some of the classes 0 to 3, not all"):
        bias.curve(model, examples, classes, BiasOptions().shifts())


@pytest.mark.parametrize("bad", [{"lowest": 1.0}, {"highest": -1.0}, {"step": 0.0}])
def test_impossible_options_are_refused(bad):
    with pytest.raises(ValueError, match="lowest <= 0 <= highest and step > 0"):
        BiasOptions(**bad)
