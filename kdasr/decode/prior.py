"""From posteriors to scaled likelihoods: one rule for the prior of all systems."""

from __future__ import annotations

import torch

from kdasr.refusal import Refusal


def log_prior(counts: torch.Tensor, floor: float) -> torch.Tensor:
    """Log of the pdfs' prior.

    Args:
        counts: frames of each pdf in the training alignment, or a mean posterior, (S,).
        floor: smallest prior, as a share of the uniform one; pdfs that were never seen get it.

    Returns:
        (S,) float32; its exp sums to 1.

    Raises:
        Refusal: nothing was counted.
    """
    if not counts.sum() > 0:
        raise Refusal("the prior has no counts", where="decoding", do="delete the model and train it again")
    share = counts.double() / counts.double().sum()
    floored = share.clamp(min=floor / len(counts))
    return (floored / floored.sum()).log().float()
