"""The study on images: errors, corrected biases and temperatures from their own folders, pooled over runs."""

import re
import shutil
from pathlib import Path

import pytest

from kdasr.refusal import Refusal
from kdasr.report import page, study
from kdasr.report.files import keep, read_files
from kdasr.report.run import read_run
from tests.report import runs, studies

RUN_SH = Path(__file__).parents[2] / "egs" / "mnist" / "run.sh"


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Run `a` of seeds 0 and 1, run `b` of seed 2, ten errors more; the development nets are the same."""
    folder = tmp_path_factory.mktemp("studies")
    studies.write_study(folder / "a")
    studies.write_study(folder / "b", (2,), 10, 3.3)
    studies.write_sweep(folder / "a", 30, {1: [300, 310, 290], 4: [200, 260, 210]})
    studies.write_sweep(folder / "a", 800, {1: [110], 4: [90]})
    studies.write_sweep(folder / "b", 800, {1: [120], 4: [80]})
    return folder


@pytest.fixture
def exp(finished):
    return finished / "a"


@pytest.fixture
def both(finished):
    return [read_run(finished / name) for name in ("a", "b")]


def rows(text: str) -> dict[str, list[str]]:
    """First cell (and second, where several rows begin alike) -> the others."""
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()[2:]]
    firsts = [line[0] for line in lines]
    return {line[0] if firsts.count(line[0]) == 1 else f"{line[0]}: {line[1]}": line[1:] for line in lines}


def test_errors_have_the_papers_count_and_mean_least_most_and_median(exp):
    found = rows(study.errors_table([read_run(exp)]))
    made = ["2", "114", "7", "2.0"]  # nets, parameters, epochs, minutes
    stage = "`./run.sh --stage {0} --stop-stage {0}`".format
    assert found["teacher: dropout, max-norm, jitter"] == [
        *("hard labels", "67", "67.0", "64", "70", "67"),
        *made,
        stage(3),
    ]
    assert found["small net, no regularisation"][:6] == ["hard labels", "146", "145.0", "140", "150", "145"]
    distilled = found["distilled small net, plain images"]
    assert distilled == ["teacher 0", "74", "77.0", "75", "79", "77", *made, stage(5)]


def test_the_ensemble_says_its_mean_and_each_student_its_teachers(exp):
    found = rows(study.errors_table([read_run(exp)]))
    cells = found["ensemble of 2 teachers, geometric mean"]
    assert cells[:8] == ["hard labels", "–", "55.0", "55", "55", "55", "1", "2 × 114"]
    student = found["distilled small net, plain images, all teachers"]
    assert student[:6] == ["teachers 0, 1, geometric mean", "–", "72.0", "71", "73", "72"]
    best = found["distilled small net, such images, all such teachers"]
    assert best[0] == "teachers 0, 1, arithmetic mean"


def test_runs_of_other_seeds_go_into_one_row(both):
    found = rows(study.errors_table(both))
    assert found["teacher: dropout, max-norm, jitter"][1:7] == ["67", "69.3", "64", "74", "70", "3"]  # 64 70 74
    distilled = found["distilled small net, plain images"]
    assert distilled[:6] == ["teacher 0; teacher 2", "74", "81.0", "75", "89", "79"] and distilled[6] == "3"
    assert sum(title.startswith("ensemble of") for title in found) == 2  # one teacher alone is no ensemble
    text = page.page(both)
    assert text.count("## Test errors on images") == text.count("| hard labels | 146 |") == 1
    assert "counted once per seed, over the seeds of a, b" in text and "## Systems" not in text


def test_the_stages_are_those_of_the_recipe():
    bodies = re.findall(r'^if stage (\d+) "[^\n]*"; then\n(.*?)^fi$', RUN_SH.read_text(), re.M | re.S)
    makers = {int(number): body for number, body in bodies}
    for name, system in study.SYSTEMS.items():
        assert re.search(rf'kdasr (train|distill) "\$exp/{name}"', makers[system.stage]), name
    for name in set(study.SYSTEMS) - {"ensemble_student"}:
        assert f'"$exp/dev/{name}"' in makers[study.STAGE_OF_DEVELOPMENT], name
    assert "accuracy/test" in makers[study.STAGE_OF_TEST] and "kdasr --for seed" in makers[study.STAGE_OF_TRANSFERS]
    assert all(f"{name}:" in makers[study.STAGE_OF_TRANSFERS] for name in study.TRANSFERS)


def test_a_bias_is_told_as_trained_on_dev_and_best_for_test(exp):
    found = rows(study.bias_table([read_run(exp)]))
    made = ["2", "114", "7", "2.0", "`./run.sh --stage 9 --stop-stage 9`"]
    assert found["without 3s: as trained"] == [
        *("as trained", "206", "211.0", "206", "216", "211"),
        *("133", "130 (130–130) of 1010", "–", "–"),
        *made,
    ]
    on_dev = found["without 3s: shift chosen on dev"]
    assert on_dev[1:10] == [*["109", "114.0", "109", "119", "114", "14"], "20 (20–20) of 1010", "–", "+3.1 +3.1"]
    assert found["without 3s: shift best for test, as the paper's"][6:10] == [
        *("14", "14 (14–14) of 1010", "+3.5", "+3.5 +3.5")
    ]
    pair = found["7s and 8s alone: shift best for test, as the paper's"]
    assert pair[1:6] == ["1320", "1320.0", "1315", "1325", "1320"] and pair[8:10] == ["-7.6", "-2.7 -2.7"]


def test_biases_of_several_runs_are_one_table(both):
    cells = rows(study.bias_table(both))["without 3s: shift chosen on dev"]
    assert cells[1:6] == ["109", "115.7", "109", "119", "119"] and cells[9:11] == ["+3.1 +3.1 +3.3", "3"]


def test_temperatures_by_width_the_widest_first_pooled_over_seeds_and_runs(both):
    assert rows(study.temperatures_table(both)) == {
        "2 × 800": ["115 (110–120)", "85 (80–90)", "T = 4"],
        "2 × 30": ["300 (290–310)", "210 (200–260)", "T = 4"],
    }


def test_development_nets_are_counted_once_however_many_runs_share_them(both, tmp_path):
    shutil.copytree(both[0].files.where, tmp_path / "again")
    found = rows(study.development_table([both[0], read_run(tmp_path / "again")]))
    assert {title: cells[:2] for title, cells in found.items()} == {
        "teacher: dropout, max-norm, jitter": ["hard labels", "90"],
        "teacher, images moved, turned, scaled, distorted": ["hard labels", "85"],
        "small net, no regularisation": ["hard labels", "160"],
        "distilled small net, plain images": ["teacher 0", "110"],
        "distilled small net, such images, all such teachers": ["teacher 0", "80"],
    }


def test_a_test_score_of_two_runs_is_refused_a_shared_development_net_is_not(both, tmp_path):
    shutil.copytree(both[0].files.where, tmp_path / "again")
    with pytest.raises(Refusal, match="a model of two runs"):
        page.page([both[0], read_run(tmp_path / "again")])
    for name in (*study.SYSTEMS, *study.TRANSFERS, "accuracy", "bias"):
        shutil.rmtree(tmp_path / "again" / name)
    page.page([both[0], read_run(tmp_path / "again")])


def test_a_kept_study_is_pooled_as_its_folders_are(both, tmp_path):
    for run in both:
        keep(run.files, tmp_path / f"{run.name}.json")
    assert page.page([read_run(tmp_path / "a.json"), read_run(tmp_path / "b.json")]) == page.page(both)


def test_development_alone_is_reported(exp, tmp_path):
    shutil.copytree(exp / "dev", tmp_path / "begun" / "dev")
    text = page.page([read_run(tmp_path / "begun")])
    assert "## Development nets on images" in text and "Students by temperature" in text and "## Test" not in text


def test_the_page_has_the_study_and_nothing_of_speech(exp):
    text = page.page([read_run(exp)])
    for title in ("Test errors on images", "Transfer sets without some classes", "Students by temperature"):
        assert f"## {title}\n" in text
    assert "WER" not in text and "## Systems" not in text and "is missing" not in text and "grid_800" not in text
    assert "- a: seeds of best 0, 1; best_teacher 0, 1; dev/best 0; dev/best_teacher 0; dev/distilled 0;" in text


def test_speech_has_no_study(tmp_path):
    run = [read_run(runs.write_run(tmp_path / "exp"))]
    tables = (study.errors_table, study.bias_table, study.temperatures_table, study.development_table)
    assert [write(run) for write in tables] == ["", "", "", ""]


def test_one_seed_has_no_range():
    assert study.counts([5]) == "5" and study.counts([5, 7]) == "6 (5–7)" and study.counts([]) == "–"
    assert study.wrong({"num_frames": 100, "accuracy": 0.97}) == 3


def test_kept_files_are_read_as_folders_are(exp, tmp_path):
    keep(read_files(exp), tmp_path / "a.json")
    assert study.temperatures([read_run(tmp_path / "a.json")]) == study.temperatures([read_run(exp)])
