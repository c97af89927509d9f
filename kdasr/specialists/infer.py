"""Inference with specialists (section 5.4): the q that minimises KL(p^g, q) + sum over m in A_k of KL(p^m, q).

What q depends on is, of each example, a_c, which the generalist and the active specialists give to class c by itself,
all of them added up, and d_m, what specialist m gives to its dustbin. With Q_m = sum of q over the classes outside of
S^m, equation 5 is, up to what does not depend on q,

    f(q) = - sum_c a_c log q_c - sum_m d_m log Q_m,        sum_c a_c + sum_m d_m = n = 1 + active specialists,

which is convex in q. For q = softmax(z) its gradient is

    df/dz_c = n q_c - a_c - sum over m with c outside of S^m of d_m q_c / Q_m,

and the paper descends along it. At the minimum it is 0: q_c = a_c / u_c with u_c = n - sum of w_m over the same m and
w_m = d_m / Q_m. So the w, one number an active specialist, are all that is to be found, and they are where the dual

    g(w) = sum_c a_c log u_c + sum_m d_m log w_m,          dg/dw_m = d_m / w_m - Q_m with q = a / u,

is largest. g is strictly concave, and classes that lie outside of the same active subsets, K of them, go together, into
at most 2^K groups, so Newton's method with a line search is certain to get there, in a few steps on small matrices: the
same minimum.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from kdasr import log
from kdasr.refusal import unknown_name

NEWTON, DESCENT = "newton", "descent"
METHODS = (NEWTON, DESCENT)
STEPS = {NEWTON: 50, DESCENT: 20_000}
MOST_BITS = 12  # active specialists whose patterns are listed; of more, the groups of all specialists serve
CHUNK = 256  # examples whose matrices lie in the cache together
WARM = 2  # steps of expectation and maximisation before Newton's
HALVINGS = 40  # of a step at most
RIDGE = 1e-12  # keeps matrices of equal subsets from being singular; the step still leads upwards
FLOOR = 1e-10  # least a of a group: u, a difference of numbers near n, is not told apart below
TINY = 1e-37  # least mass: what float32 lets vanish has a logarithm nevertheless


@dataclass(frozen=True)
class InferOptions:
    """How the joint prediction is found.

    Attributes:
        top: n, the generalist's most probable classes, whose specialists are active; the paper's: 1.
        method: `newton`, of the dual; or `descent`, along the gradient of the logits, as the paper has it.
        steps: at most, of an example; 0: 50 of Newton's, which wants 5 to 20, or 20,000 of descent's, which wants
            thousands. The log tells once if they did not suffice.
        tolerance: newton stops where w_m Q_m, which is d_m at the minimum, is nowhere further from it; descent where no
            component of the gradient is larger.
    """

    top: int = 1
    method: str = NEWTON
    steps: int = 0
    tolerance: float = 1e-8

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise unknown_name("method", self.method, METHODS, "joint.method")
        if self.top < 1 or self.steps < 0 or self.tolerance <= 0:
            raise ValueError("top is at least 1, steps at least 0, tolerance above 0")

    @property
    def most_steps(self) -> int:
        """Steps at most."""
        return self.steps or STEPS[self.method]


class Cover:
    """Which classes each specialist knows.

    Attributes:
        inside: (M, S) bool.
        group: of each class, (S,) int64; classes of a group lie outside of the same subsets.
        outside: whether a group lies outside of each subset, (M, G) float64.
    """

    def __init__(self, subsets: Sequence[Sequence[int]], num_classes: int) -> None:
        self.inside = torch.zeros(len(subsets), num_classes, dtype=torch.bool)
        for number, subset in enumerate(subsets):
            self.inside[number, list(subset)] = True
        groups, self.group = torch.unique(~self.inside, dim=1, return_inverse=True)
        self.outside = groups.double()

    def grouped(self, which: Tensor) -> tuple[Tensor, Tensor]:
        """Classes that the same ones of an example's active specialists do not know, together.

        Args:
            which: the numbers of the active specialists, (R, K) int64.

        Returns:
            The group of each class, (R, S) int64, and which groups each specialist does not know, (R, K, G) float64; 0
            of groups without a class. G is that of the example with most of them.
        """
        order = torch.arange(which.shape[1], device=which.device)
        if len(order) > MOST_BITS:
            return self.group.expand(len(which), -1), self.outside[which]
        patterns = torch.arange(1 << len(order), device=which.device)
        bits = (1 << order).double().expand(which.shape)
        unknown = bits.new_zeros(len(which), len(self.outside)).scatter_(1, which, bits) @ self.outside
        pattern = unknown.long()  # of the groups of all specialists: a bit for each active one that does not know it
        there = torch.zeros(len(which), len(patterns), dtype=torch.bool, device=which.device).scatter_(1, pattern, True)
        place = there.cumsum(1)  # among the patterns that the example has, from 1
        count = place[:, -1:]
        kept = place.new_zeros(len(which), int(count.max()) + 1)
        kept.scatter_(1, place * there, patterns.expand(there.shape))  # at 0 those that it has not
        real = torch.arange(kept.shape[1] - 1, device=which.device) < count
        outside = (kept[:, None, 1:] >> order[:, None] & 1) * real[:, None]
        return (place.gather(1, pattern) - 1).index_select(1, self.group), outside.double()

    def to(self, device: torch.device | str) -> Cover:
        """The same on a device."""
        self.inside, self.group, self.outside = (part.to(device) for part in (self.inside, self.group, self.outside))
        return self

    def active(self, log_p: Tensor, top: int) -> Tensor:
        """A_k: which specialists know one of the `top` most probable classes of log_p (B, S); (B, M) bool."""
        best = log_p.topk(min(top, log_p.shape[1]), dim=1).indices
        found: Tensor = self.inside.t()[best].any(1)
        return found


@dataclass(frozen=True)
class Evidence:
    """What equation 5 knows of B examples.

    Attributes:
        single: a, (B, S) float32, what each class gets by itself, of all distributions.
        dustbin: d, (B, M) float32; 0 where a specialist is not active.
        count: n, (B,) float32, of distributions.
    """

    single: Tensor
    dustbin: Tensor
    count: Tensor

    def rows(self, rows: Tensor) -> Evidence:
        """That of some examples."""
        return Evidence(self.single[rows], self.dustbin[rows], self.count[rows])


class Collected:
    """Gathers what the generalist and its specialists say of B examples.

    Args:
        p: the generalist's p^g, (B, S) float32.
        num_specialists: M.
    """

    def __init__(self, p: Tensor, num_specialists: int) -> None:
        self.single, self.count = p.clone(), p.new_ones(len(p))
        self.dustbin = p.new_zeros(len(p), num_specialists)

    def add(self, number: int, classes: Tensor, rows: Tensor, p: Tensor) -> None:
        """Adds an active specialist.

        Args:
            number: m.
            classes: S^m, (C,) int64; or all classes.
            rows: the examples that it is active for, (R,) int64, none twice.
            p: p^m of these, (R, C + 1) float32, the dustbin last; (R, C) without one.
        """
        size = self.single.shape[1]
        self.single.view(-1).index_add_(0, (rows[:, None] * size + classes).flatten(), p[:, : len(classes)].flatten())
        self.count[rows] += 1
        if p.shape[1] > len(classes):
            self.dustbin[rows, number] = p[:, -1]

    def evidence(self) -> Evidence:
        """All of it."""
        return Evidence(self.single, self.dustbin, self.count)


def joint(evidence: Evidence, cover: Cover, options: InferOptions, log_p: Tensor | None = None) -> Tensor:
    """The log of q, (B, S) float32, normalised; examples without a dustbin's mass are not iterated.

    Args:
        evidence: of the B examples.
        cover: of the specialists.
        options: method, steps, tolerance.
        log_p: the generalist's log p^g, (B, S); the log of what float32 lets vanish of p^g.
    """
    log_single = evidence.single.clamp_min(TINY).log_()
    if log_p is not None:
        log_single = torch.where(evidence.single > TINY, log_single, log_p.clamp_max(math.log(TINY)))
    if options.method == DESCENT:
        return descend(evidence, cover, options, log_single)
    numbers = (evidence.dustbin > 0).sum(1)
    log_scale = evidence.count.log()[:, None].expand_as(evidence.single).contiguous()
    for number in numbers[numbers > 0].unique().tolist():
        for rows in (numbers == number).nonzero().flatten().split(CHUNK):
            log_scale[rows] = _log_scale(evidence.rows(rows), number, cover, options)
    return log_single.sub_(log_scale).log_softmax(1)


def _log_scale(some: Evidence, number: int, cover: Cover, options: InferOptions) -> Tensor:
    """Log a - log q of some examples, (R, S) float32, each of which has `number` dustbins."""
    dustbin, which = some.dustbin.double().topk(number, dim=1)
    group, outside = cover.grouped(which)
    a = outside.new_zeros(len(dustbin), outside.shape[2])
    a.scatter_add_(1, group, some.single.clamp_min(TINY).double())
    raised = a.clamp_min(FLOOR)
    scale = newton(raised, dustbin, outside, options).log() + a.log() - raised.log()
    return scale.float().gather(1, group)


def newton(a: Tensor, d: Tensor, outside: Tensor, options: InferOptions) -> Tensor:
    """The u at the minimum.

    Args:
        a: what the classes of each group get by themselves, (R, G) float64.
        d: dustbins, (R, K) float64, above 0.
        outside: which groups each of them is of, (R, K, G) float64.
        options: steps and tolerance.

    Returns:
        (R, G) float64, above 0.
    """
    n = (a.sum(1) + d.sum(1))[:, None]
    w = _start(a, d, outside, n)
    u = n - _over(w, outside)
    for _ in range(options.most_steps):
        q = a / u
        slope = d / w - _within(q, outside)
        if float((slope * w).abs().max()) <= options.tolerance:
            return u
        curvature = outside @ (outside * (q / u)[:, None]).transpose(1, 2)
        curvature += torch.diag_embed(d / w.square())
        step = _solve(curvature, slope)
        gain = (slope * step).sum(1, keepdim=True)  # half of it is how far g is below its maximum
        w, u = _climb(a, d, (w, u), (step, -_over(step, outside)), gain)
    _tell_unfinished(options.method, options.most_steps)
    return u


@cache
def _tell_unfinished(method: str, steps: int) -> None:
    log.event(f"warning: joint predictions that {steps} steps of {method} did not finish; raise joint.steps")


def _solve(curvature: Tensor, slope: Tensor) -> Tensor:
    """Newton's step, (R, K), of matrices whose entries may be of any size: scaled to a diagonal of 1, and a little."""
    scale = curvature.diagonal(dim1=1, dim2=2).rsqrt()
    scaled = curvature * scale[:, :, None] * scale[:, None] + RIDGE * torch.eye(scale.shape[1]).to(scale)
    return scale * torch.linalg.solve(scaled, (scale * slope)[..., None])[..., 0]


