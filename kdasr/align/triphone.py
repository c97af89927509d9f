"""GMM passes with tied states, each from the alignment of the one before it.

Three kinds, as Kaldi has them: cepstra with differences; spliced cepstra projected by LDA and MLLT; and
speaker-adaptive training, whose frames are transformed for each speaker by fMLLR.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from kdasr import io, jobs, log
from kdasr.align import contexts, fmllr, rounds
from kdasr.align.aligner import AlignOptions
from kdasr.align.frontend import DELTAS, Frontend, Projection, splice
from kdasr.align.gmm import Gmm, Statistics, accumulate, fitted_gmm, moved
from kdasr.align.lda import LdaStatistics, lda_matrix
from kdasr.align.mllt import MlltStatistics, mllt_matrix, with_means
from kdasr.align.model import GmmModel
from kdasr.align.part import Part, Share, TrainingSet
from kdasr.align.rounds import Parts, RoundOptions
from kdasr.data.table import FrameTable
from kdasr.lang.lexicon import Lexicon
from kdasr.lang.statistics import ContextStatistics
from kdasr.lang.tree import Tree
from kdasr.lang.tying import TreeOptions, build_tree
from kdasr.refusal import Refusal

FRONTENDS = ("deltas", "lda_mllt", "previous")


@dataclass(frozen=True)
class TriphoneOptions(RoundOptions):
    """Options of a pass with tied states.

    Attributes:
        frontend: `deltas`; `lda_mllt`, estimated in this pass; or that of the `previous` model.
        context: frames a side that `lda_mllt` splices (Kaldi: 4, in some recipes 3).
        dim: of the frames that `lda_mllt` makes (Kaldi: 40).
        mllt: rounds in which MLLT is estimated (Kaldi: 2, 4, 6, 12).
        speaker_adaptive: frames are transformed for each speaker, from the first round on.
        fmllr: rounds in which the transforms are estimated again (Kaldi: 2, 4, 6, 12).
    """

    iterations: int = 34
    realign: tuple[int, ...] = (10, 20, 30)
    gaussians: int = 10000
    grow_until: int = 25
    frontend: str = "deltas"
    context: int = 4
    dim: int = 40
    mllt: tuple[int, ...] = (2, 4, 6, 12)
    speaker_adaptive: bool = False
    fmllr: tuple[int, ...] = (2, 4, 6, 12)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.frontend not in FRONTENDS:
            raise ValueError(f"frontend must be one of {', '.join(FRONTENDS)}, found {self.frontend!r}")
        if self.speaker_adaptive and self.frontend == "lda_mllt":
            raise ValueError("speaker_adaptive wants a front-end that is there: frontend deltas or previous")
        if self.context < 0 or self.dim < 1:
            raise ValueError("context must be at least 0, dim at least 1")


def train(
    features: FrameTable,
    texts: Mapping[str, str],
    lexicon: Lexicon,
    previous: GmmModel,
    alignment: FrameTable,
    options: TriphoneOptions,
    tree_options: TreeOptions,
    align_options: AlignOptions,
    num_jobs: int = 1,
) -> tuple[GmmModel, list[str]]:
    """Trains one pass.

    Args:
        features: raw cepstra of the training set.
        texts: utterance id -> transcript.
        lexicon: pronunciations of their words.
        previous: the model of the alignment.
        alignment: transition ids of the training set; an utterance that it lacks has none until it is realigned.
        options: front-end, rounds, sizes.
        tree_options: of the states' tying.
        align_options: scales and beams.
        num_jobs: processes that share the utterances.

    Returns:
        The model, and the ids of the utterances that have no alignment at the end, sorted.

    Raises:
        Refusal: the alignment is of other utterances, or more than `align_options.max_bad` do not align.
    """
    chosen = TrainingSet.of(features, texts, lexicon, align_options.max_bad)
    _expect_aligned(chosen, alignment)
    frontend = DELTAS if options.frontend == "deltas" else previous.frontend
    items = [(share, previous.tree, frontend, alignment.folder) for share in chosen.shares]
    with jobs.one_thread(), jobs.Workers(_part, items, num_jobs) as parts:
        adaptation = Adaptation(parts, options, frontend)
        adaptation.begin(previous)
        seen = functools.reduce(ContextStatistics.__add__, parts.each(_contexts, tree_options.width))
        tree, sums = build_tree(seen, previous.topology, tree_options)
        occupancy, first, second = map(torch.from_numpy, (sums.occupancy, sums.first, sums.second))
        gmm = fitted_gmm(occupancy, first, second, options.variance_floor)
        parts.each(Part.tie, tree, align_options, float(np.log(options.boost_silence)))
        gmm, transitions, lost = rounds.run(parts, gmm, tree, options, align_options, before=adaptation.before)
        first_pass = adaptation.first_pass(gmm)
    model = GmmModel(gmm, transitions, tree, features.info.get("extractor"), adaptation.frontend, first_pass)
    return model, chosen.not_aligned(lost)


def _expect_aligned(chosen: TrainingSet, alignment: FrameTable) -> None:
    """Refuses an alignment of other utterances, or of other frames."""
    known = [id for id in chosen.ids if id in alignment.by_id]
    if not known:
        raise Refusal(
            "no utterance of the features is aligned here", where=alignment.folder, do="name their own alignment"
        )
    for id in known:
        frames, found = chosen.features.by_id[id].num_frames, alignment.by_id[id].num_frames
        what = f"number of frames of {id}"
        io.expect_same(what, frames, found, alignment.folder, "align these features")


class Adaptation:
    """Fits frames to mixtures before and during training: LDA, MLLT, and fMLLR of the speakers.

    Args:
        parts: the training set.
        options: which of them, and in which rounds.
        frontend: to begin with.
    """

    def __init__(self, parts: Parts, options: TriphoneOptions, frontend: Frontend) -> None:
        self.parts, self.options, self.frontend = parts, options, frontend
        self.transforms: dict[str, torch.Tensor] | None = None

    def begin(self, previous: GmmModel) -> None:
        """The frames of the first round, from the alignment of the previous model."""
        if self.options.frontend == "lda_mllt":
            statistics = functools.reduce(LdaStatistics.__add__, self.parts.each(_lda, self.options.context))
            matrix = lda_matrix(statistics, self.options.dim)
            log.event(f"LDA: {matrix.shape[1]} numbers to {matrix.shape[0]}, {len(statistics.occupancy)} classes")
            self._see(Projection(matrix, self.options.context))
        if self.options.speaker_adaptive:
            self._transform(previous.first_pass or previous.gmm, previous.gmm)

    def before(self, number: int, gmm: Gmm) -> Gmm:
        """Adapts before the statistics of a round are gathered; the mixtures follow MLLT."""
        estimated = self.options.frontend == "lda_mllt"
        if estimated and isinstance(self.frontend, Projection) and number in self.options.mllt:
            statistics = functools.reduce(MlltStatistics.__add__, self.parts.each(_mllt, gmm))
            matrix, gain = mllt_matrix(statistics, gmm)
            log.event(f"round {number}: MLLT gains {gain:.3f} per frame")
            self._see(self.frontend.then(matrix))
            return with_means(gmm, matrix)
        if self.options.speaker_adaptive and number in self.options.fmllr:
            self._transform(gmm, gmm)
        return gmm

    def first_pass(self, gmm: Gmm) -> Gmm | None:
        """Mixtures of the frames before fMLLR, Gaussian by Gaussian, at the final alignment; None without fMLLR."""
        if self.transforms is None:
            return None
        total = functools.reduce(Statistics.__add__, self.parts.each(_untransformed, gmm, self.frontend))
        return moved(gmm, total, self.options.minimum_occupancy, self.options.variance_floor)

    def _transform(self, gmm: Gmm, target: Gmm) -> None:
        """Estimates the speakers' transforms on top of those that their frames already have."""
        found = fmllr.transforms(fmllr.merged(self.parts.each(_fmllr, gmm, target)))
        before = self.transforms or {}
        self.transforms = {
            speaker: fmllr.compose(transform, before[speaker]) if speaker in before else transform
            for speaker, transform in found.items()
        }
        self._see(self.frontend)

    def _see(self, frontend: Frontend) -> None:
        self.frontend = frontend
        self.parts.each(Part.see, frontend, self.transforms)


