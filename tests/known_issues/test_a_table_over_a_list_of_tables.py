"""`--set study.student={...}` over a file's list of tables ended in a traceback, over a table it was mixed with it."""

from pathlib import Path

from kdasr import config
from kdasr.distill.cells import StudyOptions


def test_a_study_s_axes_are_replaced_whatever_they_were(tmp_path: Path) -> None:
    conf = tmp_path / "x.yaml"
    conf.write_text("study: {student: [{members: [5]}], baseline: {seed: [1]}}")
    for given, axes in (("{members: [2]}", {"members": [2]}), ("[{members: [3]}]", [{"members": [3]}])):
        assert config.resolve(StudyOptions, "study", conf, [f"study.student={given}"]).student == axes
    found = config.resolve(StudyOptions, "study", conf, ["study.baseline={train.epochs: [2]}"])
    assert found.baseline == {"train.epochs": [2]} and found.student == [{"members": [5]}]
