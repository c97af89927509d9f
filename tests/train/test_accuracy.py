"""Frame accuracy and cross-entropy against their definitions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from kdasr.data.frames import FrameOptions, FrameSource
from kdasr.train.accuracy import Score, Tally, evaluate
from tests.tables import write_set


def test_a_score_counted_by_hand():
    logits = torch.tensor([[2.0, 0, 0], [0, 2.0, 0], [0, 2.0, 0], [0, 0, 2.0]])
    tally = Tally(background=[0])
    tally.add(logits[:3], torch.tensor([0, 1, 2]))
    tally.add(logits[3:], torch.tensor([2]))
    score = tally.score()
    log_right, log_wrong = 2 - np.log(np.exp(2) + 2), -np.log(np.exp(2) + 2)
    assert score.num_frames == 4 and score.accuracy == 3 / 4 and score.accuracy_without_silence == 2 / 3
    assert score.cross_entropy == pytest.approx(-(3 * log_right + log_wrong) / 4)


def test_logits_and_log_posteriors_score_alike():
    logits, labels = torch.randn(50, 6), torch.randint(0, 6, (50,))
    tallies = Tally(), Tally()
    tallies[0].add(logits, labels)
    tallies[1].add(logits.log_softmax(1), labels)
    one, other = tallies[0].score(), tallies[1].score()
    assert one.accuracy == other.accuracy and one.cross_entropy == pytest.approx(other.cross_entropy, rel=1e-5)


def test_without_silence_classes_both_accuracies_are_one():
    tally = Tally()
    tally.add(torch.randn(50, 6), torch.randint(0, 6, (50,)))
    assert tally.score().accuracy == tally.score().accuracy_without_silence


def test_every_example_is_scored(tmp_path: Path):
    examples = FrameSource(*write_set(tmp_path, 60, seed=1), FrameOptions(1, 1)).open()
    score = evaluate(lambda x: torch.zeros(len(x), 8), examples)  # always class 0
    labels = examples.labels()
    assert score.num_frames == len(examples) > 2048  # more than one batch
    assert score.accuracy == pytest.approx(float(labels.eq(0).float().mean())) and score.accuracy_without_silence == 0
    assert score.cross_entropy == pytest.approx(np.log(8), rel=1e-5)


def test_a_score_reads_as_one_line():
    assert str(Score(10, 0.5, 0.25, 1.0)) == (
        "frame accuracy 50.00 % (25.00 % without silence), cross-entropy 1.0000, 10 frames"
    )
