"""yesno: words from file names, Kaldi's split."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

pytest.importorskip("lhotse")
soundfile = pytest.importorskip("soundfile")

from kdasr.corpora import locate, manifests, yesno  # noqa: E402
from kdasr.corpora.yesno import YesnoOptions  # noqa: E402
from kdasr.refusal import Refusal  # noqa: E402

REAL = locate.BESIDE / "yesno"


@pytest.fixture
def corpus(tmp_path):
    """Twelve recordings, eight of which begin with NO."""
    root = tmp_path / "yesno" / "waves_yesno"
    root.mkdir(parents=True)
    for number, tail in enumerate(itertools.product("01", repeat=4)):
        if number < 12:
            name = "_".join("0000" if number < 8 else "1000") + "_" + "_".join(tail)
            soundfile.write(root / f"{name}.wav", np.random.default_rng(number).normal(0, 0.1, 800), 8000)
    return root.parent


def test_words_and_sets(corpus, tmp_path, events):
    out = tmp_path / "out"
    yesno.prepare(out, YesnoOptions(dev_every=4), corpus)
    sets = {name: [cut.id for cut in manifests.load_cuts(out / name)] for name in yesno.SETS}
    assert [len(sets[name]) for name in yesno.SETS] == [6, 2, 8, 4]
    assert sets["dev"] == sets["train_all"][3::4]
    assert sorted(sets["train"] + sets["dev"]) == sets["train_all"]
    cut = manifests.load_cuts(out / "test")[-1]
    assert cut.id == "1_0_0_0_1_0_1_1" and cut.supervisions[0].text == "YES NO NO NO YES NO YES YES"
    assert (out / "lexicon" / "lexicon.txt").read_text() == "NO N\nYES Y\n"
    assert "warning: yesno train: the complete corpus has 31, found 8" in events()


def test_a_recording_at_16_khz_is_set_aside(corpus, tmp_path):
    path = next((corpus / "waves_yesno").glob("1_*"))
    soundfile.write(path, soundfile.read(path)[0], 16000)
    yesno.prepare(tmp_path / "out", YesnoOptions(max_bad=1), corpus)
    assert "the sampling rate is 16000 Hz, expected 8000" in (tmp_path / "out" / "test" / "bad.txt").read_text()


def test_a_folder_without_recordings_is_refused(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(Refusal, match=r"not the corpus yesno \(found other files\)"):
        yesno.prepare(tmp_path / "out", YesnoOptions(), tmp_path / "empty")


def test_options_are_checked():
    with pytest.raises(ValueError, match="dev_every must be at least 2"):
        YesnoOptions(dev_every=1)


@pytest.mark.skipif(not REAL.exists(), reason="yesno is not beside the checkout")
def test_the_real_corpus_is_complete():
    sets = yesno.find(REAL, YesnoOptions().dev_every)
    assert {name: len(found) for name, found in sets.items()} == {
        "train": 25,
        "dev": 6,
        "train_all": 31,
        "test": 29,
    }
    assert sets["train_all"][0].id == "0_0_0_0_1_1_1_1" and sets["test"][0].id == "1_0_0_0_0_0_0_0"
