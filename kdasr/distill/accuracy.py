"""Scored models: accuracy, cross-entropy, reliability and confusion of an ensemble and of each member, in a folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path

from kdasr import io
from kdasr.data.examples import Source
from kdasr.distill.ensemble import Ensemble, fingerprints, tally
from kdasr.train.accuracy import Score

RELIABILITY, CONFUSED = "reliability.json", "confused.json"


def score_models(
    out: Path, folders: Sequence[Path], source: Source, mean: str, name: str = "", overwrite: bool = False
) -> Score:
    """Writes the score of an ensemble and of each member into a folder, unless it is there; returns the ensemble's.

    Args:
        out: the output.
        folders: of the models.
        source: the set.
        mean: of the ensemble.
        name: of the system in tables.
        overwrite: as `io.begin`'s.

    Raises:
        Refusal: models and set do not belong together.
    """
    inputs = {**source.fingerprints(), **fingerprints("model", folders)}
    if io.begin(out, io.Made("accuracy", {"name": name, "mean": mean}, inputs), overwrite):
        ensemble = Ensemble.load(folders, mean, device="auto")
        examples = source.open()
        together, each = tally(ensemble, examples)
        scores = [{"folder": folder, **asdict(one.score())} for folder, one in zip(ensemble.names, each, strict=True)]
        whole = {"name": name, **asdict(together.score()), "members": scores}
        reliability = [one.reliability.as_json() for one in (together, *each)]
        io.write_json(out / RELIABILITY, {"together": reliability[0], "members": reliability[1:]})
        names = examples.class_names()
        pairs = (together.pairs, each[0].pairs)  # a member confuses much what another does
        confused = [one.named(names, examples.background).as_json() for one in pairs]
        io.write_json(out / CONFUSED, {"together": confused[0], "first": confused[1]})
        io.write_json(out / "accuracy.json", whole)
        io.finish(out, **whole)
    info = io.read_info(out)
    return Score(**{field.name: info[field.name] for field in fields(Score)})
