"""fMLLR: statistics against plain sums, the optimum against a general optimiser, speakers with too few frames."""

from __future__ import annotations

import itertools

import pytest
import torch

from kdasr.align import fmllr
from kdasr.align.fmllr import FmllrStatistics, apply, compose, merged, speaker_statistics, transforms
from kdasr.align.gmm import Gmm, accumulate
from kdasr.align.products import unpacked

DIM = 3
SPEAKERS = ["a", "b", "a", "c"]
LENGTHS = [700, 900, 300, 120]
SILENCE = 2


@pytest.fixture(scope="module")
def data() -> tuple[Gmm, list[torch.Tensor], list[torch.Tensor]]:
    """Mixtures of three pdfs, one of them silence's, and utterances whose speakers each distort their frames."""
    torch.manual_seed(0)
    gmm = Gmm(
        torch.tensor([0, 0, 1, 1, 1, 2]),
        torch.tensor([0.4, 0.6, 0.2, 0.3, 0.5, 1.0]),
        torch.randn(6, DIM) * 2,
        torch.rand(6, DIM) + 0.3,
    )
    frames, pdfs = [], []
    for speaker, length in zip(SPEAKERS, LENGTHS, strict=True):
        generator = torch.Generator().manual_seed(ord(speaker))
        matrix = torch.eye(DIM) + 0.2 * torch.randn(DIM, DIM, generator=generator)
        pdf = torch.arange(length) % 3
        gaussian = torch.tensor([[0, 1, 1], [2, 3, 4], [5, 5, 5]])[pdf, torch.randint(0, 3, (length,))]
        spoken = gmm.mean[gaussian] + gmm.variance[gaussian].sqrt() * torch.randn(length, DIM)
        frames.append(spoken @ matrix.T + torch.randn(DIM, generator=generator))
        pdfs.append(pdf)
    return gmm, frames, pdfs


def plain_objective(transform: torch.Tensor, gmm: Gmm, frames: torch.Tensor, pdfs: torch.Tensor) -> torch.Tensor:
    """sum_t,g posterior (log |det A| + log N(A x + b)), posteriors of the frames as they are, silence left out."""
    rows = pdfs != SILENCE
    x, variance, mean = frames[rows].double(), gmm.variance.double(), gmm.mean.double()
    joint = torch.distributions.Normal(mean, variance.sqrt()).log_prob(x[:, None]).sum(2) + gmm.weight.double().log()
    posterior = joint.masked_fill(gmm.pdf != pdfs[rows][:, None], -torch.inf).softmax(1)
    moved = x @ transform[:, :-1].T + transform[:, -1]
    fit = torch.distributions.Normal(mean, variance.sqrt()).log_prob(moved[:, None]).sum(2)
    return (posterior * (fit + torch.linalg.slogdet(transform[:, :-1]).logabsdet)).sum()


def own(parts: list[torch.Tensor], speaker: str) -> torch.Tensor:
    return torch.cat([part for part, name in zip(parts, SPEAKERS, strict=True) if name == speaker])


def statistics(data) -> dict[str, FmllrStatistics]:
    gmm, frames, pdfs = data
    return speaker_statistics(frames, pdfs, SPEAKERS, gmm, gmm, [SILENCE])


def test_the_objective_is_the_plain_sum_but_for_a_constant(data):
    gmm, frames, pdfs = data
    said = statistics(data)["a"]
    count, linear, quadratic = torch.tensor([said.count]).double(), said.linear[None], unpacked(said.quadratic, DIM + 1)
    tried = [torch.eye(DIM, DIM + 1).double() + 0.3 * torch.randn(DIM, DIM + 1).double() for _ in range(4)]
    found = [float(fmllr.objective(one[None], count, linear, quadratic[None])) for one in tried]
    plain = [float(plain_objective(one, gmm, own(frames, "a"), own(pdfs, "a"))) for one in tried]
    differences = [one - other for one, other in zip(found, plain, strict=True)]
    assert max(differences) - min(differences) < 1e-2 and said.count == 1000 - 333


