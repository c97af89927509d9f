"""Kaldi's features as a frame table: equal, in order; bad utterances are set aside, sets of two kinds refused."""

from __future__ import annotations

import numpy as np
import pytest

kaldiio = pytest.importorskip("kaldiio")
pytest.importorskip("lhotse")

from kdasr import io  # noqa: E402
from kdasr.data.table import FrameTable  # noqa: E402
from kdasr.exchange.archive import ArchiveOptions  # noqa: E402
from kdasr.exchange.kaldi_features import take  # noqa: E402
from kdasr.refusal import Refusal  # noqa: E402
from tests.tables import speech  # noqa: E402

FEATURES = speech(4, seed=1)[0]


def save(folder, values=FEATURES, **options):
    kaldiio.save_ark(f"{folder}/feats.ark", values, scp=f"{folder}/feats.scp", **options)
    return [f"{folder}/feats.scp"]


def test_the_table_holds_the_archive_s_frames_in_order(tmp_path):
    (tmp_path / "utt2spk").write_text("".join(f"{id} spk-{id}\n" for id in FEATURES))
    take(tmp_path / "out", save(tmp_path), ArchiveOptions(), tmp_path / "utt2spk")
    table = FrameTable(tmp_path / "out", "features")
    assert [(u.id, u.speaker) for u in table.utterances] == [(id, f"spk-{id}") for id in FEATURES]
    for id, frames in FEATURES.items():
        np.testing.assert_array_equal(table.frames(id), frames)
    assert (table.dim, table.info["frame_shift"], table.info["num_bad"]) == (5, 0.01, 0)
    assert table.info["num_frames"] == len(table) and table.info["extractor"] == {"type": "kaldi"}


def test_dtype_and_frame_shift_are_options(tmp_path):
    take(tmp_path / "out", save(tmp_path), ArchiveOptions(frame_shift=0.02, dtype="float16"))
    table = FrameTable(tmp_path / "out")
    assert table.frames("u0").dtype == np.float16 and table.info["frame_shift"] == 0.02
    assert table.utterances[0].speaker == "u0"


def test_the_same_again_is_up_to_date_and_a_changed_archive_is_not(tmp_path, capsys):
    places = save(tmp_path)
    take(tmp_path / "out", places, ArchiveOptions())
    take(tmp_path / "out", places, ArchiveOptions(max_bad=2))
    assert "up to date" in capsys.readouterr().err
    save(tmp_path, {id: frames + 1 for id, frames in FEATURES.items()})
    with pytest.raises(Refusal, match=r"made with another inputs.archives"):
        take(tmp_path / "out", places, ArchiveOptions())


def test_bad_utterances_are_set_aside_by_name(tmp_path):
    bad = FEATURES | {
        "empty": np.zeros((0, 5), np.float32),
        "nan": np.full((2, 5), np.nan, np.float32),
        "large": np.full((2, 5), 1e5, np.float32),
        "alone": FEATURES["u0"],
    }
    (tmp_path / "utt2spk").write_text("".join(f"{id} s\n" for id in bad if id != "alone"))
    places, options = save(tmp_path, bad), ArchiveOptions(dtype="float16", max_bad=4)
    take(tmp_path / "out", places, options, tmp_path / "utt2spk")
    assert (tmp_path / "out" / "bad.txt").read_text() == (
        "alone\tno speaker in utt2spk\nempty\tno frames\nlarge\t10 numbers that are not finite in float16\n"
        "nan\t10 numbers that are not finite in float16\n"
    )
    assert io.read_info(tmp_path / "out")["num_utterances"] == 4
    told = "2 of 8 utterances are bad .expected at most 0, found empty: no frames.*archive.max_bad=N"
    with pytest.raises(Refusal, match=told):
        take(tmp_path / "other", places, ArchiveOptions())


def test_what_makes_no_table_is_told(tmp_path):
    mixed = save(tmp_path, FEATURES | {"wide": np.zeros((3, 6), np.float32)})
    with pytest.raises(Refusal, match=r"utterances of several dimensions .expected 5, found 6 of wide"):
        take(tmp_path / "out", mixed, ArchiveOptions())
    (tmp_path / "empty.ark").write_bytes(b"")
    with pytest.raises(Refusal, match=r"empty.ark: no utterances; name the archives of a set"):
        take(tmp_path / "out2", [f"{tmp_path}/empty.ark"], ArchiveOptions())
    with pytest.raises(Refusal, match=r"none: no such table of Kaldi's; name Kaldi's utt2spk"):
        take(tmp_path / "out3", mixed, ArchiveOptions(), tmp_path / "none")
