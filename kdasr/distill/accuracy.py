"""Scored models: accuracy and cross-entropy of an ensemble and of each member, in a folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path

from kdasr import io
from kdasr.data.examples import Source
from kdasr.distill.ensemble import Ensemble, fingerprints, score
from kdasr.train.accuracy import Score


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
        together, each = score(ensemble, source.open())
        members = [{"folder": folder, **asdict(member)} for folder, member in zip(ensemble.names, each, strict=True)]
        io.write_json(out / "accuracy.json", {"name": name, **asdict(together), "members": members})
        io.finish(out, name=name, **asdict(together), members=members)
    info = io.read_info(out)
    return Score(**{field.name: info[field.name] for field in fields(Score)})
