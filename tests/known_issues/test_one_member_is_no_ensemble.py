"""A run of one member was reported with an "ensemble of 1" beside it, the same numbers twice."""

import shutil

from kdasr import io
from kdasr.report.page import page
from kdasr.report.run import ENSEMBLE, MEMBERS, read_run
from tests.report import runs


def test_one_member_is_told_of_once(tmp_path):
    exp = runs.write_run(tmp_path / "exp")
    shutil.rmtree(exp / "members/member-1")
    shutil.rmtree(exp / "score/members/member-1")
    shutil.rmtree(exp / "accuracy")
    alone = io.read_info(exp / "members/member-0")["fingerprint"]
    runs.write_accuracy(exp / "accuracy/test/members", ["member-0"], [alone], 0.60, [0.60])
    run = read_run(exp)
    assert [member.name for member in run.systems[MEMBERS]] == ["member-0"] and run.systems[ENSEMBLE] == []
    assert "ensemble of 1" not in page([run])
