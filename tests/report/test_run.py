"""Folders to systems: numbers from the right places, what is missing, what is stale."""

import shutil

import pytest

from kdasr import io
from kdasr.refusal import Refusal
from kdasr.report.run import ENSEMBLE, GMM, MEMBERS, STUDENT, read_run
from tests.report import runs


def test_a_whole_run_misses_nothing(exp):
    run = read_run(exp)
    assert dict(run.missing) == {} and run.name == "exp" and dict(run.kaldi) == {} and run.files.studies == {}
    assert {kind: [system.name for system in found] for kind, found in run.systems.items()} == {
        GMM: ["mono"],
        MEMBERS: ["member-0", "member-1"],
        ENSEMBLE: ["ensemble of 2"],
        STUDENT: ["student"],
    }


def test_each_number_comes_from_its_own_folder(exp):
    systems = read_run(exp).systems
    assert [member.accuracy["test"].accuracy for member in systems[MEMBERS]] == [0.60, 0.62]
    assert [member.accuracy["dev"].accuracy for member in systems[MEMBERS]] == [0.62, 0.64]
    assert systems[ENSEMBLE][0].accuracy["test"].accuracy == 0.63
    assert systems[STUDENT][0].accuracy["test"].accuracy == 0.625
    assert [found[0].words["test"].errors for found in systems.values()] == [40, 24, 16, 18]
    assert systems[STUDENT][0].words["dev"].rate == 9.0


def test_members_stand_in_the_order_of_their_seeds(tmp_path):
    run = read_run(runs.write_run(tmp_path / "exp", (2, 10)))
    assert [member.name for member in run.systems[MEMBERS]] == ["member-2", "member-10"]
    assert [member.words["test"].errors for member in run.systems[MEMBERS]] == [24, 20]


def test_missing_parts_name_the_verb_that_makes_them(exp):
    for place in ("student", "accuracy/test/members", "score/mono", "score/members/member-1"):
        shutil.rmtree(exp / place)
    run = read_run(exp)
    assert dict(run.missing) == {
        "student": "distill",
        "accuracy/test/members": "accuracy",
        "score/mono": "score",
        "score/members/member-1": "score",
    }
    assert run.systems[GMM] == []
    assert [set(member.words) for member in run.systems[MEMBERS]] == [{"dev", "test", "test_as_kaldi"}, set()]


def test_a_model_in_training_is_missing(exp):
    io.begin(exp / "members" / "member-2", io.Made("train", {}))
    assert dict(read_run(exp).missing) == {"members/member-2": "train"}


def test_scores_alone_are_enough(exp):
    for place in ("members", "student", "decode", "mono"):
        shutil.rmtree(exp / place)
    assert [member.name for member in read_run(exp).systems[MEMBERS]] == ["member-0", "member-1"]


def test_all_without_scores_is_missing(exp):
    runs.make(exp / "all" / "mono", "mono", num_gaussians=7)
    assert dict(read_run(exp).missing) == {"all/score": "score"}


def test_nothing_at_all_is_refused(tmp_path):
    with pytest.raises(Refusal, match="nothing to report .*accuracy, score, all/score.*no such folder.*run the recipe"):
        read_run(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(Refusal, match="nothing to report .*found none of them"):
        read_run(tmp_path / "empty")


def test_accuracies_of_models_made_anew_are_refused(exp):
    shutil.rmtree(exp / "student")
    runs.write_model(exp / "student" / "student-0-again", "distill", 0, 2, 0.6)
    with pytest.raises(
        Refusal, match="accuracy/dev/student: the scores are of other models.*kdasr accuracy.*--overwrite"
    ):
        read_run(exp)


def test_scores_of_decodings_made_anew_are_refused(exp):
    shutil.rmtree(exp / "decode" / "test" / "mono")
    runs.make(exp / "decode" / "test" / "mono", "decode", {"beam": 20.0})
    io.write_json(exp / "decode" / "test" / "mono" / "info.json", {
        **io.read_info(exp / "decode" / "test" / "mono"), "fingerprint": "of another search"
    })  # fmt: skip
    with pytest.raises(
        Refusal, match="score/mono: the decoded test set of the scores does not match.*kdasr score.*--over"
    ):
        read_run(exp)


def test_a_damaged_score_is_refused(exp):
    (exp / "score" / "mono" / "wer.json").write_text("{")
    with pytest.raises(Refusal, match="wer.json: damaged JSON"):
        read_run(exp)
