"""Word errors of a study's cells, utterance by utterance, at the weights that are best on dev."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kdasr import io
from kdasr.decode.hypotheses import read_hypotheses
from kdasr.decode.score import choose, utterance_errors
from kdasr.decode.search import DecodeOptions
from kdasr.decode.system import DecodeJob, decode_system, expect_fitting


@dataclass(frozen=True)
class Decoding:
    """How all cells of a study are decoded.

    Attributes:
        graph: made for the states of the study's models.
        lang: that the graph was made with.
        features: `dev`, and `test` if there is one.
        references: the same -> utterance id -> transcript.
        options: of the search.
    """

    graph: Path
    lang: Path
    features: Mapping[str, Path]
    references: Mapping[str, Mapping[str, str]]
    options: DecodeOptions

    def expect(self, alignment: Path) -> None:
        """Refuses, before anything is trained, a graph of other states than those that the training set is aligned to.

        Raises:
            Refusal: also where the language is not the graph's.
        """
        expect_fitting(self.graph, self.lang, [])
        own, found = (io.read_info(self.graph).get("labelling"), io.read_info(alignment, "align").get("topology"))
        do = "name the graph of the model that aligned the training set"
        io.expect_same("labelling of graph and alignment", own, found, alignment, do)

    def inputs(self) -> dict[str, str]:
        """Content hashes of what word errors hang on besides models and features."""
        said = {f"{name}_transcripts": sorted(texts.items()) for name, texts in self.references.items()}
        usual = vars(DecodeOptions())
        search = {
            name: value for name, value in vars(self.options).items() if value != usual[name] and name != "memory"
        }
        hashes = {
            name: hashlib.sha256(repr(value).encode()).hexdigest()[:16]
            for name, value in {**said, "decode": sorted(search.items())}.items()
        }
        return {"graph": io.fingerprint(self.graph, "graph"), **hashes}

    def of(self, folder: Path, models: tuple[Path, ...], mean: str, overwrite: bool) -> WordErrorsOf:
        """The word errors of one system, decoded into folders below `folder`."""
        shared = {"graph": self.graph, "lang": self.lang, "models": models, "decode": self.options, "mean": mean}
        work = {
            name: DecodeJob(folder / name, features, overwrite=overwrite, **shared)  # type: ignore[arg-type]
            for name, features in self.features.items()
        }
        return WordErrorsOf(work, self.references)


@dataclass(frozen=True)
class WordErrorsOf:
    """Decodes the sets of one cell and counts; travels to a worker process.

    Attributes:
        work: `dev`, and `test` if there is one.
        references: the same -> utterance id -> transcript.
    """

    work: Mapping[str, DecodeJob]
    references: Mapping[str, Mapping[str, str]]

    def __call__(self) -> dict[str, Any]:
        """Weight and penalty; errors and words of each utterance of each set, sorted by id."""
        for job in self.work.values():
            decode_system(job)
        hypotheses = {name: read_hypotheses(job.folder) for name, job in self.work.items()}
        lm_weight, penalty = weights = choose(self.references["dev"], hypotheses["dev"])
        counted: dict[str, Any] = {"lm_weight": lm_weight, "penalty": penalty}
        for name, texts in hypotheses.items():
            references = dict(sorted(self.references[name].items()))
            errors, words = utterance_errors(references, texts[weights])
            counted[name] = {"errors": errors, "words": words}
        return counted