def _over(w: Tensor, outside: Tensor) -> Tensor:
    """Of each group the sum of w (R, K) over the dustbins that it is of, (R, G)."""
    return (w[:, None] @ outside)[:, 0]


def _within(q: Tensor, outside: Tensor) -> Tensor:
    """Of each dustbin the sum of q (R, G) over its groups, (R, K)."""
    return (outside @ q[..., None])[..., 0]


def _start(a: Tensor, d: Tensor, outside: Tensor, n: Tensor) -> Tensor:
    """A w inside of the domain, near the best."""
    q = a / a.sum(1, keepdim=True)
    for _ in range(WARM):  # each dustbin shared out as q is: f never rises
        q = (a + q * _over(_share(d, _within(q, outside)), outside)) / n
    w = _share(d, _within(q, outside))
    return w * (0.95 * n / _over(w, outside).amax(1, keepdim=True).clamp_min(1e-300)).clamp_max(1.0)


def _share(d: Tensor, mass: Tensor) -> Tensor:
    return d / mass.clamp_min(1e-300)


Point = tuple[Tensor, Tensor]  # w (R, K), u (R, G)


def _climb(a: Tensor, d: Tensor, at: Point, step: Point, gain: Tensor) -> Point:
    """The next point along a step: as far as it goes, but within the domain, halved until g rises as it should."""
    ratios = [torch.where(move < 0, place / -move, torch.inf) for place, move in zip(at, step, strict=True)]
    reach = torch.cat(ratios, 1).amin(1, keepdim=True).mul(0.95).clamp_max(1.0)
    before = _dual(a, d, at)
    for _ in range(HALVINGS):
        w, u = (place + reach * move for place, move in zip(at, step, strict=True))
        short = _dual(a, d, (w, u)) < before + 1e-4 * reach * gain - 1e-13
        if not short.any():
            break
        reach = torch.where(short, reach / 2, reach)
    return w, u


