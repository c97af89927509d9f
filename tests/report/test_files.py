"""A run kept in a file: the same report without its folders, and nothing of the machine."""

import json

import pytest

from kdasr import io
from kdasr.refusal import Refusal
from kdasr.report import page
from kdasr.report.files import keep, read_files
from kdasr.report.pictures import curves
from kdasr.report.run import read_run
from tests.report import runs


@pytest.fixture
def kept(exp):
    runs.add_kaldi(exp)
    runs.add_study(exp)
    keep(read_files(exp), exp.parent / "results" / "exp.json")
    return exp.parent / "results" / "exp.json"


def test_it_tells_what_its_folders_told(exp, kept):
    assert page.page([read_run(kept)]) == page.page([read_run(exp)])
    names = ("epoch", "dev_accuracy", "dev_cross_entropy")  # what the learning curves show
    drawn, kept_lines = (
        [(part, [[line[name] for name in names] for line in lines]) for part, lines in curves([read_run(where)])]
        for where in (exp, kept)
    )
    assert drawn == kept_lines and drawn
    assert not any("loss" in line for lines in read_files(kept).metrics.values() for line in lines)
    assert "study_dropout" in page.page([read_run(kept)])


def test_of_a_study_its_results_are_read_and_its_cells_are_not(exp):
    runs.add_study(exp)
    runs.make(exp / "study_dropout" / "baseline,train.dropout=0,seed=0" / "model", "train", {"train": {"epochs": 99}})
    files = read_files(exp)
    assert [place for place in files.records if "study" in place] == ["study_dropout/results.json"]
    assert len(files.studies["study_dropout"].rows) == 2


def test_copies_in_a_bundle_are_not_counted_again(exp):
    before = page.page([read_run(exp)])
    runs.make(exp / "bundle", "bundle")
    runs.write_model(exp / "bundle" / "models" / "0", "distill", 0, 2, 0.5)
    assert page.page([read_run(exp)]) == before


def test_what_is_missing_stays_missing(exp):
    io.begin(exp / "members" / "member-2", io.Made("train", {}))
    keep(read_files(exp), exp.parent / "exp.json")
    assert dict(read_run(exp.parent / "exp.json").missing) == {"members/member-2": "train"}


def test_it_holds_training_lines_as_their_median_speed(exp):
    path = exp / "members" / "member-0" / "metrics.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    lines[0]["frames_per_second"] = 12800.0  # the other: 25600
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    before = page.page([read_run(exp)])
    keep(read_files(exp), exp.parent / "exp.json")
    found = read_files(exp.parent / "exp.json").metrics["members/member-0"]
    assert [line["frames_per_second"] for line in found if "frames_per_second" in line] == [19200.0]
    assert page.page([read_run(exp.parent / "exp.json")]) == before


def test_no_place_of_the_machine_and_no_list_of_states_is_kept(exp):
    members = [{"folder": str((exp / "members" / "member-0").resolve()), **runs.score(0.5)}]
    runs.make(exp / "more", "accuracy", members=members, pdf_names=["SIL.0"], silence_pdfs=[0])
    keep(read_files(exp), exp.parent / "exp.json")
    text = (exp.parent / "exp.json").read_text()
    assert str(exp.resolve()) not in text and "SIL.0" not in text and "silence_pdfs" not in text
    assert read_files(exp.parent / "exp.json").infos["more"]["members"][0]["folder"] == "members/member-0"


def test_it_is_kept_again_over_itself_and_over_nothing_else(exp, kept):
    before = kept.read_bytes()
    keep(read_files(exp), kept)
    assert kept.read_bytes() == before
    kept.write_text('{"train": {"epochs": 3}}')
    with pytest.raises(Refusal, match=r"exp.json: not a kept run .expected a file that `kdasr report --keep` made"):
        keep(read_files(exp), kept)
    assert kept.read_text() == '{"train": {"epochs": 3}}'
    with pytest.raises(Refusal, match="results.md: not a name for a kept run .expected FILE.json"):
        keep(read_files(exp), kept.with_name("results.md"))


@pytest.mark.parametrize("text, what", [("[1]", "not a kept run"), ("{", "damaged JSON"), ("{}", "nothing to report")])
def test_a_file_that_keeps_no_run_is_refused(tmp_path, text, what):
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(Refusal, match=f"run.json: {what}"):
        read_run(tmp_path / "run.json")


def test_scores_without_word_error_rates_are_refused(exp):
    (exp / "score" / "mono" / "wer.json").unlink()
    with pytest.raises(Refusal, match="score/mono/wer.json: no word error rates; delete the folder and score again"):
        read_run(exp)
