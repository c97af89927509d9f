"""Constrained MLLR of frames (fMLLR): an affine transform for each speaker, under which his frames suit the mixtures.

Source: M. Gales, Maximum likelihood linear transformations for HMM-based speech recognition, Computer Speech and
Language 12, 1998, section 2.2.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch

from kdasr import log
from kdasr.align.gmm import Gmm, share_out
from kdasr.align.products import unpacked, weighted_products

MINIMUM_FRAMES = 500  # of a speaker; with fewer he keeps his frames as they are (Kaldi's)
SWEEPS = 40  # over the rows, at most (Kaldi's)
ENOUGH = 1e-6  # gain per frame of a sweep, after which no other follows
SPEAKERS_AT_ONCE = 64  # bounds the memory of the estimation


@dataclass
class FmllrStatistics:
    """Sums over a speaker's frames, float64; z is x with 1 after it.

    Attributes:
        count: frames.
        linear: for every dimension i the sum of z mean_i / var_i, (D, D + 1).
        quadratic: for every dimension i the sum of z z^T / var_i, packed, (D, (D + 1) (D + 2) / 2).
    """

    count: float
    linear: torch.Tensor
    quadratic: torch.Tensor

    def __add__(self, other: FmllrStatistics) -> FmllrStatistics:
        return FmllrStatistics(self.count + other.count, self.linear + other.linear, self.quadratic + other.quadratic)


def expected_gaussians(gmm: Gmm, frames: torch.Tensor, pdfs: torch.Tensor, target: Gmm) -> torch.Tensor:
    """What the Gaussians of each frame's pdf ask for, on average by posterior: mean / var and 1 / var.

    Args:
        gmm: mixtures that the frames are shared out by.
        frames: (N, D) float32.
        pdfs: of the frames, (N,) long.
        target: mixtures that the frames are to suit, as many Gaussians as those of `gmm`.

    Returns:
        (N, 2 D) float32.
    """
    inverse = 1 / target.variance
    wanted = torch.cat([target.mean * inverse, inverse], dim=1)
    result = frames.new_empty(len(frames), wanted.shape[1])
    for shared in share_out(gmm, frames, pdfs):
        result[shared.rows] = shared.posterior @ wanted[shared.gaussians]
    return result


def speaker_statistics(
    frames: Sequence[torch.Tensor],
    pdfs: Sequence[torch.Tensor | None],
    speakers: Sequence[str],
    gmm: Gmm,
    target: Gmm,
    left_out: Sequence[int],
) -> dict[str, FmllrStatistics]:
    """Statistics of each speaker over all his utterances.

    Args:
        frames: (T, D) float32 of each utterance.
        pdfs: (T,) long of each, None of one that is not aligned.
        speakers: of each.
        gmm: mixtures that the frames are shared out by.
        target: mixtures that the frames are to suit, as many Gaussians as those of `gmm`.
        left_out: pdfs whose frames do not count, silence's: they are the room's more than the speaker's.
    """
    silent = torch.tensor(left_out, dtype=torch.long)
    chosen = [_spoken(x, pdf, silent) for x, pdf in zip(frames, pdfs, strict=True)]
    x, pdf = (torch.cat(columns) for columns in zip(*chosen, strict=True))
    expected = expected_gaussians(gmm, x, pdf, target)
    edges = torch.tensor([0, *(len(said) for said, _ in chosen)]).cumsum(0).tolist()
    rows: dict[str, list[slice]] = {}
    for speaker, begin, end in zip(speakers, edges[:-1], edges[1:], strict=True):
        rows.setdefault(speaker, []).append(slice(begin, end))
    return {
        speaker: _sums(torch.cat([x[part] for part in said]), torch.cat([expected[part] for part in said]))
        for speaker, said in rows.items()
    }


def _spoken(
    frames: torch.Tensor, pdfs: torch.Tensor | None, left_out: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    if pdfs is None:
        return frames[:0], torch.zeros(0, dtype=torch.long)
    rows = torch.nonzero(~torch.isin(pdfs, left_out)).squeeze(1)
    return frames[rows], pdfs[rows]


def _sums(frames: torch.Tensor, expected: torch.Tensor) -> FmllrStatistics:
    """The sums over frames `(N, D)` and what their Gaussians ask for, `(N, 2 D)`."""
    dim = frames.shape[1]
    z = torch.cat([frames, torch.ones(len(frames), 1)], dim=1)
    linear = expected[:, :dim].T.double() @ z.double()
    return FmllrStatistics(float(len(frames)), linear, weighted_products(expected[:, dim:], z))


def merged(parts: Iterable[Mapping[str, FmllrStatistics]]) -> dict[str, FmllrStatistics]:
    """The sums of each speaker over the parts of a set, in their order."""
    total: dict[str, FmllrStatistics] = {}
    for part in parts:
        for speaker, said in part.items():
            total[speaker] = total[speaker] + said if speaker in total else said
    return total


def transforms(statistics: Mapping[str, FmllrStatistics]) -> dict[str, torch.Tensor]:
    """Each speaker's transform W, (D, D + 1) float32; the identity for those with too few frames, named in the log."""
    quadratic = {name: unpacked(said.quadratic, said.linear.shape[1]) for name, said in statistics.items()}
    enough = [
        name
        for name, said in statistics.items()
        if said.count >= MINIMUM_FRAMES and not bool(torch.linalg.cholesky_ex(quadratic[name]).info.any())
    ]
    few = sorted(set(statistics) - set(enough))
    if few:
        log.event(f"fMLLR: too few frames of {len(few)} of {len(statistics)} speakers: {', '.join(few)}")
    found = {name: torch.eye(*statistics[name].linear.shape) for name in few}
    for names in (enough[begin : begin + SPEAKERS_AT_ONCE] for begin in range(0, len(enough), SPEAKERS_AT_ONCE)):
        together = estimate(
            torch.tensor([statistics[name].count for name in names]).double(),
            torch.stack([statistics[name].linear for name in names]),
            torch.stack([quadratic[name] for name in names]),
        )
        found |= dict(zip(names, together.float(), strict=True))
    return {name: found[name] for name in statistics}


