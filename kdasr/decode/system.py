"""One system decodes one set: a GMM, a DNN or an ensemble, with a graph made for its states."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from kdasr import fsa, io
from kdasr.align.model import VERBS as GMMS
from kdasr.data.table import FrameTable
from kdasr.decode.hypotheses import Wanted, decode_set
from kdasr.decode.scorers import dnn_scorer, gmm_scorer
from kdasr.decode.search import DecodeOptions, Searcher
from kdasr.distill.ensemble import VERBS as DNNS
from kdasr.lang.language import read_language

GMM, DNN = "gmm", "dnn"


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
    inputs = {name: io.fingerprint(getattr(job, name), name) for name in ("features", "graph", "lang")}
    inputs |= {f"model_{number}": io.fingerprint(folder) for number, folder in enumerate(job.models)}
    options = {"decode": job.decode, "kind": job.kind, "mean": job.mean, **job.wanted.record()}
    if not io.begin(job.folder, io.Made("decode", options, inputs), job.overwrite):
        return
    lexicon, table = read_language(job.lang).lexicon, FrameTable(job.features)
    searcher = Searcher(fsa.read_graph(job.graph / fsa.GRAPH), len(lexicon.words), job.decode)
    if job.kind == GMM:
        scorer, facts = gmm_scorer(job.models[0], table, searcher)
    else:
        scorer, facts = dnn_scorer(job.models, table, job.mean, job.decode), {}
    io.finish(job.folder, **decode_set(job.folder, searcher, lexicon, table, scorer, job.wanted), **facts)
