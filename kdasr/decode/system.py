"""One system decodes one set: a GMM, a DNN or an ensemble, with a graph made for its states."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby
from operator import itemgetter
from pathlib import Path

from kdasr import fsa, io, jobs, log
from kdasr.align.model import VERBS as GMMS
from kdasr.data.table import FrameTable, Utterance
from kdasr.decode.hypotheses import Wanted, decode_part, join_parts
from kdasr.decode.parts import divide, is_written, remove_parts
from kdasr.decode.scorers import dnn_scorer, gmm_scorer
from kdasr.decode.search import DecodeOptions, Searcher
from kdasr.distill.ensemble import VERBS as TRAINED
from kdasr.distill.onnx import VERB as EXPORT
from kdasr.lang.language import read_language

GMM, DNN = "gmm", "dnn"
DNNS = (*TRAINED, EXPORT)  # verbs that make what decodes as a DNN


@dataclass(frozen=True)
class DecodeJob:
    """A set to decode; travels to a worker process.

    Attributes:
        folder: the output.
        features: of the set.
        graph: made for the models' states.
        lang: that the graph was made with.
        models: one GMM, or DNNs that predict together.
        decode: of the search.
        kind: of the models, `gmm` or `dnn`.
        mean: of the DNNs' posteriors.
        wanted: what is kept besides hypotheses.
        overwrite: as `io.begin`'s.
    """

    folder: Path
    features: Path
    graph: Path
    lang: Path
    models: tuple[Path, ...]
    decode: DecodeOptions
    kind: str = DNN
    mean: str = "arithmetic"
    wanted: Wanted = field(default_factory=Wanted)
    overwrite: bool = False

    @property
    def made(self) -> io.Made:
        """What makes the folder."""
        inputs = {name: io.fingerprint(getattr(self, name), name) for name in ("features", "graph", "lang")}
        inputs |= {f"model_{number}": io.fingerprint(folder) for number, folder in enumerate(self.models)}
        options = {"decode": self.decode, "kind": self.kind, "mean": self.mean, **self.wanted.record()}
        return io.Made("decode", options, inputs)

    def parts(self) -> list[list[Utterance]]:
        """The set's utterances in parts; GMMs want all that a speaker said."""
        return divide(FrameTable(self.features), by_speaker=self.kind == GMM)


def expect_fitting(graph: Path, lang: Path, models: Sequence[Path], kind: str = DNN) -> None:
    """Refuses a language that the graph was not made with, and models of other states than the graph's."""
    info = io.read_info(graph, "graph")
    do = "name the lang folder that the graph was made with"  # word numbers of another would be read as other words
    io.expect_same("language of the graph", info["inputs"].get("lang"), io.fingerprint(lang, "lang"), graph, do)
    for folder in models:
        found = io.read_info(folder, *(GMMS if kind == GMM else DNNS)).get("labelling")
        do = "name the graph made for this model"
        io.expect_same("labelling of graph and model", info.get("labelling"), found, folder, do)


def decode_system(job: DecodeJob) -> None:
    """Writes the hypotheses of a set at every weight and penalty into the job's folder, unless they are there."""
    decode_systems([job], 1)


def decode_systems(work: Sequence[DecodeJob], num_jobs: int) -> None:
    """Writes the hypotheses of each job into its folder, unless they are there.

    Processes take the parts of all sets in turn, so one system is decoded by all of them. Parts that are done are kept
    until their set is, and a start after a stop goes on with the others.

    Args:
        work: systems and sets.
        num_jobs: processes at most.
    """
    begun = [(job, job.parts()) for job in work if io.begin(job.folder, job.made, job.overwrite)]
    wanted = [
        (job, number, utterances)
        for job, parts in begun
        for number, utterances in enumerate(parts)
        if not is_written(job.folder, number, utterances)
    ]
    shares = [wanted[first::num_jobs] for first in range(min(num_jobs, len(wanted)))]
    jobs.run(_decode_parts, shares, num_jobs, title="decoding")
    for job, parts in begun:
        features, words = FrameTable(job.features), read_language(job.lang).lexicon.words
        facts = join_parts(job.folder, len(parts), words, features, job.decode.max_bad, job.wanted.nbest)
        remove_parts(job.folder)
        io.finish(job.folder, **facts)


def _decode_parts(wanted: Sequence[tuple[DecodeJob, int, Sequence[Utterance]]]) -> None:
    for job, parts in groupby(log.progress(wanted, "decoding"), key=itemgetter(0)):
        lexicon, table = read_language(job.lang).lexicon, FrameTable(job.features)
        searcher = _searcher(job.graph, len(lexicon.words), job.decode)
        for _, number, utterances in parts:
            features, seconds = table.only(utterances), dict[str, float]()
            if job.kind == GMM:
                scorer, seconds = gmm_scorer(job.models[0], features, searcher)
            else:
                scorer = dnn_scorer(job.models, features, job.mean, job.decode)
            decode_part(job.folder, number, searcher, lexicon, features, scorer, job.wanted, seconds)


_searchers: dict[tuple[str, DecodeOptions], Searcher] = {}  # the last one: a large graph takes a while to be read


def _searcher(graph: Path, num_words: int, options: DecodeOptions) -> Searcher:
    key = io.fingerprint(graph, "graph"), options
    if key not in _searchers:
        _searchers.clear()  # first: two may not fit into memory
        _searchers[key] = Searcher(fsa.read_graph(graph / fsa.GRAPH), num_words, options)
    return _searchers[key]
