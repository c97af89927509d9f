"""The prior: a distribution, floored, the same rule for counts and mean posteriors."""

import math

import pytest
import torch

from kdasr.decode.prior import log_prior
from kdasr.refusal import Refusal


def test_a_prior_is_the_share_of_the_frames():
    prior = log_prior(torch.tensor([10.0, 30.0, 60.0]), 0.01)
    assert torch.allclose(prior.exp(), torch.tensor([0.1, 0.3, 0.6])) and prior.dtype == torch.float32


@pytest.mark.parametrize("floor", [0.01, 0.5, 1.0])
def test_it_sums_to_1_and_rare_pdfs_are_floored(floor):
    counts = torch.tensor([0, 1, 10**9, 500])
    prior = log_prior(counts, floor).double().exp()
    assert float(prior.sum()) == pytest.approx(1, abs=1e-6)
    assert float(prior[0]) == float(prior[1]) == pytest.approx(floor / 4, rel=1)  # a little less: it is a share again
    assert prior[2] == prior.max()


def test_counts_and_posteriors_of_the_same_shares_are_the_same_prior():
    counts = torch.tensor([3, 5, 8])
    assert torch.allclose(log_prior(counts, 0.01), log_prior(counts / 16, 0.01))


def test_the_floor_by_hand():
    prior = log_prior(torch.tensor([0.0, 1.0]), 0.2)  # floored to 0.1 and 1, then shares of 1.1
    assert prior.tolist() == pytest.approx([math.log(0.1 / 1.1), math.log(1 / 1.1)])


def test_no_counts_are_refused():
    with pytest.raises(Refusal, match="decoding: the prior has no counts; delete the model and train it again"):
        log_prior(torch.zeros(4), 0.01)
