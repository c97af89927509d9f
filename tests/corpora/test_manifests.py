"""Manifests: lhotse's own lines, and damaged ones told in one line."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

pytest.importorskip("lhotse")
pytest.importorskip("soundfile")

from lhotse import CutSet

from kdasr import cli, io
from kdasr.corpora import manifests
from kdasr.corpora.validate import Found, Sound
from kdasr.refusal import Refusal


@pytest.fixture
def folder(tmp_path):
    """Twenty cuts of recordings that no test listens to."""
    io.begin(tmp_path / "cuts", io.Made("corpus", {}))
    founds = [Found(f"u{number}", "a", "ÉTÉ", Path("x.flac"), {"snr": 5.0}) for number in range(20)]
    cuts = [manifests.make_cut(found, Sound(Path("x.flac"), 16000, 16000, found.id)) for found in founds]
    manifests.save_cuts(tmp_path / "cuts", cuts)
    io.finish(tmp_path / "cuts")
    return tmp_path / "cuts"


def test_the_lines_are_those_of_lhotse(folder, tmp_path):
    cuts = manifests.load_cuts(folder)
    CutSet.from_cuts(cuts).to_file(tmp_path / "lhotse.jsonl.gz")
    assert len(cuts) == 20 and cuts[0].supervisions[0].text == "ÉTÉ"
    assert io.file_hash(folder / manifests.CUTS) == io.file_hash(tmp_path / "lhotse.jsonl.gz")


def packed(text: str, encoding: str = "utf-8"):
    return lambda whole: gzip.compress(gzip.decompress(whole) + text.encode(encoding))


DAMAGES = {
    "truncated": lambda whole: whole[:-20],
    "no end": lambda whole: whole[:-4],
    "another byte": lambda whole: whole[:100] + bytes([whole[100] ^ 255]) + whole[101:],
    "not packed": gzip.decompress,
    "empty": lambda whole: b"",
    "no cuts": lambda whole: gzip.compress(b""),
    "half a line": packed('{"id": "u2'),
    "not UTF-8": packed("É", "latin-1"),
    "foreign": packed('{"words": 3}\n'),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_cuts_are_refused(folder, damage):
    path = folder / manifests.CUTS
    path.write_bytes(DAMAGES[damage](path.read_bytes()))
    with pytest.raises(Refusal, match="cuts.jsonl.gz: damaged cuts .found .*; delete the folder and make it again"):
        manifests.load_cuts(folder)


def test_a_verb_says_so_in_one_line(folder, tmp_path, capsys):
    """click took the EOFError of a truncated file for a user's Control-D: all it said was `Aborted!`."""
    path = folder / manifests.CUTS
    path.write_bytes(path.read_bytes()[:-20])
    capsys.readouterr()
    with pytest.raises(SystemExit) as caught:
        cli.main(["lm", str(tmp_path / "lm"), "--cuts", str(folder)])
    told = capsys.readouterr().err
    assert caught.value.code == 1 and told.count("\n") == 1 and f"kdasr: {path}: damaged cuts (found EOFError" in told
