"""Settings, seeds, time; runs that cannot be averaged."""

import pytest

from kdasr import io, log
from kdasr.refusal import Refusal
from kdasr.report import origin
from kdasr.report.run import read_run
from tests.report import runs


def test_training_seconds_are_those_of_all_steps(exp):
    run = read_run(exp)
    place = "members/member-0"  # 2 lines of 100 steps, 1 s each; 300 steps in all
    assert origin.training_seconds(run, place, run.infos[place]) == pytest.approx(3.0)


def test_time_is_summed_over_the_parts(exp):
    lines = origin.time_table([read_run(exp)]).splitlines()
    assert "| `align` | ali | 2 | 2.5 |  | 1.2 |" in lines
    assert "| `train` | members | 2 | 6.0 |  | 1.2 |" in lines
    assert "| `decode` | decode/*/members | 6 | 6.0 | 0.0200 | 1.2 |" in lines  # 6 s of search, 300 s of audio
    assert "| `decode` | decode/*/mono | 2 | 2.0 | 0.0200 | 1.2 |" in lines


def test_seeds_and_settings(exp):
    run = read_run(exp)
    assert origin.seeds(run) == "members 0, 1; student 0"
    text = origin.settings_table([run])
    assert "| `train` | members | train.epochs 2, train.batch_size 256, train.dropout 0.2, dnn.layers 1" in text
    assert "seed" not in text


def test_versions_that_differ_are_all_told(exp, monkeypatch):
    record = {"versions": {"torch": "2.13.0"}, "machine": "x86_64", "cores": 8, "threads": 1}
    monkeypatch.setattr(log, "environment", lambda: record)
    runs.make(exp / "score" / "more", "score")
    assert origin.versions([read_run(exp)]) == "kdasr 0.1.0, torch 1.13.1 and 2.13.0, x86_64, 2 and 8 cores"


def test_runs_of_other_seeds_go_together(exp):
    origin.expect_alike([read_run(exp), read_run(runs.write_run(exp.parent / "other", (2, 3), 0.01))])


def test_runs_of_other_settings_are_refused(exp):
    other = read_run(runs.write_run(exp.parent / "other", (2, 3), epochs=5))
    message = (
        "other: `kdasr train` had other settings than in .*exp .expected train.epochs 2, found train.epochs 5.; a mean"
    )
    with pytest.raises(Refusal, match=message):
        origin.expect_alike([read_run(exp), other])


@pytest.mark.parametrize("jitter, alike", [(0, True), ("auto", True), (2, False)])
def test_an_option_of_a_newer_version_is_no_difference_while_it_is_off(exp, jitter, alike):
    newer = runs.write_run(exp.parent / "newer", (2, 3))
    for path in newer.glob("members/*/info.json"):
        info = io.read_json(path)
        info["options"]["train"]["jitter"] = jitter
        io.write_json(path, info)
    pair = [read_run(exp), read_run(newer)]
    if alike:
        origin.expect_alike(pair)
        return
    with pytest.raises(Refusal, match="newer: `kdasr train` had other settings than .*, found train.jitter 2"):
        origin.expect_alike(pair)


def test_a_run_named_twice_is_refused(exp):
    run = read_run(exp)
    with pytest.raises(
        Refusal, match="member-0: a model of two runs .found the same model as .*; name runs of other --seeds"
    ):
        origin.expect_alike([run, run])


def test_runs_of_other_data_are_refused(exp):
    other = runs.write_run(exp.parent / "other", (2, 3))
    for folder in (exp, other):
        runs.make(folder / "ali" / "test", "align", {"beam": 1.0}, num_frames=len(folder.name))
    with pytest.raises(
        Refusal, match="ali/test has another number of frames .expected 3, found 5.; report runs of different"
    ):
        origin.expect_alike([read_run(exp), read_run(other)])
