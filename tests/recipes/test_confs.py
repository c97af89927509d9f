"""Every settings file of a recipe, all its parts too, resolves: a key that is mistyped is met here, not in stage 7."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from kdasr.cli.options import SECTIONS, Settings

pytest.importorskip("lhotse")
pytest.importorskip("kaldi_native_fbank")

EGS = Path(__file__).parents[2] / "egs"
FILES = sorted(EGS.glob("*/conf/*.yaml"))
FOREIGN = "an4_ctc"  # its sections are its own; it is run with its smoke.yaml


def test_every_recipe_has_settings():
    assert {path.parents[1].name for path in FILES} == {path.parent.name for path in EGS.glob("*/run.sh")}


@pytest.mark.parametrize(
    "conf",
    [path for path in FILES if path.parents[1].name != FOREIGN],
    ids=lambda path: f"{path.parents[1].name}-{path.stem}",
)
def test_every_section_of_every_part_resolves(conf):
    for part in [None, *yaml.safe_load(conf.read_text()).get("parts", {})]:
        for section in SECTIONS:
            Settings(str(conf), (), part).section(section)
