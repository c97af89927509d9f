"""A small finished recipe run, made by io.begin and io.finish; its numbers are worked out by hand in the tests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from kdasr import io
from kdasr.distill.study import Results, Row

TEST_WORDS, DEV_WORDS = 200, 100
MODEL = {
    "architecture": "dnn",
    "options": {"layers": 1, "width": 10},
    "input_shape": [2, 3],
    "num_classes": 4,
}  # 6 * 10 + 10 + 10 * 4 + 4 = 114 weights


def make(folder: Path, verb: str, options: Any = None, inputs: dict[str, str] | None = None, **facts: object) -> str:
    """A finished folder; returns its fingerprint. `mark.json` makes each one's content its own."""
    assert io.begin(folder, io.Made(verb, options or {}, inputs or {}))
    io.write_json(folder / "mark.json", folder.as_posix())
    print_: str = io.finish(folder, **facts)["fingerprint"]
    return print_


def score(accuracy: float, frames: int = 1000) -> dict[str, float]:
    return {
        "num_frames": frames,
        "accuracy": accuracy,
        "accuracy_without_silence": accuracy - 0.1,
        "cross_entropy": 2 * (1 - accuracy),
    }


def rate(errors: int, words: int, weight: float = 10, penalty: float = 0.0) -> dict[str, object]:
    """One insertion, one deletion, the rest substitutions."""
    counts = {"words": words, "insertions": 1, "deletions": 1, "substitutions": errors - 2}
    interval = {"low": 100 * (errors - 2) / words, "high": 100 * (errors + 2) / words}
    return {"text": "", "wer": 100 * errors / words, **counts, **interval, "lm_weight": weight, "penalty": penalty}


def write_wer(folder: Path, dev: int, test: int, weight: float, decoded: dict[str, str] | None = None) -> None:
    assert io.begin(folder, io.Made("score", {"bootstrap_samples": 10}, decoded or {}))
    sets = {"dev": (dev, DEV_WORDS), "test": (test, TEST_WORDS), "test_as_kaldi": (test - 1, TEST_WORDS)}
    io.write_json(folder / "wer.json", {name: rate(*counts, weight) for name, counts in sets.items()})
    io.finish(folder)


