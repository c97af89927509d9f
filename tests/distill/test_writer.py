"""Soft targets of anybody's teachers, written by utterance."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import pytest
import torch

from kdasr import io, lock
from kdasr.distill.ensemble import combine
from kdasr.distill.loss import DistillOptions, distillation_loss, soft_loss
from kdasr.distill.soft_targets import SoftTargets
from kdasr.distill.store import StoreOptions
from kdasr.distill.writer import write_soft_targets
from kdasr.refusal import Refusal

LABELS = [f"label {number}" for number in range(6)]
ALL = StoreOptions(keep=6, mass=1.0, bits=16, shard=7)


def logits(seed: int, frames: int) -> torch.Tensor:
    """Of two teachers."""
    return 3 * torch.randn(2, frames, 6, generator=torch.Generator().manual_seed(seed))


SPOKEN = {f"utterance {number}": logits(number, frames) for number, frames in enumerate((5, 1, 20, 9, 7))}


@pytest.mark.parametrize("mean", ["arithmetic", "geometric"])
def test_what_is_read_is_the_mean_of_what_was_written(tmp_path, mean):
    """Shards of 7 frames: utterances begin and end within one, and go over three."""
    info = write_soft_targets(tmp_path / "soft", SPOKEN.items(), LABELS, 0.04, DistillOptions(2.0, mean=mean), ALL)
    assert info["num_frames"] == 42 and info["num_utterances"] == 5 and info["frame_shift"] == 0.04
    targets = SoftTargets(tmp_path / "soft")
    assert targets.store.num_shards == 6
    for id, z in SPOKEN.items():
        torch.testing.assert_close(targets.utterance(id).dense(), combine(z, 2.0, mean).exp(), atol=1e-4, rtol=2e-3)


def test_the_tail_has_the_shape_of_the_mean_prediction(tmp_path):
    few = StoreOptions(keep=2, mass=1.0, bits=16, tail="prior")
    write_soft_targets(tmp_path / "soft", SPOKEN.items(), LABELS, 0.04, options=few)
    p = torch.cat([combine(z, 2.0, "arithmetic").exp() for z in SPOKEN.values()]).double().mean(0)
    torch.testing.assert_close(torch.from_numpy(SoftTargets(tmp_path / "soft").store.tail), p, atol=1e-5, rtol=1e-5)


def test_a_folder_made_of_the_same_is_kept_and_of_another_refused(tmp_path):
    def unasked():
        raise AssertionError("asked for")
        yield

    made: dict[str, Any] = {"teachers": {"a": "1"}, "inputs": {"cuts": "2"}}
    write_soft_targets(tmp_path / "soft", SPOKEN.items(), LABELS, 0.04, **made)
    write_soft_targets(tmp_path / "soft", unasked(), LABELS, 0.04, **made)
    with pytest.raises(Refusal, match=r"cuts.*--overwrite"):
        write_soft_targets(tmp_path / "soft", unasked(), LABELS, 0.04, teachers={"a": "1"}, inputs={"cuts": "3"})
    assert io.read_info(tmp_path / "soft")["teachers"] == [{"folder": "a", "fingerprint": "1"}]


@pytest.mark.parametrize(
    ("utterances", "message"),
    [
        ([("a", logits(0, 3)), ("a", logits(0, 3))], r"'a' comes twice"),
        (
            [("a", logits(0, 3)[:, :, :5])],
            r"logits of 'a' \(expected \(teachers, frames, 6 labels\), found \(2, 3, 5\)",
        ),
        ([("a", logits(0, 3)[0])], r"logits of 'a'"),
        ([("a", logits(0, 3) * torch.nan)], r"utterance 'a': log probabilities that cannot be stored .*not a number"),
        ([("a", logits(0, 3)[:0])], r"logits of 'a' .*found \(0, 3, 6\)"),
        ([], r"no utterances to store"),
    ],
)
def test_what_cannot_be_stored_is_refused(tmp_path, utterances, message):
    with pytest.raises(Refusal, match=message):
        write_soft_targets(tmp_path / "soft", utterances, LABELS, 0.04)
    assert not (tmp_path / "soft" / "info.json").exists()


def test_more_labels_than_16_bits_are_refused(tmp_path):
    with pytest.raises(Refusal, match="too many labels to store"):
        write_soft_targets(tmp_path / "soft", [], ["x"] * 70000, 0.04)


@pytest.mark.parametrize("shift", [0, -0.01, float("nan"), float("inf")])
def test_what_is_no_frame_shift_is_refused(tmp_path, shift):
    with pytest.raises(Refusal, match=r"no frame shift .expected seconds, above 0, found"):
        write_soft_targets(tmp_path / "soft", SPOKEN.items(), LABELS, shift)
    assert not (tmp_path / "soft").exists()


def test_logits_that_want_a_gradient_are_stored_without(tmp_path):
    z, shift = logits(0, 3).requires_grad_(), cast(Any, np.float32(0.04))
    info = write_soft_targets(tmp_path / "soft", [("a", z)], LABELS, shift)
    assert info["num_frames"] == 3 and z.grad is None


def test_one_that_was_killed_leaves_nothing_of_its_shards(tmp_path):
    def killed():
        yield from SPOKEN.items()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_soft_targets(tmp_path / "soft", killed(), LABELS, 0.04, options=ALL)
    assert len(list((tmp_path / "soft").glob("shard-*.npy"))) == 6
    write_soft_targets(tmp_path / "soft", [("a", logits(0, 9))], LABELS, 0.04, options=ALL)
    assert len(list((tmp_path / "soft").glob("shard-*.npy"))) == SoftTargets(tmp_path / "soft").store.num_shards == 2


def test_the_soft_loss_is_the_distillation_loss_without_its_hard_term():
    z, p, labels = torch.randn(5, 6), torch.randn(5, 6).softmax(1), torch.zeros(5).long()
    options = DistillOptions(3.0, 0.7, 0.4)
    hard = torch.nn.functional.cross_entropy(z, labels)
    whole = distillation_loss(z, p, labels, options)
    torch.testing.assert_close(soft_loss(z, p, options) + 0.4 * hard, whole)


def test_a_folder_whose_making_failed_is_free_for_the_next_process(tmp_path):
    def broken():
        yield "a", logits(0, 3)
        raise RuntimeError("the net is broken")

    with pytest.raises(RuntimeError, match="the net is broken"):
        write_soft_targets(tmp_path / "soft", broken(), LABELS, 0.04)
    assert (tmp_path / "soft").resolve() not in lock._held
    write_soft_targets(tmp_path / "soft", SPOKEN.items(), LABELS, 0.04)
    assert io.read_info(tmp_path / "soft")["num_utterances"] == 5
