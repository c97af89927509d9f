"""A scored folder says what the ensemble's own score says."""

from __future__ import annotations

import pytest

from kdasr import io
from kdasr.distill.accuracy import score_models
from kdasr.distill.ensemble import Ensemble, model_folders, tally
from kdasr.refusal import Refusal
from tests.distill.conftest import source


def test_a_folder_holds_the_scores_of_the_ensemble_and_of_each_member(data, tmp_path):
    members = model_folders(data / "teachers")
    found = score_models(tmp_path / "scored", members, source(data, "dev"), "geometric", "all three")
    together, each = tally(Ensemble.load(members, "geometric"), source(data, "dev").open())
    info = io.read_info(tmp_path / "scored", "accuracy")
    assert found == together.score() and info["name"] == "all three" and info["accuracy"] == found.accuracy
    assert [member["cross_entropy"] for member in info["members"]] == [member.score().cross_entropy for member in each]
    kept = io.read_json(tmp_path / "scored" / "reliability.json")
    assert kept["together"] == together.reliability.as_json() and len(kept["members"]) == 3
    assert sum(kept["together"]["frames"]) == found.num_frames
    assert sum(kept["together"]["right"]) == round(found.accuracy * found.num_frames)
    confused = io.read_json(tmp_path / "scored" / "confused.json")
    assert confused["together"]["wrong"] == found.num_frames - sum(kept["together"]["right"])
    assert confused["first"]["wrong"] == found.num_frames - sum(kept["members"][0]["right"])
    before = (tmp_path / "scored" / "info.json").stat().st_mtime_ns
    assert score_models(tmp_path / "scored", members, source(data, "dev"), "geometric", "all three") == found
    assert (tmp_path / "scored" / "info.json").stat().st_mtime_ns == before
    with pytest.raises(Refusal, match="made with another options.mean .expected arithmetic, found geometric"):
        score_models(tmp_path / "scored", members, source(data, "dev"), "arithmetic", "all three")
