"""What specialists add to their generalist (section 5.5): over all classes, within their own, and by coverage."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from kdasr import io, jobs
from kdasr.data.examples import Examples, Source
from kdasr.distill.ensemble import Ensemble
from kdasr.refusal import Refusal
from kdasr.specialists.joint import Joint
from kdasr.train.accuracy import expect_numbers, in_order

VERB = "gain"
PARTS = ("all", "conditional", "active", "by_coverage", "by_specialist")


def relative(before: int, after: int) -> float | None:
    """Change of a count of right examples, relative; None where none was right before."""
    return after / before - 1 if before else None


class Gain:
    """Counts up right examples of the generalist, of each specialist, and of their joint prediction.

    Attributes:
        covered: examples, right ones of the generalist, of the joint prediction, by the number of specialists that
            know the right class, (M + 1, 3) int64.
        conditional: examples whose class specialist m knows, right ones of the generalist, of the joint prediction, and
            of the specialist when each chooses among these classes alone, (M, 4) int64.
        asked: how many specialists were active, of all examples together.

    Args:
        subsets: S^m of each specialist.
        num_classes: S.
    """

    def __init__(self, subsets: Sequence[Sequence[int]], num_classes: int) -> None:
        self.subsets = [torch.tensor(some) for some in subsets]
        self.covering = torch.cat(self.subsets).bincount(minlength=num_classes)  # subsets that each class is in
        self.covered = torch.zeros(len(subsets) + 1, 3, dtype=torch.int64)
        self.conditional = torch.zeros(len(subsets), 4, dtype=torch.int64)
        self.asked = 0

    def add(self, generalist: Tensor, joint: Tensor, labels: Tensor) -> None:
        """Adds a batch: logits (B, S) of both, and the right classes (B,).

        Raises:
            Refusal: some are not numbers.
        """
        for z in (generalist, joint):
            expect_numbers(z)
        by = self.covering[labels]
        right = [torch.ones_like(by), *((z.argmax(1) == labels).long() for z in (generalist, joint))]
        self.covered.index_add_(0, by, torch.stack(right, 1))

    def add_within(self, number: int, generalist: Tensor, joint: Tensor, specialist: Tensor, labels: Tensor) -> None:
        """Adds examples whose class specialist m knows.

        Args:
            number: m.
            generalist: logits, (R, S).
            joint: logits, (R, S).
            specialist: logits of the classes of S^m, (R, C).
            labels: right classes, (R,).
        """
        subset = self.subsets[number]
        guesses = generalist[:, subset].argmax(1), joint[:, subset].argmax(1), specialist.argmax(1)
        rights = [int((subset[guess] == labels).sum()) for guess in guesses]
        self.conditional[number] += torch.tensor([len(labels), *rights])

    def merge(self, other: Gain) -> None:
        """Adds another's counts."""
        self.covered += other.covered
        self.conditional += other.conditional
        self.asked += other.asked

    def as_json(self) -> dict[str, Any]:
        """Accuracies, their relative changes, and the tables, as JSON types."""
        within = self.conditional.sum(0).tolist()
        tables = {
            "by_coverage": [{"specialists": number, **_row(row)} for number, row in enumerate(self.covered.tolist())],
            "by_specialist": [
                {"number": number, "classes": len(subset), **_row(row)}
                for number, (subset, row) in enumerate(zip(self.subsets, self.conditional.tolist(), strict=True))
            ],
        }
        active = self.asked / max(1, int(self.covered[:, 0].sum()))
        return {"all": _row(self.covered.sum(0).tolist()), "conditional": _row(within), "active": active, **tables}


def _row(counts: Sequence[int]) -> dict[str, Any]:
    examples, before, after, *alone = counts
    row = {"examples": examples, "generalist": before, "joint": after, "relative": relative(before, after)}
    return {**row, "specialist": alone[0]} if alone else row


def measure(joint: Joint, examples: Examples, device: torch.device | str = "cpu") -> Gain:
    """What a joint model adds to its generalist on a set.

    Args:
        joint: on the device.
        examples: of the same labelling.
        device: where it computes.
    """
    subsets, total = joint.options.subsets, Gain(joint.options.subsets, joint.num_classes)

    def batch(some: tuple[Tensor, Tensor]) -> Gain:
        x, y = some
        gain, labels = Gain(subsets, joint.num_classes), y.cpu()
        with torch.no_grad():  # a thread's own setting
            logits = joint.generalist(x).float()
            before, after = logits.cpu(), joint.combined(logits, x).cpu()
            gain.add(before, after, labels)
            gain.asked = int(joint.cover.active(logits, joint.options.top).sum())
            for number, (specialist, subset) in enumerate(zip(joint.specialists, gain.subsets, strict=True)):
                rows = torch.isin(labels, subset).nonzero().flatten()
                if len(rows):
                    own = specialist(x[rows.to(x.device)]).float().cpu()
                    own = own[:, : len(subset)] if joint.with_dustbin else own[:, subset]
                    gain.add_within(number, before[rows], after[rows], own, labels[rows])
        return gain

    for gain in jobs.in_threads(batch, in_order(examples, device)):
        total.merge(gain)
    return total


def score_gain(out: Path, folder: Path, source: Source, overwrite: bool = False) -> dict[str, Any]:
    """Writes what a joint model adds to its generalist on a set into a folder, unless it is there; returns it.

    Raises:
        Refusal: the model is no joint one, or the set is none of its.
    """
    if io.begin(out, io.Made(VERB, {}, {**source.fingerprints(), "model": io.fingerprint(folder, "joint")}), overwrite):
        ensemble, examples = Ensemble.load(folder, device="auto"), source.open()
        ensemble.expect(examples)
        joint = ensemble.members[0]
        if not isinstance(joint, Joint):
            raise Refusal("not a joint model", where=folder, expected=Joint.name, found=joint.name)
        found = measure(joint, examples, ensemble.device).as_json()
        io.write_json(out / "gain.json", found)
        io.finish(out, **found)
    return {name: value for name, value in io.read_info(out).items() if name in PARTS}


def table(found: dict[str, Any]) -> str:
    """What `score_gain` returned, as lines of text."""
    lines = [f"{name}: {_line(found[name])}" for name in ("all", "conditional")]
    lines.append(f"{found['active']:.2f} specialists are asked an example")
    lines += [f"{row['specialists']} cover the class: {_line(row)}" for row in found["by_coverage"] if row["examples"]]
    lines += [f"within specialist {row['number']}'s {row['classes']}: {_line(row)}" for row in found["by_specialist"]]
    return "\n".join(lines)


def _line(row: dict[str, Any]) -> str:
    share = {
        name: 100 * row[name] / max(1, row["examples"]) for name in ("generalist", "joint", "specialist") if name in row
    }
    change = "n/a" if row["relative"] is None else f"{100 * row['relative']:+.2f} %"
    alone = f", specialists alone {share['specialist']:.2f} %" if "specialist" in share else ""
    return (
        f"{share['generalist']:.2f} % -> {share['joint']:.2f} % ({change} relative){alone}, {row['examples']} examples"
    )
