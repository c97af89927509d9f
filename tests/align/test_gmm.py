"""Mixtures: likelihoods by the formula, and training that never makes its data less likely."""

import math

import pytest
import torch

from kdasr.align.gmm import Gmm, accumulate, fitted_gmm, flat_gmm, maximise, moved, split


def random_gmm(sizes: list[int], dim: int = 4, seed: int = 0) -> Gmm:
    torch.manual_seed(seed)
    pdf = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes))
    weight = torch.cat([torch.rand(size).add(0.1) for size in sizes])
    weight = weight / torch.zeros(len(sizes)).scatter_add(0, pdf, weight)[pdf]
    return Gmm(pdf, weight, torch.randn(len(pdf), dim), torch.rand(len(pdf), dim) + 0.2)


def plain(gmm: Gmm, frames: torch.Tensor) -> torch.Tensor:
    """log w_g N(x; mu_g, sigma_g) by torch's own normal distribution, float64: (N, G)."""
    normal = torch.distributions.Normal(gmm.mean.double(), gmm.variance.double().sqrt())
    return normal.log_prob(frames.double()[:, None]).sum(2) + gmm.weight.double().log()


@pytest.mark.parametrize("sizes", [[1, 1, 1], [3, 1, 5, 2], [2], [1, 7, 7, 1, 4]])
@pytest.mark.parametrize("num_frames", [0, 1, 1030])
def test_log_likelihoods_are_the_plain_log_sum(sizes, num_frames):
    gmm = random_gmm(sizes)
    frames = torch.randn(num_frames, 4)
    joint = plain(gmm, frames)
    expected = torch.stack([joint[:, gmm.pdf == pdf].logsumexp(1) for pdf in range(len(sizes))], dim=1)
    found = gmm.log_likelihoods(frames)
    assert found.shape == (num_frames, len(sizes)) and found.dtype == torch.float32
    assert torch.allclose(found.double(), expected, atol=1e-3)
    assert torch.allclose(gmm.gaussian_log_likelihoods(frames).double(), joint, atol=1e-3)


def test_columns_of_some_pdfs_are_those_of_all():
    gmm, frames = random_gmm([1, 7, 3, 1, 4]), torch.randn(1030, 4)
    chosen = torch.tensor([4, 1, 3])
    assert torch.allclose(gmm.log_likelihoods(frames, chosen), gmm.log_likelihoods(frames)[:, chosen], atol=1e-4)


def test_far_from_all_means_the_sum_of_exponentials_does_not_underflow():
    gmm = random_gmm([3, 1])
    found = gmm.log_likelihoods(torch.full((1, 4), 100.0))
    assert torch.isfinite(found).all() and (found < -1000).all()


def test_a_flat_start_has_every_frame_s_mean_and_variance():
    frames = torch.randn(500, 3) * torch.tensor([1.0, 2.0, 3.0]) + 5
    gmm = flat_gmm(lambda: [frames], 7)
    assert gmm.num_pdfs == len(gmm) == 7 and torch.equal(gmm.weight, torch.ones(7))
    assert torch.allclose(gmm.mean, frames.mean(0).expand(7, 3), atol=1e-4)
    assert torch.allclose(gmm.variance, frames.var(0, unbiased=False).expand(7, 3), rtol=1e-4)


def test_statistics_are_sums_over_posteriors():
    gmm = random_gmm([2, 3, 1])
    frames, pdfs = torch.randn(50, 4), torch.randint(0, 2, (50,))  # pdf 2 has no frames
    statistics = accumulate(gmm, frames, pdfs)
    joint = plain(gmm, frames).masked_fill(gmm.pdf != pdfs[:, None], -math.inf)
    posterior = joint.softmax(1)
    assert torch.allclose(statistics.occupancy, posterior.sum(0), atol=1e-3)
    assert torch.allclose(statistics.first, posterior.T @ frames.double(), atol=1e-3)
    assert torch.allclose(statistics.second, posterior.T @ frames.double() ** 2, atol=1e-3)
    assert statistics.log_likelihood == pytest.approx(float(joint.logsumexp(1).sum()), rel=1e-5)
    assert statistics.num_frames == 50 and float(statistics.occupancy.sum()) == pytest.approx(50, abs=1e-4)


