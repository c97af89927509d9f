"""Diagonal-covariance Gaussian mixtures, one for each pdf, and their training by expectation and maximisation."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import torch

LOG_2PI = math.log(2 * math.pi)
FRAMES_AT_ONCE = 1024  # keeps a block of likelihoods in the cache
PERTURBATION = 0.01  # of a standard deviation, by which the halves of a split Gaussian part (Kaldi's)


@dataclass(frozen=True)
class Gmm:
    """Mixtures of all pdfs, their Gaussians one after the other in the order of the pdfs.

    Attributes:
        pdf: pdf of each Gaussian, sorted, (G,) long.
        weight: within its pdf, (G,) float32.
        mean: (G, D) float32.
        variance: (G, D) float32.
    """

    pdf: torch.Tensor
    weight: torch.Tensor
    mean: torch.Tensor
    variance: torch.Tensor

    @property
    def num_pdfs(self) -> int:
        """Number of pdfs."""
        return int(self.pdf[-1]) + 1

    def __len__(self) -> int:
        return len(self.pdf)

    @property
    def sizes(self) -> torch.Tensor:
        """Gaussians of each pdf: (S,) long."""
        return torch.bincount(self.pdf)

    def tensors(self) -> dict[str, torch.Tensor]:
        """The parameters by name, as they are saved."""
        return {"pdf": self.pdf, "weight": self.weight, "mean": self.mean, "variance": self.variance}

    @cached_property
    def quadratic_form(self) -> tuple[torch.Tensor, torch.Tensor]:
        """`log w_g N(x; mu_g, sigma_g) = x . mu/var - x^2 . 1/(2 var) + constant`: rows (G, 2 D) for [x, x^2], (G,)."""
        inverse = 1 / self.variance
        constant = self.weight.log() - 0.5 * (self.mean**2 * inverse - inverse.log() + LOG_2PI).sum(1)
        return torch.cat([self.mean * inverse, -0.5 * inverse], dim=1), constant

    def gaussian_log_likelihoods(self, frames: torch.Tensor) -> torch.Tensor:
        """`log w_g N(x; mu_g, sigma_g)` of frames `(N, D)` for all Gaussians: (N, G)."""
        weights, constant = self.quadratic_form
        return torch.addmm(constant, torch.cat([frames, frames**2], dim=1), weights.T)

    def log_likelihoods(self, frames: torch.Tensor, pdfs: torch.Tensor | None = None) -> torch.Tensor:
        """`log p(x | pdf)` of frames `(N, D)`: (N, S), or a column for each of the `pdfs` (P,) that are asked for.

        Columns are ordered so that slot j, the j-th Gaussian of every pdf that has one, is a block over the first
        pdfs; maximum and sum of exponentials then run over blocks, without padding the mixtures to the largest.
        """
        begins, sizes = self.sizes.cumsum(0) - self.sizes, self.sizes
        if pdfs is not None:
            begins, sizes = begins[pdfs], sizes[pdfs]
        by_size = torch.argsort(sizes, descending=True, stable=True)
        begins = begins[by_size]
        blocks = [begins[: int(torch.gt(sizes, slot).sum())] + slot for slot in range(int(sizes.max()))]
        order, widths = torch.cat(blocks), [len(block) for block in blocks]
        weights, constant = (part[order] for part in self.quadratic_form)
        result = torch.empty(len(frames), len(sizes))
        for x, out in zip(frames.split(FRAMES_AT_ONCE), result.split(FRAMES_AT_ONCE), strict=True):
            joint = torch.addmm(constant, torch.cat([x, x**2], dim=1), weights.T).split(widths, dim=1)
            largest = joint[0].clone()
            for block in joint[1:]:
                torch.maximum(largest[:, : block.shape[1]], block, out=largest[:, : block.shape[1]])
            total = (joint[0] - largest).exp_()
            for block in joint[1:]:
                total[:, : block.shape[1]] += (block - largest[:, : block.shape[1]]).exp_()
            out[:, by_size] = total.log_().add_(largest)
        return result


@dataclass
class Statistics:
    """What maximisation needs: occupancy (G,), sums of x and x^2 (G, D), float64, and the total log-likelihood."""

    occupancy: torch.Tensor
    first: torch.Tensor
    second: torch.Tensor
    log_likelihood: float = 0.0
    num_frames: int = 0

    def __add__(self, other: Statistics) -> Statistics:
        return Statistics(
            self.occupancy + other.occupancy,
            self.first + other.first,
            self.second + other.second,
            self.log_likelihood + other.log_likelihood,
            self.num_frames + other.num_frames,
        )


def flat_gmm(frames: Callable[[], Iterable[torch.Tensor]], num_pdfs: int) -> Gmm:
    """One Gaussian for each pdf, all with the mean and variance of all frames, which are gone over twice.

    Args:
        frames: gives (T, D) float32 of each utterance.
        num_pdfs: Gaussians.
    """
    mean = _mean(x.double() for x in frames())
    variance = _mean((x.double() - mean) ** 2 for x in frames()).float()
    mean = mean.float()
    return Gmm(torch.arange(num_pdfs), torch.ones(num_pdfs), mean.repeat(num_pdfs, 1), variance.repeat(num_pdfs, 1))


def _mean(frames: Iterable[torch.Tensor]) -> torch.Tensor:
    """The mean of the frames `(T, D)` of all utterances, (D,)."""
    number, total = 0, torch.zeros(1, dtype=torch.float64)
    for x in frames:
        number, total = number + len(x), total + x.sum(0)
    return total / number


def fitted_gmm(occupancy: torch.Tensor, first: torch.Tensor, second: torch.Tensor, variance_floor: float) -> Gmm:
    """One Gaussian for each pdf, fitted to the sums of its frames, or of all frames where it has none.

    Args:
        occupancy: frames of each pdf, (S,) float64.
        first: sum of x, (S, D) float64.
        second: sum of x^2, (S, D) float64.
        variance_floor: smallest variance.
    """
    none = torch.eq(occupancy, 0)[:, None]
    first, second = (torch.where(none, sums.sum(0), sums) for sums in (first, second))
    frames = torch.where(none, occupancy.sum(), occupancy[:, None])
    mean = first / frames
    variance = (second / frames - mean**2).clamp(min=variance_floor)
    return Gmm(torch.arange(len(mean)), torch.ones(len(mean)), mean.float(), variance.float())


@dataclass(frozen=True)
class Shared:
    """Frames of one pdf, shared out among its Gaussians.

    Attributes:
        gaussians: where the pdf's Gaussians stand.
        rows: numbers of its frames, (N,) long.
        moments: x and x^2 of these frames, (N, 2 D).
        posterior: of each Gaussian, (N, g); rows sum to 1.
        log_likelihood: `log p(x | pdf)`, (N, 1).
    """

    gaussians: slice
    rows: torch.Tensor
    moments: torch.Tensor
    posterior: torch.Tensor
    log_likelihood: torch.Tensor


def share_out(gmm: Gmm, frames: torch.Tensor, pdfs: torch.Tensor) -> Iterator[Shared]:
    """Shares each frame out among the Gaussians of the pdf that it is aligned to, pdf by pdf; pdfs without frames none.

    Args:
        gmm: mixtures.
        frames: (N, D) float32.
        pdfs: of the frames, (N,) long.
    """
    order = torch.argsort(pdfs, stable=True)
    sorted_frames = frames[order]
    moments = torch.cat([sorted_frames, sorted_frames**2], dim=1)
    weights, constant = gmm.quadratic_form
    frame, gaussian = 0, 0
    for count, size in zip(torch.bincount(pdfs, minlength=gmm.num_pdfs).tolist(), gmm.sizes.tolist(), strict=True):
        if count:
            chosen, rows = slice(gaussian, gaussian + size), slice(frame, frame + count)
            joint = torch.addmm(constant[chosen], moments[rows], weights[chosen].T)
            log_likelihood = torch.logsumexp(joint, dim=1, keepdim=True)
            yield Shared(chosen, order[rows], moments[rows], joint.sub_(log_likelihood).exp_(), log_likelihood)
        frame, gaussian = frame + count, gaussian + size


def accumulate(gmm: Gmm, frames: torch.Tensor, pdfs: torch.Tensor, summed: torch.Tensor | None = None) -> Statistics:
    """Statistics of frames `(N, D)` aligned to pdfs `(N,)`; with `summed` (N, D), the sums are of these frames."""
    dim = frames.shape[1]
    occupancy, sums = torch.zeros(len(gmm)).double(), torch.zeros(len(gmm), 2 * dim).double()
    total = 0.0
    for shared in share_out(gmm, frames, pdfs):
        moments = shared.moments
        if summed is not None:
            x = summed[shared.rows]
            moments = torch.cat([x, x**2], dim=1)
        total += float(shared.log_likelihood.double().sum())
        occupancy[shared.gaussians] = shared.posterior.double().sum(0)
        sums[shared.gaussians] = (shared.posterior.T @ moments).double()
    return Statistics(occupancy, sums[:, :dim], sums[:, dim:], total, len(frames))


def maximise(gmm: Gmm, statistics: Statistics, minimum_occupancy: float, variance_floor: float) -> tuple[Gmm, int]:
    """The likeliest mixtures for the statistics, and the number of Gaussians removed.

    Args:
        gmm: the mixtures that the statistics were gathered with.
        statistics: from `accumulate`.
        minimum_occupancy: a Gaussian with fewer frames goes; a pdf's last stays and keeps its values.
        variance_floor: smallest variance.
    """
    enough = torch.ge(statistics.occupancy, minimum_occupancy)
    keep = enough.clone()
    keep[_most_occupied(gmm, statistics.occupancy)] = True
    estimate = moved(gmm, statistics, minimum_occupancy, variance_floor)
    pdf = gmm.pdf[keep]
    mass = torch.where(enough, statistics.occupancy, torch.ones_like(statistics.occupancy))[keep]
    weight = (mass / torch.zeros(gmm.num_pdfs).double().scatter_add(0, pdf, mass)[pdf]).float()
    return Gmm(pdf, weight, estimate.mean[keep], estimate.variance[keep]), int((~keep).sum())


def moved(gmm: Gmm, statistics: Statistics, minimum_occupancy: float, variance_floor: float) -> Gmm:
    """Every Gaussian with the likeliest mean and variance; one with too few frames keeps its own, all their weights.

    Arguments are those of `maximise`.
    """
    enough = torch.ge(statistics.occupancy, minimum_occupancy)[:, None]
    occupancy = statistics.occupancy.clamp(min=1e-10)[:, None]
    mean = statistics.first / occupancy
    variance = (statistics.second / occupancy - mean**2).clamp(min=variance_floor)
    return replace(
        gmm,
        mean=torch.where(enough, mean, gmm.mean.double()).float(),
        variance=torch.where(enough, variance, gmm.variance.double()).float(),
    )


def _most_occupied(gmm: Gmm, occupancy: torch.Tensor) -> torch.Tensor:
    """The Gaussian of each pdf with the most frames: (S,) long."""
    by_occupancy = torch.argsort(occupancy, descending=True, stable=True)
    by_pdf = by_occupancy[torch.argsort(gmm.pdf[by_occupancy], stable=True)]
    sizes = gmm.sizes
    return by_pdf[sizes.cumsum(0) - sizes]


def split(
    gmm: Gmm,
    pdf_occupancy: torch.Tensor,
    num_gaussians: int,
    power: float,
    minimum: float,
    generator: torch.Generator,
) -> Gmm:
    """Grows the mixtures to about `num_gaussians`, shared out among the pdfs by occupancy to the given power.

    Within a pdf the heaviest Gaussian is halved, the halves moved apart at random by a share of its deviation.

    Args:
        gmm: mixtures to grow.
        pdf_occupancy: frames of each pdf, (S,) float64.
        num_gaussians: wanted in all; fewer come of it where frames are too few.
        power: below 1 favours pdfs with few frames (Kaldi: 0.25).
        minimum: a pdf is split only while it has more frames than this for each Gaussian.
        generator: for the directions.
    """
    wanted = _shares(pdf_occupancy, gmm.sizes, num_gaussians, power, minimum)
    pieces = zip(
        wanted.tolist(),
        *(part.split(gmm.sizes.tolist()) for part in (gmm.weight, gmm.mean, gmm.variance)),
        strict=True,
    )
    grown = [_split_one(size, weight, mean, variance, generator) for size, weight, mean, variance in pieces]
    weights, means, variances = zip(*grown, strict=True)
    pdf = torch.repeat_interleave(torch.arange(gmm.num_pdfs), torch.tensor([len(weight) for weight in weights]))
    return Gmm(pdf, torch.cat(weights), torch.cat(means), torch.cat(variances))


def _shares(
    occupancy: torch.Tensor, sizes: torch.Tensor, num_gaussians: int, power: float, minimum: float
) -> torch.Tensor:
    """Gaussians wanted of each pdf: the next always goes to the pdf with the largest occupancy^power per Gaussian."""
    wanted, mass = sizes.clone(), occupancy.clamp(min=0) ** power
    most = torch.ceil(occupancy / minimum) - 1
    for _ in range(num_gaussians - int(sizes.sum())):
        share = torch.where(wanted < most, mass / wanted, torch.zeros_like(mass))
        largest = torch.argmax(share)
        if share[largest] == 0:
            break
        wanted[largest] += 1
    return wanted


def _split_one(
    size: int, weight: torch.Tensor, mean: torch.Tensor, variance: torch.Tensor, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    for _ in range(size - len(weight)):
        heaviest = int(weight.argmax())
        step = torch.randn(mean.shape[1], generator=generator) * PERTURBATION * variance[heaviest].sqrt()
        weight = torch.cat([weight, weight[heaviest : heaviest + 1] / 2])
        weight[heaviest] /= 2
        mean = torch.cat([mean, (mean[heaviest] + step)[None]])
        mean[heaviest] -= step
        variance = torch.cat([variance, variance[heaviest : heaviest + 1]])
    return weight, mean, variance
