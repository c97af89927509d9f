"""The bias that a transfer set without some classes leaves behind, and its correction (section 3).

A student that never saw a class in its transfer set knows it from soft targets, but expects it too seldom; one that saw
two classes alone expects them too often. One number, added to the biases of these classes, makes up for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from kdasr.data.examples import Examples
from kdasr.models import Model
from kdasr.refusal import Refusal
from kdasr.train.accuracy import in_order


@dataclass(frozen=True)
class BiasOptions:
    """The shifts that are tried.

    Attributes:
        lowest: shift, in logits.
        highest: shift.
        step: between two shifts.
    """

    lowest: float = -20.0
    highest: float = 20.0
    step: float = 0.1

    def __post_init__(self) -> None:
        if not (self.lowest <= 0 <= self.highest and self.step > 0):
            raise ValueError("lowest <= 0 <= highest and step > 0, so that no shift is one of those tried")

    def shifts(self) -> Tensor:
        """All shifts, ascending, 0 among them, (K,) float64."""
        below, above = (int(abs(end) / self.step + 1e-9) for end in (self.lowest, self.highest))
        return torch.arange(-below, above + 1, dtype=torch.float64) * self.step


def among(shifts: Tensor, shift: float) -> Tensor:
    """The shifts (K,), and `shift` too if it is none of them, ascending."""
    if float((shifts - shift).abs().min()) < 1e-6:  # shifts are kept rounded to as much
        return shifts
    return torch.cat([shifts, shifts.new_tensor([shift])]).sort().values


@dataclass(frozen=True)
class Curve:
    """Errors of a set at every shift.

    Attributes:
        errors: of all examples, (K,) int64.
        class_errors: of the examples of the shifted classes, (K,) int64.
        num_examples: of the set.
        num_class_examples: of the shifted classes.
    """

    errors: Tensor
    class_errors: Tensor
    num_examples: int
    num_class_examples: int


@torch.no_grad()
def curve(model: Model, examples: Examples, classes: Sequence[int], shifts: Tensor) -> Curve:
    """Counts errors at every shift of the classes' biases.

    Args:
        model: float32, on the CPU.
        examples: all are scored.
        classes: whose biases are shifted.
        shifts: (K,) float64, ascending.

    Raises:
        Refusal: a class that the model does not have, or no other class is left.
    """
    others = [number for number in range(model.num_classes) if number not in classes]
    unknown = sorted(set(classes) - set(range(model.num_classes)))
    if unknown or not classes or not others:
        expected = f"some of the classes 0 to {model.num_classes - 1}, not all"
        raise Refusal("classes that cannot be shifted", expected=expected, found=", ".join(map(str, classes)) or "none")
    thresholds, kinds = [], []
    for x, y in in_order(examples):
        logits = model(x).double()
        inside, outside = logits[:, list(classes)].max(1), logits[:, others].max(1)
        thresholds.append(outside.values - inside.values)  # beyond this shift one of the classes wins
        shifted = torch.isin(y, torch.tensor(classes))
        right_inside = torch.tensor(classes)[inside.indices] == y
        right_outside = torch.tensor(others)[outside.indices] == y
        kinds.append(torch.stack([shifted, right_inside, right_outside]))
    limit, (shifted, right_inside, right_outside) = torch.cat(thresholds), torch.cat(kinds, 1)
    wins = shifts[:, None] > limit
    wrong = ~torch.where(wins, right_inside, right_outside)
    return Curve(wrong.sum(1), wrong[:, shifted].sum(1), len(limit), int(shifted.sum()))


def best(found: Curve, shifts: Tensor) -> int:
    """Number of the shift with the fewest errors; of several, none, or the middle of the stretch nearest to none."""
    fewest = (found.errors == found.errors.min()).nonzero().flatten()
    start = int(fewest[shifts[fewest].abs().argmin()])
    if shifts[start] == 0:
        return start
    end = start
    direction = 1 if shifts[start] > 0 else -1
    while 0 <= end + direction < len(shifts) and found.errors[end + direction] == found.errors[start]:
        end += direction
    return (start + end) // 2


def summary(found: Curve, shifts: Tensor, chosen: int) -> dict[str, Any]:
    """Errors without a shift, at the chosen one, and at the one that is best for this very set, as JSON types."""
    own = best(found, shifts)
    places = {"before": int((shifts == 0).nonzero()), "after": chosen, "best": own}
    errors = {
        name: {
            "shift": round(float(shifts[place]), 6),
            "errors": int(found.errors[place]),
            "errors_of_classes": int(found.class_errors[place]),
        }
        for name, place in places.items()
    }
    return {"examples": found.num_examples, "examples_of_classes": found.num_class_examples, **errors}


@torch.no_grad()
def shifted(model: Model, classes: Sequence[int], shift: float) -> Model:
    """The model with the biases of the classes shifted, in place."""
    model.output_bias()[list(classes)] += shift
    return model
