"""AN4: all archive layouts, the sets, the development speakers' rule; the real corpus where it is at hand."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("lhotse")
soundfile = pytest.importorskip("soundfile")

from kdasr import corpora, io  # noqa: E402
from kdasr.cli import corpus as verb  # noqa: E402
from kdasr.corpora import an4, locate, manifests  # noqa: E402
from kdasr.corpora.an4 import An4Options  # noqa: E402
from kdasr.refusal import Refusal  # noqa: E402

OPTIONS = An4Options(dev_speakers=2, max_bad=3)
REAL = locate.BESIDE / "an4"
SPEAKERS = [
    *("fash", "fbbh", "fclc", "fejs", "ffmm", "fjam", "fjdn", "fjmd", "fkai", "fkdo"),
    *("flmm2", "flrp", "fmjc", "fmjd", "fnsv", "fplp", "fsaf2", "fsrb", "ftal", "ftmj"),
    *("fwxs", "mblb", "mblw", "mbmg", "mcel", "mcen", "mcfl", "mcrt", "mcsc", "mdcs"),
    *("mdcs2", "mdmc", "mdxn", "mdxs", "meab", "meht", "mema", "mewl", "mfaa", "mgah"),
    *("mjbh", "mjda", "mjdr", "mjes", "mjgk", "mjhp", "mjjs2", "mkdb", "mkem", "mmaf"),
    *("mmal", "mmap", "mmdg", "mmkw", "mmsh", "mmtm", "mnfe", "mnjl", "mrab", "mrcb"),
    *("mrjc2", "mrmg", "mscg2", "msct", "msjm", "msjr", "mskh", "msmn", "msrb", "mtcv"),
    *("mtje", "mtos", "mtxj", "mwhw"),
]


def texts(out, name):
    return {cut.id: cut.supervisions[0].text for cut in manifests.load_cuts(out / name)}


def test_the_development_speakers_are_fixed_for_good():
    """Golden: changing them changes every number that was ever chosen on dev."""
    assert an4.choose_dev(SPEAKERS, 8) == ["fbbh", "fjam", "mcel", "mjjs2", "mmaf", "mnjl", "mscg2", "mtje"]


def test_namesakes_stay_together():
    chosen = an4.choose_dev(["mabc", "mabc2", "mabc3"], 2)
    assert chosen == []
    assert an4.choose_dev(["mabc", "mabc2", "mxyz"], 3) == ["mabc", "mabc2", "mxyz"]


def test_the_sets(tiny_an4, tmp_path):
    out = tmp_path / "out"
    an4.prepare(out, OPTIONS, tiny_an4.root)
    train, dev, everyone, test = (texts(out, name) for name in an4.SETS)
    assert len(train) == 4 and len(dev) == 4 and test == {"an3-mxyz-b": "A YES"}
    assert everyone == {**train, **dev}
    assert {id.split("-")[1] for id in train}.isdisjoint(id.split("-")[1] for id in dev)
    assert everyone["an1-mabc-b"] == "YES AND A" and everyone["an2-mabc-b"] == "YES"


def test_the_lexicon_has_a_line_for_each_variant(tiny_an4, tmp_path):
    an4.prepare(tmp_path / "out", OPTIONS, tiny_an4.root)
    lexicon = (tmp_path / "out" / "lexicon" / "lexicon.txt").read_text()
    assert lexicon == "A AH\nA EY\nAND AE N D\nYES Y EH S\n"


def test_the_unigram_loses_its_prose(tiny_an4, tmp_path):
    an4.prepare(tmp_path / "out", OPTIONS, tiny_an4.root)
    arpa = (tmp_path / "out" / "lexicon" / "an4.ug.arpa").read_text()
    assert arpa == "\\data\\\nngram 1=1\n\n\\1-grams:\n-1 A\n\n\\end\\\n"


@pytest.mark.parametrize("kind", ["raw", "sph", "flac"])
def test_every_layout_gives_the_samples_of_the_wavs(tiny_an4, tmp_path, kind):
    an4.prepare(tmp_path / "wav", OPTIONS, tiny_an4.root)
    wav = {cut.id: cut.load_audio() for cut in manifests.load_cuts(tmp_path / "wav" / "train")}
    for path in sorted(tiny_an4.root.rglob("*.wav")):
        samples = (soundfile.read(path)[0] * 32768).astype(np.int16)
        path.unlink()
        if kind == "raw":
            path.with_suffix(".raw").write_bytes(samples.astype(">i2").tobytes())
        else:
            soundfile.write(path.with_suffix(f".{kind}"), samples, 16000, format="NIST" if kind == "sph" else None)
    an4.prepare(tmp_path / "other", OPTIONS, tiny_an4.root)
    cuts = manifests.load_cuts(tmp_path / "other" / "train")
    assert [cut.id for cut in cuts] == list(wav)
    for cut in cuts:
        assert cut.recording.sources[0].source.endswith(".flac")
        np.testing.assert_array_equal(cut.load_audio(), wav[cut.id])


def test_bad_utterances_are_set_aside_by_name(tiny_an4, tmp_path, events):
    tiny_an4.add("an4-mabc-b", "")
    tiny_an4.add("an5-mabc-b", None)
    tiny_an4.transcript("an6-mabc-b", "YES")
    an4.prepare(tmp_path / "out", OPTIONS, tiny_an4.root)
    bad = (tmp_path / "out" / "train_all" / "bad.txt").read_text().splitlines()
    assert bad == [
        "an4-mabc-b\tthe transcript is empty",
        "an5-mabc-b\tno transcript",
        "an6-mabc-b\tno audio file",
    ]
    assert io.read_info(tmp_path / "out" / "train_all")["num_bad"] == 3
    assert len(texts(tmp_path / "out", "train_all")) == 8
    assert "an4: set aside an4-mabc-b: the transcript is empty" in events()


def test_too_many_are_refused_and_may_be_allowed_later(tiny_an4, tmp_path):
    for number in range(4, 8):
        tiny_an4.add(f"an{number}-mabc-b", samples=np.zeros(0))
    with pytest.raises(
        Refusal, match=r"4 of 13 utterances are bad \(expected at most 3, found an4-mabc-b: the audio has 0"
    ):
        an4.prepare(tmp_path / "out", OPTIONS, tiny_an4.root)
    assert not (tmp_path / "out" / "train" / "cuts.jsonl.gz").exists()
    an4.prepare(tmp_path / "out", An4Options(dev_speakers=2, max_bad=4), tiny_an4.root)
    assert len(texts(tmp_path / "out", "train_all")) == 8


def test_a_corpus_at_8_khz_is_refused(tiny_an4, tmp_path):
    for path in tiny_an4.root.rglob("*.wav"):
        soundfile.write(path, soundfile.read(path)[0], 8000)
    with pytest.raises(Refusal, match=r"9 of 9 utterances are bad .*the sampling rate is 8000 Hz, expected 16000"):
        an4.prepare(tmp_path / "out", OPTIONS, tiny_an4.root)


def test_again_is_up_to_date_and_a_changed_corpus_is_noticed(tiny_an4, tmp_path, events):
    an4.prepare(tmp_path / "out", OPTIONS, tiny_an4.root)
    before = io.read_info(tmp_path / "out" / "train")["fingerprint"]
    events()
    an4.prepare(tmp_path / "out", OPTIONS, tiny_an4.root)
    assert events().count("up to date") == 5
    tiny_an4.add("an9-mabc-b", "AND")
    with pytest.raises(Refusal, match=r"made with another inputs\.corpus .* add --overwrite"):
        an4.prepare(tmp_path / "out", OPTIONS, tiny_an4.root)
    an4.prepare(tmp_path / "out", OPTIONS, tiny_an4.root, overwrite=True)
    assert io.read_info(tmp_path / "out" / "train")["fingerprint"] != before


def test_an_interrupted_run_goes_on(tiny_an4, tmp_path, monkeypatch):
    an4.prepare(tmp_path / "whole", OPTIONS, tiny_an4.root)
    save = manifests.save_cuts
    saved: list[object] = []

    def dies_at_the_third(folder, cuts):
        if len(saved) == 2:
            raise KeyboardInterrupt
        saved.append(folder)
        save(folder, cuts)

    monkeypatch.setattr(manifests, "save_cuts", dies_at_the_third)
    with pytest.raises(KeyboardInterrupt):
        an4.prepare(tmp_path / "out", OPTIONS, tiny_an4.root)
    monkeypatch.undo()
    an4.prepare(tmp_path / "out", OPTIONS, tiny_an4.root)
    for name in (*an4.SETS, "lexicon"):
        assert io.fingerprint(tmp_path / "out" / name) == io.fingerprint(tmp_path / "whole" / name)


def test_a_full_disk_is_one_line_and_the_same_command_goes_on(tiny_an4, tmp_path):
    """libsndfile's own error was no OSError, and what missed a file's end by a block was no error at all."""
    for path in sorted(tiny_an4.root.rglob("*.wav")):
        path.with_suffix(".raw").write_bytes((soundfile.read(path)[0] * 32768).astype(">i2").tobytes())
        path.unlink()
    an4.prepare(tmp_path / "whole", OPTIONS, tiny_an4.root)
    sizes = {path.name: path.stat().st_size for path in (tmp_path / "whole" / "audio").iterdir()}

    def run(largest: int = resource.RLIM_INFINITY) -> subprocess.CompletedProcess[str]:
        """The verb in a process of its own that may write files of `largest` bytes."""
        code = "from kdasr.cli import main; main()"
        settings = ["--set", "an4.dev_speakers=2", "--set", "an4.max_bad=3"]
        verb = ["corpus", "an4", str(tmp_path / "out"), "--corpus", str(tiny_an4.root), *settings]
        return subprocess.run(
            [sys.executable, "-B", "-c", code, *verb],  # -B: Python would cut its own compiled files short
            env={**os.environ, "PYTHONPATH": str(Path(io.__file__).parents[1])},
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (largest, largest)),
            capture_output=True,
            text=True,
        )

    short = run(max(sizes.values()) - 1)
    assert short.returncode == 1 and "Traceback" not in short.stderr
    assert short.stderr.splitlines()[-1].endswith(".flac: File too large; what was finished is kept, run again")
    kept = {path.name: path.stat().st_size for path in (tmp_path / "out" / "audio").iterdir()}
    assert kept.items() < sizes.items()
    assert run().returncode == 0
    for name in an4.SETS:
        whole, out = (manifests.load_cuts(tmp_path / folder / name) for folder in ("whole", "out"))
        assert [(cut.id, cut.audio_hash) for cut in out] == [(cut.id, cut.audio_hash) for cut in whole]


@pytest.mark.parametrize("name", ["an4.dic", "an4.ug.lm", "an4_train.transcription", "an4_test.fileids"])
def test_text_that_is_not_utf_8_is_refused(tiny_an4, tmp_path, name):
    with open(tiny_an4.root / "etc" / name, "ab") as file:
        file.write("CAFÉ".encode("latin-1"))
    with pytest.raises(Refusal, match=f"etc/{name}: the .* is not a text file .expected UTF-8, found .*0xc9"):
        an4.prepare(tmp_path / "out", OPTIONS, tiny_an4.root)


def test_a_unigram_that_is_none_is_refused(tiny_an4, tmp_path):
    (tiny_an4.root / "etc" / "an4.ug.lm").write_text("prose\n")
    told = r"an4.ug.lm: not an ARPA file \(expected a line \\data\\, found none\); fetch the corpus again"
    with pytest.raises(Refusal, match=told):
        an4.prepare(tmp_path / "out", OPTIONS, tiny_an4.root)


def test_the_verb(tiny_an4, tmp_path):
    settings = ["--set", "an4.dev_speakers=2", "--set", "an4.max_bad=3"]
    verb.command.main(["an4", str(tmp_path / "out"), "--corpus", str(tiny_an4.root), *settings], standalone_mode=False)
    assert io.read_info(tmp_path / "out" / "dev")["num_speakers"] == 2
    with pytest.raises(Refusal, match=r"unknown option of an4 'max_bat'; did you mean 'max_bad'\?"):
        verb.command.main(["an4", str(tmp_path / "x"), "--set", "an4.max_bat=3"], standalone_mode=False)


def test_an_unknown_corpus_is_refused():
    with pytest.raises(Refusal, match=r"unknown corpus 'an3'; did you mean 'an4'\?"):
        corpora.module("an3")


@pytest.mark.skipif(not REAL.exists(), reason="AN4 is not beside the checkout")
def test_the_real_corpus_is_complete():
    sets = an4.find(REAL, An4Options().dev_speakers)
    assert {name: len(found) for name, found in sets.items()} == {
        "train": 847,
        "dev": 101,
        "train_all": 948,
        "test": 130,
    }
    assert {name: len({found.speaker for found in each}) for name, each in sets.items()} == {
        "train": 66,
        "dev": 8,
        "train_all": 74,
        "test": 10,
    }
    assert all(found.text and found.audio for found in (*sets["train_all"], *sets["test"]))
    assert sum(len(found.text.split()) for found in sets["test"] if found.text) == 773
    files = an4.language(REAL)
    words = Counter(line.split()[0] for line in files["lexicon.txt"].splitlines())
    assert sum(words.values()) == 130 and words["EIGHTH"] == 2
    assert files["an4.ug.arpa"].startswith("\\data\\\nngram 1=107\n")