def _part(item: tuple[Share, Tree, Frontend, Path]) -> Part:
    share, tree, frontend, folder = item
    alignment = FrameTable(folder)
    paths = (alignment.frames(id) if id in alignment.by_id else None for id in share.ids)
    return Part(share, tree, paths, frontend)


def _contexts(part: Part, width: int) -> ContextStatistics:
    return contexts.accumulate(part.paths, part.matrices, part.tree, width)


def _lda(part: Part, context: int) -> LdaStatistics:
    """Sums of spliced cepstra but silence's, utterance by utterance: spliced all at once they would fill the memory."""
    rows, pdfs = part.spoken()
    total = LdaStatistics.of(_spliced(part.cepstra[0][:0], context), pdfs[:0], part.tree.num_pdfs)
    bounds = np.searchsorted(rows.numpy(), part.edges)
    for x, edge, begin, end in zip(part.cepstra, part.edges, bounds, bounds[1:], strict=False):
        chosen = slice(begin, end)
        total += LdaStatistics.of(_spliced(x, context)[rows[chosen] - edge], pdfs[chosen], part.tree.num_pdfs)
    return total


def _spliced(cepstra: np.ndarray, context: int) -> torch.Tensor:
    return torch.from_numpy(splice(cepstra, context))


def _mllt(part: Part, gmm: Gmm) -> MlltStatistics:
    rows, pdfs = part.spoken()
    return MlltStatistics.of(gmm, part.frames[rows], pdfs)


def _fmllr(part: Part, gmm: Gmm, target: Gmm) -> dict[str, fmllr.FmllrStatistics]:
    pdfs = [None if path is None else part.pdfs(path) for path in part.paths]
    return fmllr.speaker_statistics(part.matrices, pdfs, part.speakers, gmm, target, part.tree.silence_pdfs())


def _untransformed(part: Part, gmm: Gmm, frontend: Frontend) -> Statistics:
    """Statistics of the frames before fMLLR, shared out as those after it are."""
    rows, transitions = part.aligned()
    after = part.frames
    part.see(frontend)
    return accumulate(gmm, after[rows], part.pdfs(transitions), part.frames[rows])