def test_sums_may_be_of_other_frames_than_those_shared_out():
    gmm, frames, pdfs = random_gmm([2, 3]), torch.randn(40, 4), torch.arange(40) % 2
    others = torch.randn(40, 4)
    plain_one, other = accumulate(gmm, frames, pdfs), accumulate(gmm, frames, pdfs, others)
    posterior = plain(gmm, frames).masked_fill(gmm.pdf != pdfs[:, None], -math.inf).softmax(1)
    assert torch.allclose(other.first, posterior.T @ others.double(), atol=1e-3)
    assert torch.allclose(other.second, posterior.T @ others.double() ** 2, atol=1e-3)
    assert torch.equal(other.occupancy, plain_one.occupancy) and other.log_likelihood == plain_one.log_likelihood


def test_gaussians_move_to_their_frames_but_those_with_few_and_none_goes():
    gmm, frames = random_gmm([1, 1, 1]), torch.randn(60, 4) + 3
    pdfs = torch.tensor([0] * 50 + [1] * 10)
    found = moved(gmm, accumulate(gmm, frames, pdfs), 20.0, 1e-3)
    assert torch.allclose(found.mean[0], frames[:50].mean(0), atol=1e-4)
    assert torch.allclose(found.variance[0], frames[:50].var(0, unbiased=False), rtol=1e-3)
    assert torch.equal(found.mean[1:], gmm.mean[1:]) and torch.equal(found.variance[1:], gmm.variance[1:])
    assert torch.equal(found.weight, gmm.weight)


def test_one_gaussian_is_fitted_to_each_pdf_s_sums_or_to_all():
    frames, pdfs = torch.randn(90, 3).double() * 2 + 1, torch.tensor([0] * 60 + [2] * 30)
    own = [frames[pdfs == pdf] for pdf in range(3)]
    sums = [torch.stack([one.sum(0) if len(one) else torch.zeros(3).double() for one in (x, x**2)]) for x in own]
    first, second = torch.stack(sums).unbind(1)
    gmm = fitted_gmm(torch.tensor([60.0, 0.0, 30.0]).double(), first, second, 1e-3)
    for pdf, x in enumerate((own[0], frames, own[2])):  # no frame is of pdf 1
        assert torch.allclose(gmm.mean[pdf].double(), x.mean(0), atol=1e-5)
        assert torch.allclose(gmm.variance[pdf].double(), x.var(0, unbiased=False), rtol=1e-4)
    assert float(fitted_gmm(torch.ones(1).double(), torch.ones(1, 2), torch.ones(1, 2), 0.01).variance.min()) > 0.009


def test_statistics_of_parts_add_up():
    gmm = random_gmm([2, 2])
    frames, pdfs = torch.randn(60, 4), torch.arange(60) % 2
    parts = accumulate(gmm, frames[:25], pdfs[:25]) + accumulate(gmm, frames[25:], pdfs[25:])
    whole = accumulate(gmm, frames, pdfs)
    assert torch.allclose(parts.first, whole.first, atol=1e-4) and parts.num_frames == 60
    assert parts.log_likelihood == pytest.approx(whole.log_likelihood, rel=1e-6)


def test_one_gaussian_becomes_its_frames_mean_and_variance():
    frames, pdfs = torch.randn(300, 4) * 2 + 1, torch.arange(300) % 3
    gmm, removed = maximise(random_gmm([1, 1, 1]), accumulate(random_gmm([1, 1, 1]), frames, pdfs), 1.0, 1e-3)
    for pdf in range(3):
        own = frames[pdfs == pdf]
        assert torch.allclose(gmm.mean[pdf], own.mean(0), atol=1e-4)
        assert torch.allclose(gmm.variance[pdf], own.var(0, unbiased=False), rtol=1e-3)
    assert removed == 0


def test_at_a_fixed_alignment_the_likelihood_never_falls():
    torch.manual_seed(1)
    frames = torch.cat([torch.randn(150, 3) + shift for shift in (-3, 0, 2, 4)])
    pdfs = torch.arange(len(frames)) % 2
    gmm, generator = flat_gmm(lambda: [frames], 2), torch.Generator().manual_seed(0)
    last, fell = -math.inf, []
    for number in range(24):
        statistics = accumulate(gmm, frames, pdfs)
        fell.append(statistics.log_likelihood < last - 1e-3)
        last = statistics.log_likelihood
        gmm, removed = maximise(gmm, statistics, 0.0, 1e-4)
        assert removed == 0
        if number in (4, 9):
            gmm = split(gmm, torch.bincount(gmm.pdf, weights=statistics.occupancy), len(gmm) + 3, 0.25, 1.0, generator)
            last = -math.inf  # a split may cost a little
    assert not any(fell) and len(gmm) == 8
    start = accumulate(flat_gmm(lambda: [frames], 2), frames, pdfs).log_likelihood
    assert last > start + 0.1 * len(frames)  # and it does rise


