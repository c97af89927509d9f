"""Every settings file of a recipe, all its parts too, resolves: a key that is mistyped is met here, not in stage 7."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
import yaml

from kdasr.cli.options import SECTIONS, Settings
from kdasr.refusal import Refusal

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


@pytest.fixture
def foreign(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The options of the foreign recipe, whose files stand beside each other and are no package."""
    monkeypatch.syspath_prepend(EGS / FOREIGN)
    yield importlib.import_module("options")
    del sys.modules["options"]


@pytest.mark.parametrize("conf", sorted((EGS / FOREIGN / "conf").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_section_of_the_foreign_recipe_resolves(conf, foreign):
    settings = foreign.Settings(str(conf), ())
    assert all(isinstance(getattr(settings, name), kind) for name, kind in foreign.SECTIONS.items())


@pytest.mark.parametrize("change", ["distill.teachers_per_batch=1", "distill.start=teacher"])
def test_what_the_foreign_recipe_would_not_do_is_refused(change, foreign):
    conf = str(EGS / FOREIGN / "conf" / "default.yaml")
    with pytest.raises(Refusal, match="^distill: teachers_per_batch and start are of teachers on the fly"):
        _ = foreign.Settings(conf, (change,)).distill
