"""Search with k2: log-likelihoods through the decoding graph to lattices, and lattices to words at any weights."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from kdasr import fsa, jobs, memory
from kdasr.decode.batches import Batches, SearchMemory, limit_of
from kdasr.decode.lattice import Lattices
from kdasr.decode.paths import Weights, Words, best_words
from kdasr.fsa import Graph
from kdasr.refusal import Refusal
from kdasr.train.precision import compute_device

Keep = Callable[[Sequence[int], Lattices], None]  # utterance numbers of a batch, and their lattices


@dataclass(frozen=True)
class DecodeOptions:
    """Options of the search and of the weights at which its lattices are read.

    Attributes:
        acoustic_scale: of log-likelihoods in the search (Kaldi: 0.1 for DNNs, 0.083333 for GMMs).
        search_beam: pruning of the search, in scaled log-likelihood.
        output_beam: pruning of the lattices.
        min_active: states kept on each frame, whatever the beam.
        max_active: states kept at most (Kaldi: 7000).
        batch_frames: frames that are searched at once at most, padding included.
        memory: GiB that a batch's search may take, by an estimate; 0: half of what is available when decoding begins,
            of the machine's or of the GPU's memory, shared among processes side by side.
        device: of the search: `auto` (CUDA where there is a device and k2 can use it), `cpu`, `cuda`, `cuda:1`.
        lm_weights: language-model weights tried (Kaldi's scoring: 7 to 17); acoustic scores are divided by them. Those
            far from `1 / acoustic_scale` want a wider output_beam: lattices are pruned at the search's own scale.
        penalties: word insertion penalties tried (Kaldi: 0, 0.5, 1).
        prior: what posteriors are divided by: `counts` of the training alignment, or the `mean_posterior` of the model.
        prior_floor: smallest prior, relative to a uniform one.
        max_bad: share of utterances that may be without a path.
    """

    acoustic_scale: float = 0.1
    search_beam: float = 10.0
    output_beam: float = 5.0
    min_active: int = 30
    max_active: int = 7000
    batch_frames: int = 20000
    memory: float = 0.0
    device: str = "auto"
    lm_weights: tuple[float, ...] = (3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17)
    penalties: tuple[float, ...] = (0.0, 0.5, 1.0)
    prior: str = "counts"
    prior_floor: float = 0.01
    max_bad: float = 0.05

    def __post_init__(self) -> None:
        if self.prior not in ("counts", "mean_posterior"):
            raise ValueError(f"prior must be counts or mean_posterior, found {self.prior!r}")
        if min(self.search_beam, self.output_beam, self.acoustic_scale) <= 0 or self.batch_frames < 1:
            raise ValueError("beams and acoustic_scale must be above 0, batch_frames at least 1")
        if self.memory < 0:
            raise ValueError(f"memory is in GiB, 0 for the default, found {self.memory}")
        if not self.lm_weights or not self.penalties or min(self.lm_weights) <= 0:
            raise ValueError("lm_weights and penalties must not be empty, lm_weights above 0")
        if not 0 <= self.max_bad <= 1 or self.prior_floor < 0:
            raise ValueError("max_bad is a share between 0 and 1, prior_floor at least 0")

    @property
    def pairs(self) -> list[Weights]:
        """Every language-model weight with every penalty."""
        return list(itertools.product(self.lm_weights, self.penalties))

    @property
    def own_weights(self) -> Weights:
        """The weights that the search itself goes by."""
        return 1 / self.acoustic_scale, 0.0


@dataclass(frozen=True)
class Decoded:
    """What a search found.

    Attributes:
        words: for every pair of weights, the word numbers of each utterance (None where no path survived).
        search_seconds: spent in k2's search.
    """

    words: dict[Weights, list[Words]]
    search_seconds: float


class Searcher:
    """Decodes utterances with one graph.

    `sequences` are the word numbers that the rows of `graph.words` stand for, `seconds` those that k2 has searched.

    Args:
        graph: state-level decoding graph, transition scores included.
        num_words: words of the lexicon (larger values of `graph.words` refer to `graph.word_sequences`).
        options: scales and beams.
    """

    def __init__(self, graph: Graph, num_words: int, options: DecodeOptions) -> None:
        self.options = options
        self.device, self.seconds = _device(options.device), 0.0
        self._num_pdfs, self._arcs_per_state = graph.max_label, len(graph) / graph.num_states
        self._graph = fsa.stack([fsa.fsa(graph, ("words", "transition"))]).to(self.device)
        self._graph.graph_scores = self._graph.scores.clone()
        self.sequences = [[], *([word] for word in range(1, num_words + 1)), *map(list, graph.word_sequences)]

    def lattices(self, log_likelihoods: Sequence[torch.Tensor]) -> Any:
        """The lattices of utterances; an arc's score is the scaled acoustic score and the graph's.

        An arc also tells its parts: `acoustic_scores` (not scaled), `graph_scores`, and `words`, a row of `sequences`.

        Args:
            log_likelihoods: (T, num_pdfs) float32 of each utterance, longest first.

        Raises:
            Refusal: the graph has more pdfs than the model.
        """
        num_pdfs = log_likelihoods[0].shape[1]
        if num_pdfs < self._num_pdfs:  # k2 would read beyond the row
            raise Refusal(
                "the graph is of another model",
                where="decoding",
                expected=f"at least {self._num_pdfs} states",
                found=f"{num_pdfs} states",
                do="name the graph made for this model",
            )
        options = self.options
        scaled = [_whole_frames(matrix.to(self.device)) * options.acoustic_scale for matrix in log_likelihoods]
        dense = fsa.dense(scaled)
        beams = (options.search_beam, options.output_beam, options.min_active, options.max_active)
        lattices = fsa.k2().intersect_dense_pruned(self._graph, dense, *beams)
        lattices.acoustic_scores = (lattices.scores - lattices.graph_scores) / options.acoustic_scale
        return lattices

    def decode(
        self, lengths: Sequence[int], log_likelihoods: Callable[[int], torch.Tensor], keep: Keep | None = None
    ) -> Decoded:
        """Decodes utterances by batches of similar length.

        Args:
            lengths: frames of each utterance.
            log_likelihoods: utterance number -> `log p(x | pdf)` up to a constant of the frame, (T, num_pdfs).
            keep: is handed the lattices of each batch.
        """
        pairs = self.options.pairs
        words: dict[Weights, list[Words]] = {pair: [None] * len(lengths) for pair in pairs}
        before = self.seconds
        for batch, found in self.search(lengths, log_likelihoods):
            lattices = Lattices.of(found)
            for pair, rows in best_words(lattices, self.sequences, pairs).items():
                for number, row in zip(batch, rows, strict=True):
                    words[pair][number] = row
            if keep:
                keep(batch, lattices)
        return Decoded(words, self.seconds - before)

    def search(
        self, lengths: Sequence[int], log_likelihoods: Callable[[int], torch.Tensor]
    ) -> Iterator[tuple[list[int], Any]]:
        """Searches utterances by batches of similar length that fit into memory; arguments as `decode`'s.

        Yields:
            Utterance numbers, longest first, and their lattices.

        Raises:
            Refusal: one utterance alone does not fit into memory.
        """
        options = self.options
        available = memory.available() if self.device.type == "cpu" else torch.cuda.mem_get_info(self.device)[0]
        estimate = SearchMemory(self._num_pdfs, options.max_active * self._arcs_per_state)
        batches = Batches(lengths, options.batch_frames, limit_of(options.memory, available), estimate)
        for batch in batches:
            matrices = list(jobs.in_threads(log_likelihoods, batch))
            begin = time.perf_counter()
            try:
                with jobs.one_thread():  # as k2's search is
                    lattices = self.lattices(matrices)
                if self.device.type == "cuda":
                    torch.cuda.synchronize(self.device)
            except (MemoryError, RuntimeError) as error:
                if not _is_short_of_memory(error):
                    raise
                fault = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
                batches.halve(batch, fault)
                continue
            self.seconds += time.perf_counter() - begin
            estimate.learn(lattices.num_arcs, sum(lengths[number] for number in batch))
            yield batch, lattices


def _is_short_of_memory(error: Exception) -> bool:
    """Whether an allocation failed, in torch's words or the standard library's."""
    return isinstance(error, MemoryError) or any(word in str(error).lower() for word in ("alloc", "out of memory"))


def _device(wanted: str) -> torch.device:
    device = compute_device(wanted)
    if device.type == "cuda" and not fsa.k2().with_cuda:
        if wanted == "auto":
            return torch.device("cpu")
        do = "take a k2 built for CUDA, or --set decode.device=cpu"
        raise Refusal("k2 was built without CUDA", where=f"device {wanted}", do=do)
    return device


def _whole_frames(matrix: torch.Tensor) -> torch.Tensor:
    """Frames with a NaN made NaN as a whole, which loses their utterance; in part they make k2 end the process."""
    if not matrix.sum().isnan():  # one pass over what is nearly always sound
        return matrix
    return matrix.masked_fill(matrix.isnan().any(dim=1)[:, None], torch.nan)