def test_weights_stay_a_distribution_and_variances_above_the_floor():
    gmm = random_gmm([3, 2])
    frames, pdfs = torch.zeros(40, 4), torch.arange(40) % 2
    gmm, _ = maximise(gmm, accumulate(gmm, frames, pdfs), 0.0, 0.01)
    assert torch.allclose(torch.zeros(2).scatter_add(0, gmm.pdf, gmm.weight), torch.ones(2))
    assert torch.allclose(gmm.variance, torch.full_like(gmm.variance, 0.01))


def test_gaussians_with_few_frames_go_but_never_a_pdf_s_last():
    far = Gmm(
        torch.tensor([0, 0, 1, 1, 2]),
        torch.tensor([0.5, 0.5, 0.5, 0.5, 1.0]),
        torch.tensor([[0.0], [90.0], [80.0], [90.0], [70.0]]),
        torch.ones(5, 1),
    )
    frames = torch.randn(30, 1)
    frames[20:22] += 80
    pdfs = torch.tensor([0] * 20 + [1] * 2 + [0] * 8)  # pdf 1: two frames, pdf 2: none
    gmm, removed = maximise(far, accumulate(far, frames, pdfs), 5.0, 1e-3)
    assert removed == 2 and gmm.pdf.tolist() == [0, 1, 2]
    assert gmm.mean.squeeze(1)[1:].tolist() == [80.0, 70.0]  # what stays alone keeps its values
    assert gmm.weight.tolist() == [1.0, 1.0, 1.0]


def test_splitting_gives_the_wanted_number_and_moves_the_mean_little():
    gmm = random_gmm([1, 1, 1])
    occupancy = torch.tensor([10000.0, 100.0, 1.0]).double()
    grown = split(gmm, occupancy, 12, 0.25, 0.1, torch.Generator().manual_seed(0))
    # by hand: 10, 3.16, 1 are shared out, the next to the largest share per Gaussian
    assert grown.sizes.tolist() == [8, 3, 1] and len(grown) == 12
    assert torch.allclose(torch.zeros(3).scatter_add(0, grown.pdf, grown.weight), torch.ones(3))
    for pdf in range(3):
        own = grown.pdf == pdf
        mean = (grown.weight[own, None] * grown.mean[own]).sum(0)
        assert torch.allclose(mean, gmm.mean[pdf], atol=1e-5)  # halves part symmetrically
        assert torch.equal(grown.variance[own], gmm.variance[pdf].expand(int(own.sum()), 4))
    assert len({tuple(row) for row in grown.mean.tolist()}) == 12


def test_a_pdf_with_few_frames_is_not_split_beyond_them():
    """Gaussians of ten frames each fitted AN4's training set and lost 4 % of words on its dev speakers."""
    gmm, occupancy = random_gmm([1, 1, 3]), torch.tensor([1000.0, 61.0, 40.0]).double()
    grown = split(gmm, occupancy, 20, 0.25, 20.0, torch.Generator().manual_seed(0))
    assert grown.sizes.tolist() == [14, 3, 3]  # 3 x 20 < 61; what is there stays
    assert split(gmm, occupancy / 100, 20, 0.25, 20.0, torch.Generator()).sizes.tolist() == [1, 1, 3]


def test_splitting_shrinks_nothing_and_leaves_the_old_mixture_alone():
    gmm = random_gmm([4, 2])
    before = {name: tensor.clone() for name, tensor in gmm.tensors().items()}
    same = split(gmm, torch.ones(2).double(), 3, 0.25, 0.1, torch.Generator())
    split(gmm, torch.ones(2).double(), 10, 0.25, 0.1, torch.Generator())
    assert all(torch.equal(same.tensors()[name], before[name]) for name in before)
    assert all(torch.equal(gmm.tensors()[name], before[name]) for name in before)