def write_model(folder: Path, verb: str, seed: int, epochs: int, dev: float) -> str:
    """Two training lines of 100 steps at 256 frames and 25600 frames a second (1 s each), and dev at each epoch."""
    section = "student" if verb == "distill" else "train"
    options = {
        section: {"seed": seed, "epochs": epochs, "batch_size": 256, "log_steps": 100, "dropout": 0.2},
        "dnn": MODEL["options"],
    }
    lines = [{"step": step, "epoch": step // 100, "frames_per_second": 25600.0, "loss": 1.0} for step in (100, 200)] + [
        {"step": 100 * epoch, "epoch": epoch, "dev_accuracy": dev - 0.1 / epoch, "dev_cross_entropy": 1 / epoch}
        for epoch in (1, 2)
    ]
    folder.mkdir(parents=True)
    facts: dict[str, Any] = {"model": MODEL, "seed": seed, "steps": 300, "dev": score(dev)}
    fingerprint = make(folder, verb, options, **facts)
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return fingerprint


def write_accuracy(folder: Path, names: list[str], prints: list[str], together: float, each: list[float]) -> None:
    inputs = {f"model_{number}": value for number, value in enumerate(prints)}
    members = [{"folder": f"exp/{name}", **score(value)} for name, value in zip(names, each, strict=True)]
    make(folder, "accuracy", {"name": "", "mean": "arithmetic"}, inputs, **score(together), members=members)


def write_run(exp: Path, seeds: tuple[int, int] = (0, 1), shift: float = 0.0, epochs: int = 2) -> Path:
    """Members 60 % and 62 % on test (dev: 2 % more), ensemble 63 %, student 62.5 %; `shift` is added to all.

    Test errors of 200 words: monophones 40, members 24 and 20, ensemble 16, student 19; dev of 100: half of each.
    """
    make(exp / "mono", "mono", {"mono": {"iterations": 3}}, num_pdfs=3, num_gaussians=7, seconds=12.5)
    make(exp / "ali" / "train", "align", {"beam": 1.0}, seconds=2.0)
    make(exp / "ali" / "dev", "align", {"beam": 1.0}, seconds=0.5)
    names = [f"member-{seed}" for seed in seeds]
    members = [write_model(exp / "members" / name, "train", int(name[7:]), epochs, 0.62 + shift) for name in names]
    student = write_model(exp / "student" / "student-0", "distill", 0, epochs, 0.645 + shift)
    for name, more in (("dev", 0.02 + shift), ("test", shift)):
        at = exp / "accuracy" / name
        write_accuracy(at / "members", names, members, 0.63 + more, [0.60 + more, 0.62 + more])
        write_accuracy(at / "student", ["student-0"], [student], 0.625 + more, [0.625 + more])
    errors = {"mono": 40, f"members/{names[0]}": 24, f"members/{names[1]}": 20, "members/ensemble": 16, "student": 18}
    for number, (system, count) in enumerate(errors.items()):
        decoded = {
            name: make(exp / "decode" / name / system, "decode", {"beam": 13.0}, search_seconds=1.0, audio_seconds=50.0)
            for name in ("dev", "test")
        }
        write_wer(exp / "score" / system, count // 2, count, 8 + number, decoded)
    return exp


def add_kaldi(exp: Path) -> None:
    make(exp / "all" / "tri", "tri", {"tri": {"iterations": 2}}, num_pdfs=1200, num_gaussians=9000, seconds=3.0)
    write_wer(exp / "all" / "score" / "tri_bigram", 20, 31, 9)
    write_wer(exp / "all" / "score" / "mono_ug", 30, 51, 7)


def row(kind: str, seed: int | None, dev: dict[str, Any], values: dict[str, Any] | None = None, **more: Any) -> Row:
    """A cell's row in the results of a study."""
    values = values or {}
    system = ",".join([kind, *(f"{axis}={str(value).removesuffix('.0')}" for axis, value in values.items())])
    name = system if seed is None else f"{system},seed={seed}"
    settings = {axis: value for axis, value in values.items() if axis != "members"}
    named = {"cell": name, "system": system, "kind": kind, "seed": seed, "values": values, "settings": settings}
    return {**named, "dev": dev, **more}


def add_study(exp: Path) -> None:
    """Two baselines of one seed: 64 % with dropout, 63 % without."""
    rows = [row("baseline", 0, score(value), {"train.dropout": rate}) for rate, value in ((0.2, 0.64), (0.0, 0.63))]
    Results({}, rows, "baseline,train.dropout=0").write(exp / "study_dropout" / "results.json")


def add_specialists(exp: Path) -> None:
    """Two specialists of member-0, 100 steps each at its rate; right ones of 1000: 600, jointly 640, one net 632."""
    generalist = io.read_info(exp / "members/member-0")["fingerprint"]
    at = exp / "specialists"
    for number in range(2):
        options = {"specialist": {"seed": 0, "epochs": 1, "batch_size": 128}, "subset": [number, 2]}
        facts: dict[str, Any] = {"model": MODEL, "seed": 0, "steps": 100 * (1 + number), "subset": [number, 2]}
        make(at / f"nets/specialist-{number}", "specialists", options, generalist=generalist, **facts)
        line = json.dumps({"step": 100, "epoch": 1, "frames_per_second": 25600.0, "loss": 1.0})
        (at / f"nets/specialist-{number}/metrics.jsonl").write_text(f"{line}\n")
    whole = {"examples": 1000, "generalist": 600, "joint": 640, "relative": 1 / 15}
    within = {"examples": 500, "generalist": 200, "joint": 225, "specialist": 210, "relative": 0.125}
    covered = [(0, 400, 300, 300), (1, 600, 300, 340), (2, 0, 0, 0)]
    names = ("specialists", "examples", "generalist", "joint")
    rows = [dict(zip(names, row, strict=True)) for row in covered]
    make(
        at / "gain/test",
        "gain",
        None,
        None,
        all=whole,
        conditional=within,
        active=1.25,
        by_coverage=rows,
        by_specialist=[],
    )
    for system, right, errors in (("control", 0.605, 23), ("student", 0.632, 19)):
        facts = score(right)
        make(at / f"accuracy/test/{system}", "accuracy", {"name": ""}, None, **facts)
        write_wer(at / "score" / system, errors // 2, errors, 9)
    write_wer(at / "score" / "joint", 8, 16, 9)
