"""Kaldi's alignments of pdfs: labels of the same numbers, whatever the archive; ranges and trees are watched."""

from __future__ import annotations

import numpy as np
import pytest

kaldiio = pytest.importorskip("kaldiio")
pytest.importorskip("lhotse")

from kdasr import io  # noqa: E402
from kdasr.data.frames import FrameExamples, FrameOptions  # noqa: E402
from kdasr.data.table import FrameTable  # noqa: E402
from kdasr.exchange.kaldi_ali import take  # noqa: E402
from kdasr.refusal import Refusal  # noqa: E402
from tests.tables import speech, write_features  # noqa: E402

FEATURES, STATES = speech(4, seed=1)
PDFS = {id: pdfs.astype(np.int32) for id, pdfs in STATES.items()}


def save(path, values=PDFS):
    kaldiio.save_ark(str(path), values)
    return [str(path)]


def examples(features, alignment):
    return FrameExamples(FrameTable(features), FrameTable(alignment, "align"), FrameOptions(1, 1))


def test_labels_are_the_pdfs_of_binary_and_of_text(tmp_path):
    features = write_features(tmp_path / "feats", FEATURES)
    (tmp_path / "pdf.txt").write_text("".join(f"{id} {' '.join(map(str, pdfs))} \n" for id, pdfs in PDFS.items()))
    for out, places in (("binary", save(tmp_path / "pdf.ark")), ("text", [f"{tmp_path}/pdf.txt"])):
        take(tmp_path / out, places, 9, [0, 3])
        found = examples(features, tmp_path / out)
        assert found.labels().tolist() == np.concatenate(list(STATES.values())).tolist()
        assert found.num_classes == 9 and found.background == (0, 3)
    hashes = [io.folder_hash(tmp_path / out) for out in ("binary", "text")]
    assert hashes[0] == hashes[1]


def test_several_pieces_are_one_alignment(tmp_path):
    ids = list(PDFS)
    pieces = [
        save(tmp_path / f"pdf.{n}.ark", {id: PDFS[id] for id in part})[0] for n, part in enumerate([ids[:1], ids[1:]])
    ]
    take(tmp_path / "out", pieces, 8)
    assert [u.id for u in FrameTable(tmp_path / "out").utterances] == ids
    assert io.read_info(tmp_path / "out")["num_frames"] == sum(map(len, PDFS.values()))


def test_a_labelling_is_the_number_of_pdfs_and_the_tree(tmp_path):
    places = save(tmp_path / "pdf.ark")
    part = save(tmp_path / "part.ark", {"u0": PDFS["u0"]})
    for name in ("one", "two"):
        (tmp_path / name).write_text(f"ContextDependency 3 1 {name}")
    for out, *arguments in (
        ("plain", places, 8),
        ("part", part, 8),
        ("more", places, 9),
        ("one", places, 8, [], tmp_path / "one"),
        ("one-part", part, 8, [0], tmp_path / "one"),
        ("two", places, 8, [], tmp_path / "two"),
    ):
        take(tmp_path / "ali" / out, *arguments)
    names = ("plain", "part", "more", "one", "one-part", "two")
    topologies = [io.read_info(tmp_path / "ali" / name)["topology"] for name in names]
    assert topologies[0] == topologies[1] and topologies[3] == topologies[4] and len(set(topologies)) == 4


def test_pdfs_out_of_range_are_told_and_how_they_are_made_of_transition_ids(tmp_path):
    told = r"out, u0: pdfs out of range .expected 0 to 6, found 0 to 7.; if these are transition-ids: ali-to-pdf final"
    with pytest.raises(Refusal, match=told):
        take(tmp_path / "out", save(tmp_path / "pdf.ark", {"u0": np.array([0, 7], np.int32)}), 7)
    with pytest.raises(Refusal, match="expected 0 to 6, found -1 to 3"):
        take(tmp_path / "out", save(tmp_path / "pdf.ark", {"u0": np.array([-1, 3], np.int32)}), 7, overwrite=True)
    with pytest.raises(Refusal, match=r"no such silence pdf .expected 0 to 6, found 7"):
        take(tmp_path / "out", save(tmp_path / "pdf.ark"), 7, [2, 7])


def test_what_kaldi_left_out_is_left_out_and_counted(tmp_path, capsys):
    features = write_features(tmp_path / "feats", FEATURES)
    aligned = {id: PDFS[id] for id in ("u0", "u2")} | {"u9": PDFS["u1"], "u1": np.zeros(0, np.int32)}
    take(tmp_path / "out", save(tmp_path / "pdf.ark", aligned), 8)
    assert io.read_info(tmp_path / "out")["not_aligned"] == ["u1"]
    assert "1 empty ones left out" in capsys.readouterr().err
    assert [part.id for part in examples(features, tmp_path / "out").parts] == ["u0", "u2"]
    assert f"{features}: 2 utterances left out, not in {tmp_path / 'out'}" in capsys.readouterr().err


def test_other_frames_and_other_utterances_than_the_features_are_told(tmp_path):
    features = write_features(tmp_path / "feats", FEATURES)
    take(tmp_path / "short", save(tmp_path / "a.ark", PDFS | {"u1": PDFS["u1"][1:]}), 8)
    told = f"short: utterance 'u1' is aligned with other features .expected {len(PDFS['u1'])} as in"
    with pytest.raises(Refusal, match=told):
        examples(features, tmp_path / "short")
    take(tmp_path / "foreign", save(tmp_path / "b.ark", {f"x{id}": pdfs for id, pdfs in PDFS.items()}), 8)
    with pytest.raises(Refusal, match=r"foreign: no utterance of .*feats is aligned; align this set"):
        examples(features, tmp_path / "foreign")


def test_an_archive_of_nothing_is_told(tmp_path):
    for name, content in (("none.ark", b""), ("empty.ark", b"u0 \n")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(Refusal, match=f"{name}: no utterances; name the archives of a set"):
            take(tmp_path / f"{name}-out", [f"{tmp_path}/{name}"], 8)
