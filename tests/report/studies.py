"""A small study of section 3, finished: one teacher, small and distilled net a seed, their development nets."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kdasr import io
from kdasr.distill.study import Results
from tests.report import runs

IMAGES = 10_000
PAPER = {"without_3": (206, 109), "only_7_and_8": (4730, 1320)}


def score(wrong: int) -> dict[str, float]:
    return runs.score(1 - wrong / IMAGES, IMAGES)


def write_net(
    folder: Path, seed: int, dev: tuple[int, ...] = (), inputs: Mapping[str, str] | None = None, mean: str = "geometric"
) -> str:
    """A net of 7 epochs and 1200 steps of 100 images, at 1000 images a second: 2 minutes; dev errors by epoch."""
    section = "student" if inputs else "train"
    options: dict[str, Any] = {section: {"seed": seed, "epochs": 7, "batch_size": 100}, "dnn": runs.MODEL["options"]}
    options |= {"distill": {"mean": mean}} if inputs else {}
    lines: list[dict[str, float]] = [{"step": 100, "frames_per_second": 1000.0}]
    for epoch, wrong in enumerate(dev, 1):
        lines.append({"epoch": epoch, **{f"dev_{name}": value for name, value in score(wrong).items()}})
    facts = {"model": runs.MODEL, "seed": seed, "steps": 1200, "dev": score(dev[-1]) if dev else None}
    made = runs.make(folder, "distill" if inputs else "train", options, dict(inputs or {}), **facts)
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return made


def write_soft_targets(folder: Path, *teachers: str) -> dict[str, str]:
    """Soft targets of teachers; returns the student's input."""
    inputs = {f"teacher_{number}": teacher for number, teacher in enumerate(teachers)}
    return {"soft_targets": runs.make(folder, "soft-targets", inputs=inputs)}


def write_errors(exp: Path, system: str, nets: list[str], each: list[int], together: int) -> None:
    members = [{"folder": f"{system}/{number}", **score(wrong)} for number, wrong in enumerate(each)]
    inputs = {f"model_{number}": net for number, net in enumerate(nets)}
    facts = {**score(together), "members": members}
    runs.make(exp / "accuracy" / "test" / system, "accuracy", {"mean": "geometric"}, inputs, **facts)


def write_bias(exp: Path, part: str, seed: int, before: int, after: int, shift: float) -> None:
    """Test errors without a shift, with the one chosen on dev, and 5 fewer with the best one for test."""
    errors = {
        "before": {"shift": 0.0, "errors": before, "errors_of_classes": 130},
        "after": {"shift": shift, "errors": after, "errors_of_classes": 20},
        "best": {"shift": shift + 0.4, "errors": after - 5, "errors_of_classes": 14},
    }
    found = {"test": {"examples": IMAGES, "examples_of_classes": 1010, **errors}}
    shifts = [0.0, shift, shift + 0.4]
    for place, columns in (
        (f"bias/{part}", {"test": [before, after, after - 5], "test_of_classes": [130, 20, 14]}),
        (f"dev/bias/{part}", {"dev": [before + 9, after + 9, after + 10], "dev_of_classes": [133, 22, 16]}),
    ):
        errors_of = found if "test" in columns else {}
        runs.make(exp / place / str(seed), "bias", {"classes": [3]}, errors=errors_of, shift=shift)
        io.write_json(exp / place / str(seed) / "curve.json", {"shift": shifts, **columns})


def write_sweep(exp: Path, width: int, found: Mapping[float, list[int]]) -> None:
    """Dev errors of the students of a width: temperature -> one a seed."""
    cells = [(temperature, seed, wrong) for temperature, each in found.items() for seed, wrong in enumerate(each)]
    rows = [
        runs.row("student", seed, score(wrong), {"distill.temperature": temperature})
        for temperature, seed, wrong in cells
    ]
    Results({}, rows).write(exp / "dev" / f"grid_{width}" / "results.json")


def write_study(exp: Path, seeds: tuple[int, ...] = (0, 1), more: int = 0, shift: float = 3.1) -> Path:
    """Test errors: teachers 64 and 70, together 55; small nets 140 and 150; distilled ones 79 and 75; all + `more`."""
    dev_teacher = write_net(exp / "dev" / "teacher" / "member-0", 0, (300, 100, 90))
    of_dev = write_soft_targets(exp / "dev" / "soft_targets", dev_teacher)
    write_net(exp / "dev" / "small" / "member-0", 0, (400, 180, 160))
    write_net(exp / "dev" / "distilled" / "student-0", 0, (350, 130, 110), of_dev)
    of_best = write_net(exp / "dev" / "best_teacher" / "member-0", 0, (310, 110, 85))
    write_net(exp / "dev" / "best" / "student-0", 0, (330, 120, 80), {"teacher_0": of_best}, "arithmetic")

    teachers = [write_net(exp / "teacher" / f"member-{seed}", seed) for seed in seeds]
    small = [write_net(exp / "small" / f"member-{seed}", seed) for seed in seeds]
    one = write_soft_targets(exp / "soft_targets", teachers[0])
    every = write_soft_targets(exp / "ensemble_soft_targets", *teachers)
    best_teachers = [write_net(exp / "best_teacher" / f"member-{seed}", seed) for seed in seeds]
    live = {f"teacher_{number}": teacher for number, teacher in enumerate(best_teachers)}
    taught = {"distilled": (one, "geometric"), "ensemble_student": (every, "geometric"), "best": (live, "arithmetic")}
    students = {
        name: [write_net(exp / name / f"student-{seed}", seed, (), inputs, mean) for seed in seeds]
        for name, (inputs, mean) in taught.items()
    }
    for name, nets, each in (
        ("teacher", teachers, (64, 70)),
        ("best_teacher", best_teachers, (57, 59)),
        ("small", small, (140, 150)),
        ("distilled", students["distilled"], (79, 75)),
        ("ensemble_student", students["ensemble_student"], (71, 73)),
        ("best", students["best"], (58, 52)),
    ):
        write_errors(exp, name, nets, [wrong + more for wrong in each[: len(seeds)]], 55 + more)
    for part, (before, after) in PAPER.items():
        for number, seed in enumerate(seeds):
            write_net(exp / part / f"student-{seed}", seed, (), one)
            sign = 1 if part == "without_3" else -1
            write_bias(exp, part, seed, before + 10 * number + more, after + 10 * number + more, sign * shift)
    return exp
