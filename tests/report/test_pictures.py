"""Pictures: their lines, not their pixels."""

from pathlib import Path

import pytest

from kdasr.report import pictures, study
from kdasr.report.run import read_run
from tests.report import runs, studies


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("studies")
    studies.write_study(folder / "a")
    studies.write_study(folder / "b", (2,), 10, 3.3)
    studies.write_sweep(folder / "a", 30, {1: [300, 310, 290], 2.5: [200, 260, 210]})
    studies.write_sweep(folder / "b", 30, {1: [330], 2.5: [190]})
    return [read_run(folder / name) for name in ("a", "b")]


def test_curves_have_a_point_an_epoch(exp):
    found = pictures.curves([read_run(exp)])
    assert [part for part, _ in found] == ["members", "members", "student"]
    assert [line["epoch"] for line in found[2][1]] == [1, 2]
    assert found[2][1][1]["dev_accuracy"] == pytest.approx(0.645 - 0.1 / 2)


def test_the_picture_is_a_png_and_the_same_again(exp, tmp_path):
    run = [read_run(exp)]
    one, two = tmp_path / "one.png", tmp_path / "two.png"
    assert pictures.draw(one, run) and pictures.draw(two, run)
    assert one.read_bytes().startswith(b"\x89PNG") and one.read_bytes() == two.read_bytes()


def test_no_curve_no_picture(exp, tmp_path):
    for path in Path(exp).rglob("metrics.jsonl"):
        path.unlink()
    assert not pictures.draw(tmp_path / "x.png", [read_run(exp)]) and not (tmp_path / "x.png").exists()


def test_speech_has_learning_curves_and_images_the_study(exp, finished, tmp_path):
    assert [path.name for path in pictures.draw_all(tmp_path, [read_run(exp)])] == ["curves.png"]
    drawn = pictures.draw_all(tmp_path / "images", finished)
    assert [path.name for path in drawn] == ["temperatures.png", "biases.png", "training.png"]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in drawn)


def test_a_study_is_drawn_as_the_verb_study_draws_it_and_a_sweep_of_images_is_not(exp, finished, tmp_path):
    runs.add_study(exp)
    drawn = pictures.draw_all(tmp_path, [read_run(exp)])
    path = tmp_path / "study-0.png"
    assert path.stat().st_size > 1000 and drawn[path].startswith("exp/study_dropout: ")


def test_training_lines_are_dev_errors_by_epoch_of_the_five_nets(finished):
    assert pictures.training_lines(finished[:1]) == {
        "dev/teacher": [([1, 2, 3], [300, 100, 90])],
        "dev/small": [([1, 2, 3], [400, 180, 160])],
        "dev/distilled": [([1, 2, 3], [350, 130, 110])],
        "dev/best_teacher": [([1, 2, 3], [310, 110, 85])],
        "dev/best": [([1, 2, 3], [330, 120, 80])],
    }


def test_a_temperature_has_its_median_and_range_over_the_seeds_of_all_runs(finished):
    found = study.temperatures(finished)[30]
    assert pictures.temperature_line(found) == ([1, 2.5], [305, 205], [290, 190], [330, 260])


def test_biases_have_test_and_dev_curves_and_two_marks(finished):
    found = pictures.bias_lines(finished[:1], "without_3")
    assert set(found) == set(pictures.SHIFTED)
    assert found["test"] == [([0, 3.1, 3.5], [206, 109, 104]), ([0, 3.1, 3.5], [216, 119, 114])]
    assert found["test_of_classes"][0][1] == [130, 20, 14] and found["dev"][1][1] == [225, 128, 129]
    assert len(pictures.bias_lines(finished, "only_7_and_8")["test"]) == 3  # nets of all runs
    marks = pictures.bias_marks(finished, "without_3")
    assert marks == {"chosen on dev": [3.1, 3.3], "best for test, in the paper": [3.5]}
    assert pictures.bias_marks(finished, "only_7_and_8") == {
        "chosen on dev": [-3.3, -3.1],
        "best for test, in the paper": [-7.6],
    }


def test_a_line_is_cut_to_what_is_shown():
    assert pictures.within(([-9, -2, 0, 5], [9000, 40, 30, 70]), -2, 4.9) == ([-2, 0], [40, 30])


@pytest.mark.parametrize("draw, panels", [("draw_biases", 2), ("draw_temperatures", 1), ("draw_training", 1)])
def test_every_line_is_drawn_and_named_once(finished, tmp_path, monkeypatch, draw, panels):
    from matplotlib.figure import Figure

    drawn = []

    def save(figure, path, **_):
        drawn.append(figure)
        path.write_bytes(b"")

    monkeypatch.setattr(Figure, "savefig", save)
    assert getattr(pictures, draw)(tmp_path / "x.png", finished)
    axes = drawn[0].axes
    assert len(axes) == panels
    if draw == "draw_biases":  # 3 nets x 3 curves, 2 shifts chosen on dev and the paper's
        assert [len(panel.lines) for panel in axes] == [12, 12]
        named = [text.get_text() for text in axes[0].get_legend().get_texts()]
        assert named == [*(name for _, name in pictures.SHIFTED.values()), *pictures.MARKS]
        assert [line.get_xdata()[0] for line in axes[1].lines[-3:]] == [-3.3, -3.1, -7.6]
    if draw == "draw_temperatures":
        assert list(axes[0].lines[0].get_ydata()) == [305, 205] and len(axes[0].collections) == 1
    if draw == "draw_training":
        assert [len(line.get_xdata()) for line in axes[0].lines] == [3] * 10
