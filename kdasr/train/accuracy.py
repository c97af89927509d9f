"""Frame accuracy, with and without silence, and cross-entropy with the hard labels at T = 1."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from kdasr import log
from kdasr.data.examples import Examples
from kdasr.refusal import Refusal
from kdasr.train.calibration import Reliability
from kdasr.train.confused import Pairs

BATCH = 2048  # examples scored at once


@dataclass(frozen=True)
class Score:
    """How well a model knows the labels of a set."""

    num_frames: int
    accuracy: float  # share of the frames whose most probable class is the label
    accuracy_without_silence: float  # the same, of the frames whose label is not background
    cross_entropy: float  # nats a frame, at T = 1

    def __str__(self) -> str:
        every, speech = 100 * self.accuracy, 100 * self.accuracy_without_silence
        silence = f" ({speech:.2f} % without silence)" if speech != every else ""  # images have none
        return (
            f"frame accuracy {every:.2f} %{silence}, cross-entropy {self.cross_entropy:.4f}, {self.num_frames} frames"
        )


def expect_numbers(log_posteriors: Tensor) -> None:
    """Refuses predictions (B, S), or their logs, of which some are not numbers."""
    if bad := int(log_posteriors.sum(1).isnan().sum()):
        do = "train the model anew, or look for values in the features that are not finite"
        found = f"{bad} of {len(log_posteriors)}"
        raise Refusal("predictions that are not numbers", expected="finite ones", found=found, do=do)


class Tally:
    """Counts up a score, how reliable its confidence is and what is confused, batch by batch.

    Args:
        background: classes left out of the second accuracy.
    """

    def __init__(self, background: Sequence[int] = ()) -> None:
        self.background = torch.tensor(background, dtype=torch.int64)
        self.frames, self.right, self.foreground, self.foreground_right, self.loss = 0, 0, 0, 0, 0.0
        self.reliability, self.pairs = Reliability(), Pairs()

    def add(self, log_posteriors: Tensor, labels: Tensor) -> None:
        """Adds a batch: (B, S) float32 log posteriors (or logits), (B,) labels.

        Raises:
            Refusal: some are not numbers.
        """
        guess = log_posteriors.argmax(1)
        right, normalised = guess == labels, log_posteriors.float().log_softmax(1)
        expect_numbers(normalised)
        speech = ~torch.isin(labels, self.background.to(labels.device))
        self.frames, self.right = self.frames + len(labels), self.right + int(right.sum())
        self.foreground += int(speech.sum())
        self.foreground_right += int((right & speech).sum())
        self.loss += float(F.nll_loss(normalised, labels, reduction="sum"))
        self.reliability.add(normalised.gather(1, guess[:, None])[:, 0].exp(), right)
        self.pairs.add(labels, guess)

    def score(self) -> Score:
        """What was counted."""
        frames, foreground = max(1, self.frames), max(1, self.foreground)
        return Score(self.frames, self.right / frames, self.foreground_right / foreground, self.loss / frames)


def in_order(examples: Examples, device: torch.device | str = "cpu") -> Iterator[tuple[Tensor, Tensor]]:
    """Batches of all examples, first to last, on a device."""
    for index in log.progress(torch.arange(len(examples)).split(BATCH), "scoring"):
        x, y = examples.batch(index)
        yield x.to(device), y.to(device)


@torch.no_grad()
def evaluate(logits: Callable[[Tensor], Tensor], examples: Examples, device: torch.device | str = "cpu") -> Score:
    """The score of one model.

    Args:
        logits: inputs (B, ...) to logits or log posteriors (B, S).
        examples: the set.
        device: where `logits` computes.
    """
    tally = Tally(examples.background)
    for x, y in in_order(examples, device):
        tally.add(logits(x), y)
    return tally.score()