@pytest.mark.parametrize("speaker", ["a", "b"])
def test_no_optimiser_finds_a_better_transform(data, speaker):
    gmm, frames, pdfs = data
    x, pdf = own(frames, speaker), own(pdfs, speaker)
    best = torch.eye(DIM, DIM + 1).double().requires_grad_()
    optimiser = torch.optim.LBFGS([best], max_iter=500, tolerance_grad=1e-9, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimiser.zero_grad()
        value = -plain_objective(best, gmm, x, pdf) / len(x)
        value.backward()
        return value

    optimiser.step(loss)  # type: ignore[arg-type]
    found = transforms(statistics(data))[speaker]
    assert found.dtype == torch.float32 and torch.allclose(found.double(), best.detach(), atol=2e-3)


def test_every_sweep_gains_and_the_frames_become_likelier(data, monkeypatch):
    gmm, frames, pdfs = data
    x, pdf = own(frames, "a"), own(pdfs, "a")
    values = []
    for sweeps in (0, 1, 2, 5, 40):
        monkeypatch.setattr(fmllr, "SWEEPS", sweeps)
        found = transforms(statistics(data))["a"]
        values.append(float(plain_objective(found.double(), gmm, x, pdf)))
    assert values[0] < values[1] - 50 and all(b >= a - 1e-2 for a, b in itertools.pairwise(values))
    rows = pdf != SILENCE
    before = accumulate(gmm, x[rows], pdf[rows]).log_likelihood
    after = accumulate(gmm, apply(found, x[rows]), pdf[rows]).log_likelihood
    volume = int(rows.sum()) * float(torch.linalg.slogdet(found[:, :-1]).logabsdet)
    assert after + volume - before >= values[-1] - values[0] - 1  # EM's bound


def test_a_speaker_s_transform_is_the_same_beside_others_and_alone(data):
    together = transforms(statistics(data))
    alone = transforms({"b": statistics(data)["b"]})
    assert torch.allclose(together["b"], alone["b"], atol=1e-5)


def test_too_few_frames_keep_the_identity_and_are_named(data, capsys):
    found = transforms(statistics(data))  # c says 80 frames besides silence
    assert torch.equal(found["c"], torch.eye(DIM, DIM + 1)) and not torch.equal(found["a"], torch.eye(DIM, DIM + 1))
    assert "fMLLR: too few frames of 1 of 3 speakers: c" in capsys.readouterr().err


def test_frames_that_span_no_space_keep_the_identity(data, capsys):
    gmm, frames, pdfs = data
    flat = [torch.zeros_like(part) if name == "b" else part for part, name in zip(frames, SPEAKERS, strict=True)]
    found = transforms(speaker_statistics(flat, pdfs, SPEAKERS, gmm, gmm, [SILENCE]))
    assert torch.equal(found["b"], torch.eye(DIM, DIM + 1))
    assert "of 2 of 3 speakers: b, c" in capsys.readouterr().err


def test_a_speaker_without_any_alignment_keeps_the_identity(data):
    gmm, frames, pdfs = data
    paths = [None if name == "b" else part for part, name in zip(pdfs, SPEAKERS, strict=True)]
    found = transforms(speaker_statistics(frames, paths, SPEAKERS, gmm, gmm, [SILENCE]))
    assert torch.equal(found["b"], torch.eye(DIM, DIM + 1))


def test_statistics_of_parts_are_merged_by_speaker(data):
    gmm, frames, pdfs = data
    whole = statistics(data)
    halves = [
        speaker_statistics(frames[p], pdfs[p], SPEAKERS[p], gmm, gmm, [SILENCE]) for p in (slice(2), slice(2, None))
    ]
    together = merged(halves)
    assert set(together) == {"a", "b", "c"} and together["a"].count == whole["a"].count
    assert torch.allclose(together["a"].linear, whole["a"].linear, rtol=1e-5)
    assert torch.allclose(together["a"].quadratic, whole["a"].quadratic, rtol=1e-4, atol=1e-2)


def test_posteriors_may_come_from_other_mixtures(data):
    """As in a first pass: frames are shared out by its mixtures, and fitted to those of the second."""
    gmm, frames, pdfs = data
    other = Gmm(gmm.pdf, gmm.weight, gmm.mean + 5, gmm.variance * 2)
    sums = speaker_statistics(frames, pdfs, SPEAKERS, gmm, other, [SILENCE])["b"]
    same = statistics(data)["b"]
    assert torch.allclose(sums.quadratic, same.quadratic / 2, rtol=1e-4, atol=1e-3)
    assert sums.count == same.count and not torch.allclose(sums.linear, same.linear, rtol=1e-2)


def test_transforms_compose():
    x, first, second = torch.randn(9, DIM), torch.randn(DIM, DIM + 1), torch.randn(DIM, DIM + 1)
    both = compose(second, first)
    assert torch.allclose(apply(both, x), apply(second, apply(first, x)), atol=1e-4)
