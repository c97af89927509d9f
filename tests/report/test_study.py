"""The study on images: errors, corrected biases and temperatures from their own folders."""

import json

import pytest
import torch

from kdasr import io
from kdasr.data.images import ImageExamples
from kdasr.data.table import FrameTableWriter
from kdasr.distill.soft_targets import SoftTargets
from kdasr.report import page, pictures, study
from kdasr.report.run import read_run
from tests import images
from tests.report import runs


def shifted(errors: int, of_classes: int, shift: float) -> dict[str, float]:
    return {"shift": shift, "errors": errors, "errors_of_classes": of_classes}


def write_bias(exp, part: str, seed: int, before: int, after: int) -> None:
    errors = {
        "before": shifted(before, 130, 0.0),
        "after": shifted(after, 20, 3.1),
        "best": shifted(after - 5, 14, 3.5),
    }
    found = {"test": {"examples": 10_000, "examples_of_classes": 1010, **errors}}
    folder = exp / "bias" / part / str(seed)
    runs.make(folder, "bias", {"classes": [3]}, errors=found, shift=3.1)
    curve = {"shift": [-0.1, 0.0, 0.1], "test": [210, before, after], "test_of_classes": [140, 130, 20]}
    io.write_json(folder / "curve.json", curve)


@pytest.fixture
def exp(tmp_path):
    exp = tmp_path / "exp"
    for system, verb, shares in (("teacher", "train", (0.9930, 0.9936)), ("distilled", "distill", (0.9925, 0.9921))):
        names = [f"{system}-{seed}" for seed in (0, 1)]
        prints = [runs.write_model(exp / system / name, verb, int(name[-1]), 7, 0.99) for name in names]
        members = [
            {"folder": f"exp/{name}", **runs.score(share, 10_000)} for name, share in zip(names, shares, strict=True)
        ]
        inputs = {f"model_{number}": value for number, value in enumerate(prints)}
        facts = {**runs.score(0.9945, 10_000), "members": members}
        runs.make(exp / "accuracy" / "test" / system, "accuracy", {"name": ""}, inputs, **facts)
    for seed, (before, after) in enumerate(((206, 109), (216, 119), (196, 99))):
        write_bias(exp, "without_3", seed, before, after)
    for width, wrong in ((30, {"1": 300, "4": 200}), (800, {"1": 110, "4": 90})):
        rows = [{"cell": t, "distill.temperature": t, **runs.score(1 - n / 10_000, 10_000)} for t, n in wrong.items()]
        (exp / "dev" / f"grid_{width}").mkdir(parents=True)
        io.write_json(exp / "dev" / f"grid_{width}" / "results.json", rows)
    return exp


def rows(text: str) -> list[list[str]]:
    return [line.strip("| ").split(" | ") for line in text.splitlines()[2:]]


def test_errors_are_counted_by_seed_and_the_ensemble_has_its_own(exp):
    teacher, ensemble, distilled = rows(study.errors_table(read_run(exp)))
    assert teacher[1:5] == ["67", "67.0", "67 (64–70)", "70 64"] and teacher[6] == "7"
    assert ensemble[:5] == ["ensemble of 2 teachers", "–", "55.0", "55", "55"] and ensemble[5].startswith("2 × ")
    assert distilled[1:5] == ["74", "77.0", "77 (75–79)", "75 79"] and distilled[-1] == "`exp/distilled`"


def test_a_bias_is_told_as_trained_on_dev_and_best_for_test(exp):
    before, after, best = rows(study.bias_table(read_run(exp)))
    assert before == ["without 3s", "as trained", "2.06", "2.06", "206 (196–216)", "130 (130–130) of 1010", "–"]
    assert after[1:5] == ["shift chosen on dev", "–", "1.09", "109 (99–119)"] and after[-1] == "+3.1 +3.1 +3.1"
    assert best[2:] == ["1.09", "1.04", "104 (94–114)", "14 (14–14) of 1010", "+3.5 +3.5 +3.5"]


def test_temperatures_by_width_the_widest_first(exp):
    wide, narrow = rows(study.temperatures_table(read_run(exp)))
    assert wide == ["2 × 800", "110", "90", "T = 4"] and narrow == ["2 × 30", "300", "200", "T = 4"]


def test_the_page_has_the_study_and_nothing_of_speech(exp):
    text = page.page([read_run(exp)])
    for title in ("Test errors on images", "Transfer sets without some classes", "Students by temperature"):
        assert f"## {title}\n" in text
    assert "WER" not in text and "is missing" not in text and "grid_800" not in text


def test_speech_has_no_study(tmp_path):
    run = read_run(runs.write_run(tmp_path / "exp"))
    assert study.errors_table(run) == study.bias_table(run) == study.temperatures_table(run) == ""
    assert set(pictures.draw_all(tmp_path / "results.md", [run])) == {"results-curves.png"}


def test_pictures_of_temperatures_and_biases(exp):
    drawn = pictures.draw_all(exp / "results.md", [read_run(exp)])
    assert set(drawn) == {"results-temperatures.png", "results-biases.png"}
    assert all((exp / name).read_bytes().startswith(b"\x89PNG") for name in drawn)


def test_one_seed_has_no_range():
    assert study.counts([5]) == "5" and study.counts([5, 7]) == "6 (5–7)" and study.counts([]) == "–"
    assert json.dumps(study.errors({"num_frames": 100, "members": [{"accuracy": 0.97}]})) == "[3]"


def test_doubtful_examples_are_drawn_with_their_soft_targets(tmp_path):
    examples = ImageExamples(images.write_set(tmp_path / "set", 80, seed=1))
    labels, logits = examples.labels(), torch.full((80, 4), -2.0)
    logits[range(80), labels] = 4.0
    doubtful = [int((labels == number).nonzero()[3]) for number in range(4)]
    logits[doubtful, (labels[doubtful] + 1) % 4] = 3.5
    wrong = int((labels == 2).nonzero()[0])
    logits[wrong, 3] = 5.0  # most doubt of all, but not right
    io.begin(tmp_path / "soft", io.Made("soft-targets", {}))
    writer = FrameTableWriter(tmp_path / "soft")
    for part in examples.parts:
        writer.add(part.id, "", logits[part.begin : part.begin + part.num_frames].half().numpy())
    writer.close()
    io.finish(tmp_path / "soft", **examples.facts(), temperature=20.0, mean="geometric", kind="logits")
    assert pictures._doubtful(SoftTargets(tmp_path / "soft", examples, 1.0), examples) == doubtful
    pictures.draw_examples(tmp_path / "examples.png", examples, tmp_path / "soft")
    assert (tmp_path / "examples.png").read_bytes().startswith(b"\x89PNG")