def estimate(count: torch.Tensor, linear: torch.Tensor, quadratic: torch.Tensor) -> torch.Tensor:
    """The likeliest transforms of several speakers at once, row by row, each at its optimum given the others.

    Row w of the transform maximises `n log |c . w| + w . k - 1/2 w G w^T` with c the cofactors of A's row and 0:
    `w = (alpha c + k) G^-1`, where alpha solves `alpha (alpha c G^-1 c^T + c G^-1 k^T) = n`.

    Args:
        count: n, (N,) float64.
        linear: k of each row, (N, D, D + 1) float64.
        quadratic: G of each row, (N, D, D + 1, D + 1) float64.

    Returns:
        (N, D, D + 1) float64.
    """
    num, dim = linear.shape[:2]
    inverse = torch.linalg.inv(quadratic)
    alone = torch.einsum("nij,nijk->nik", linear, inverse)  # k G^-1
    result = torch.eye(dim, dim + 1).double().repeat(num, 1, 1)
    now = objective(result, count, linear, quadratic)
    done = torch.zeros(num, dtype=torch.bool)  # a speaker's transform is the same, whoever stands beside him
    for _ in range(SWEEPS):
        before = result.clone()
        inverse_a = torch.linalg.inv(result[:, :, :dim])
        for row in range(dim):
            cofactors = inverse_a[:, :, row]  # but for the determinant
            along = torch.einsum("nj,njk->nk", cofactors, inverse[:, row, :dim])
            a, b = (along[:, :dim] * cofactors).sum(1), (alone[:, row, :dim] * cofactors).sum(1)
            alpha = 2 * count / (b.abs() + (b**2 + 4 * a * count).sqrt())  # of two solutions the likelier
            new = torch.where(b < 0, -alpha, alpha)[:, None] * along + alone[:, row]
            change = torch.einsum("nj,njk->nk", (new - result[:, row])[:, :dim], inverse_a)
            inverse_a -= torch.einsum("nj,nk->njk", cofactors, change / (1 + change[:, row, None]))
            result[:, row] = new
        result[done] = before[done]
        last, now = now, objective(result, count, linear, quadratic)
        done |= now - last < ENOUGH * count
        if bool(done.all()):
            break
    return result


def objective(
    transform: torch.Tensor, count: torch.Tensor, linear: torch.Tensor, quadratic: torch.Tensor
) -> torch.Tensor:
    """Log-likelihood, but for a constant: `n log |det A| + sum_i (w_i . k_i - 1/2 w_i G_i w_i^T)`, (N,)."""
    determinant = torch.linalg.slogdet(transform[:, :, : transform.shape[1]]).logabsdet
    fit = torch.einsum("nij,nijk,nik->n", transform, quadratic, transform)
    return count * determinant + (transform * linear).sum((1, 2)) - 0.5 * fit


def apply(transform: torch.Tensor, frames: torch.Tensor) -> torch.Tensor:
    """`A x + b` of frames `(T, D)` by W `(D, D + 1)`."""
    return torch.addmm(transform[:, -1], frames, transform[:, :-1].T)


def compose(second: torch.Tensor, first: torch.Tensor) -> torch.Tensor:
    """The transform that does the first, then the second, both (D, D + 1)."""
    both = second[:, :-1] @ first
    both[:, -1] += second[:, -1]
    return both