def _dual(a: Tensor, d: Tensor, at: Point) -> Tensor:
    """g, (R, 1)."""
    w, u = at
    return (a * u.log()).sum(1, keepdim=True) + (d * w.log()).sum(1, keepdim=True)


def objective(z: Tensor, evidence: Evidence, cover: Cover) -> Tensor:
    """The f of q = softmax(z), (B,): equation 5 less what does not depend on q.

    Args:
        z: logits, (B, S), in the evidence's precision.
        evidence: of the B examples.
        cover: of the specialists.
    """
    log_q = z.log_softmax(1)
    out = ~cover.inside
    masses = torch.stack([log_q[:, some].logsumexp(1) if some.any() else log_q[:, 0] for some in out], 1)
    return -(evidence.single * log_q).sum(1) - (evidence.dustbin * masses).sum(1)


def gradient(z: Tensor, evidence: Evidence, cover: Cover) -> Tensor:
    """df/dz, (B, S), in closed form: n q - a - sum_m d_m q / Q_m over the m that a class is outside of."""
    q = z.softmax(1)
    out = (~cover.inside).to(z.dtype)
    w = evidence.dustbin / (q @ out.t()).clamp_min(TINY)
    return evidence.count[:, None] * q - evidence.single - q * (w @ out)


def descend(evidence: Evidence, cover: Cover, options: InferOptions, log_single: Tensor) -> Tensor:
    """The log of q by gradient descent on the logits from the arithmetic mean of what is given to single classes.

    A step of 2 / n along the gradient is as long as its Lipschitz constant, n / 2 at most, allows f to fall at each.
    """
    z = log_single.log_softmax(1)
    moving = (evidence.dustbin > 0).any(1).nonzero().flatten()
    some, current = evidence.rows(moving), z[moving]
    for _ in range(options.most_steps if len(moving) else 0):
        slope = gradient(current, some, cover)
        if float(slope.abs().max()) <= options.tolerance:
            break
        current = current - 2 / some.count[:, None] * slope
    else:
        if len(moving):
            _tell_unfinished(options.method, options.most_steps)
    z[moving] = current
    return z.log_softmax(1)
