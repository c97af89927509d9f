"""Frames with their context, and what is refused of features and alignments."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from kdasr import io
from kdasr.data.frames import FrameExamples, FrameOptions, windows
from kdasr.data.table import FrameTable
from kdasr.refusal import Refusal
from tests.tables import speech, write_alignment, write_features


def naive_windows(frames: np.ndarray, left: int, right: int) -> np.ndarray:
    """Frame by frame, place by place."""
    last = len(frames) - 1
    return np.stack([[frames[min(max(t + d, 0), last)] for d in range(-left, right + 1)] for t in range(len(frames))])


@pytest.fixture
def utterances() -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    features, pdfs = speech(7, seed=3)
    features["one-frame"], pdfs["one-frame"] = features["u0"][:1] + 9, pdfs["u0"][:1]  # shorter than any window
    return features, pdfs


def open_set(folder: Path, features: dict, pdfs: dict, options: FrameOptions | None = None) -> FrameExamples:
    write_features(folder / "feats", features, shard_bytes=2500)
    write_alignment(folder / "ali", pdfs, 8)
    return FrameExamples(
        FrameTable(folder / "feats"), FrameTable(folder / "ali"), options or FrameOptions(left=20, right=5)
    )


@pytest.mark.parametrize("memory", [4.0, 0.0], ids=["in memory", "from disk"])
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@pytest.mark.parametrize(("left", "right"), [(20, 5), (0, 0), (3, 0), (0, 2)])
def test_windows_are_those_of_a_naive_loop(utterances, tmp_path, memory, dtype, left, right):
    features, pdfs = ({k: v.astype(dtype) for k, v in utterances[0].items()}, utterances[1])
    examples = open_set(tmp_path, features, pdfs, FrameOptions(left, right, memory))
    expected = np.concatenate([naive_windows(frames, left, right) for frames in features.values()])
    x, y = examples.batch(torch.arange(len(examples)))
    assert x.dtype == torch.float32 and y.dtype == torch.int64 and tuple(x.shape[1:]) == examples.input_shape
    np.testing.assert_array_equal(x.numpy(), expected.astype(np.float32))
    np.testing.assert_array_equal(y.numpy(), np.concatenate(list(pdfs.values())))
    shuffled = torch.randperm(len(examples))
    assert torch.equal(examples.batch(shuffled)[0], x[shuffled]) and torch.equal(
        examples.batch(shuffled)[1], y[shuffled]
    )


@pytest.mark.parametrize("memory", [4.0, 0.0], ids=["in memory", "from disk"])
def test_transfer_sets_follow_the_aligned_frames_without_labels(utterances, tmp_path, memory):
    features, pdfs = utterances
    more = {f"sp0.9-{name}": frames + 1 for name, frames in list(features.items())[:3]}
    last = {"other": features["u1"] * 2}
    write_features(tmp_path / "more", more)
    write_features(tmp_path / "last", last)
    options = FrameOptions(3, 2, memory)
    alone = open_set(tmp_path, features, pdfs, options)
    tables = [FrameTable(tmp_path / name) for name in ("more", "last")]
    examples = FrameExamples(alone.features, alone.alignment, options, tables)
    every = [*features.values(), *more.values(), *last.values()]
    x, y = examples.batch(torch.arange(len(examples)))
    np.testing.assert_array_equal(x.numpy(), np.concatenate([naive_windows(frames, 3, 2) for frames in every]))
    assert torch.equal(y[: len(alone)], alone.labels().long()) and (y[len(alone) :] == -1).all()
    assert [part.id for part in examples.parts] == [*features, *more, *last]
    assert torch.equal(examples.label_counts(), alone.label_counts())
    facts, own = examples.facts(), alone.facts()
    assert facts["features"] != own["features"] and facts["alignment"] == own["alignment"]
    assert examples.fingerprint != alone.fingerprint and examples.names(torch.tensor([len(examples) - 1])) == ["other"]


def test_transfer_sets_of_another_kind_or_named_twice_are_refused(utterances, tmp_path):
    alone = open_set(tmp_path, *utterances)
    write_features(tmp_path / "wide", {"x": np.zeros((9, 7), np.float32)})
    with pytest.raises(Refusal, match=r"wide: dim of two sets does not match .expected \d+, found 7.; make both with"):
        FrameExamples(alone.features, alone.alignment, None, [FrameTable(tmp_path / "wide")])
    with pytest.raises(Refusal, match="u0: an utterance is in two sets; name each set once, or rename its cuts"):
        FrameExamples(alone.features, alone.alignment, None, [FrameTable(tmp_path / "feats")])


@pytest.mark.parametrize("bad", [{"left": -1}, {"right": -1}, {"memory": -0.5}])
def test_impossible_options_are_refused(bad):
    with pytest.raises(ValueError, match="left and right, frames, and memory, GiB, are at least 0"):
        FrameOptions(**bad)


def test_more_than_one_shard_was_read(utterances, tmp_path):
    assert len(open_set(tmp_path, *utterances).features.shards) > 3


def test_windows_of_one_utterance(utterances):
    frames = utterances[0]["u1"]
    np.testing.assert_array_equal(windows(torch.from_numpy(frames), 4, 2).numpy(), naive_windows(frames, 4, 2))


def test_the_alignment_may_have_another_order(utterances, tmp_path):
    features, pdfs = utterances
    examples = open_set(tmp_path, features, dict(reversed(pdfs.items())))
    np.testing.assert_array_equal(examples.labels().numpy(), np.concatenate(list(pdfs.values())))


def test_utterances_without_alignment_are_counted_and_left_out(utterances, tmp_path, capsys):
    features, pdfs = utterances
    del pdfs["u0"], pdfs["u5"]
    examples = open_set(tmp_path, features, pdfs)
    assert [part.id for part in examples.parts] == ["u1", "u2", "u3", "u4", "u6", "one-frame"]
    assert "2 utterances left out" in capsys.readouterr().err
    expected = naive_windows(features["u1"], 20, 5)[:3]
    np.testing.assert_array_equal(examples.batch(torch.arange(3))[0].numpy(), expected)


def test_statistics_are_those_of_all_frames(utterances, tmp_path):
    examples = open_set(tmp_path, *utterances)
    everything = np.concatenate(list(utterances[0].values())).astype(np.float64)
    mean, deviation = examples.statistics()
    np.testing.assert_allclose(mean.numpy(), np.tile(everything.mean(0), (26, 1)), rtol=1e-5)
    np.testing.assert_allclose(deviation.numpy(), np.tile(everything.std(0), (26, 1)), rtol=1e-5)


def test_labels_are_counted(utterances, tmp_path):
    examples = open_set(tmp_path, *utterances)
    everything = np.concatenate(list(utterances[1].values()))
    np.testing.assert_array_equal(examples.label_counts().numpy(), np.bincount(everything, minlength=8))
    np.testing.assert_array_equal(
        examples.label_counts(torch.arange(9)).numpy(), np.bincount(everything[:9], minlength=8)
    )


def test_names_of_a_batch(utterances, tmp_path):
    examples = open_set(tmp_path, *utterances)
    first, last = examples.parts[2], examples.parts[4]
    assert examples.names(torch.tensor([last.begin, first.begin, first.begin + 1])) == [first.id, last.id]


def test_an_alignment_of_other_features_is_refused(utterances, tmp_path):
    features, pdfs = utterances
    pdfs["u2"] = pdfs["u2"][:-1]
    frames = len(features["u2"])
    match = (
        rf"ali: utterance 'u2' .*other features .*\(expected {frames} as in .*feats, found {frames - 1}\); align these"
    )
    with pytest.raises(Refusal, match=match):
        open_set(tmp_path, features, pdfs)


def test_an_alignment_of_another_set_is_refused(utterances, tmp_path):
    features, pdfs = utterances
    with pytest.raises(Refusal, match="no utterance of .*feats is aligned; align this set"):
        open_set(tmp_path, features, {f"other-{name}": value for name, value in pdfs.items()})


def test_transition_ids_out_of_range_are_refused(utterances, tmp_path):
    features, pdfs = utterances
    pdfs["u3"][2] = 8
    with pytest.raises(Refusal, match=r"transition ids out of range \(expected 0 to 15, found 0 to 1\d\)"):
        open_set(tmp_path, features, pdfs)


def test_a_truncated_shard_is_refused(utterances, tmp_path):
    write_features(tmp_path / "feats", utterances[0])
    shard = tmp_path / "feats" / "frames-000.npy"
    whole = shard.read_bytes()
    shard.write_bytes(whole[:-7])
    match = rf"frames-000.npy: truncated array \(expected {len(whole)} bytes .* found {len(whole) - 7} bytes\)"
    with pytest.raises(Refusal, match=match):
        FrameTable(tmp_path / "feats")


@pytest.mark.parametrize("line", ['{"id": "a", "speaker": "a"}', "[]", '{"id": '])
def test_a_damaged_utterance_list_is_refused(utterances, tmp_path, line):
    write_features(tmp_path / "feats", utterances[0])
    (tmp_path / "feats" / "utterances.jsonl").write_text(f"{line}\n")
    with pytest.raises(
        Refusal, match=r"utterances.jsonl: damaged utterance list \(found .*; delete the folder and make"
    ):
        FrameTable(tmp_path / "feats")


def test_a_missing_pdf_table_is_refused(utterances, tmp_path):
    features, pdfs = utterances
    open_set(tmp_path, features, pdfs)
    (tmp_path / "ali" / "transition_pdfs.npy").unlink()
    with pytest.raises(Refusal, match=r"transition_pdfs\.npy: no such file"):
        FrameExamples(FrameTable(tmp_path / "feats"), FrameTable(tmp_path / "ali"))


def test_fingerprints_tell_context_and_content_apart(utterances, tmp_path):
    one = open_set(tmp_path, *utterances)
    again = FrameExamples(one.features, one.alignment, FrameOptions())
    assert (
        one.fingerprint
        == again.fingerprint
        != FrameExamples(one.features, one.alignment, FrameOptions(3, 1)).fingerprint
    )
    assert io.read_info(tmp_path / "feats")["fingerprint"] == one.facts()["features"]
