"""What a report reads of a recipe run: the small files of its folders, or the one file that they were kept in."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kdasr import io, log
from kdasr.distill.accuracy import CONFUSED, RELIABILITY
from kdasr.distill.study import RESULTS, Results
from kdasr.refusal import Refusal

WORDS, METRICS, CURVE = "wer.json", "metrics.jsonl", "curve.json"
RATE = "frames_per_second"
BUNDLE = "bundle"  # its verb
LONG = ("pdf_names", "silence_pdfs", "subset")  # of an info, as long as the number of states; no report shows them


class RunFiles:
    """The files of one run by their place in it, such as `members/member-0/metrics.jsonl`.

    Args:
        where: the run's folder, or the file that it was kept in.
        records: place -> content.
    """

    def __init__(self, where: Path, records: Mapping[str, Any]) -> None:
        self.where, self.records = where, records
        self.infos: dict[str, dict[str, Any]] = self._of(io.INFO)
        self.studies = {place: Results.of(content, self.where / place) for place, content in self._of(RESULTS).items()}
        self.words: dict[str, dict[str, Any]] = self._of(WORDS)
        self.curves: dict[str, dict[str, list[float]]] = self._of(CURVE)
        self.reliability: dict[str, dict[str, Any]] = self._of(RELIABILITY)
        self.confused: dict[str, dict[str, Any]] = self._of(CONFUSED)
        self.metrics: dict[str, list[dict[str, Any]]] = self._of(METRICS)
        self.begun = set(self._of(io.MAKING))

    @property
    def name(self) -> str:
        """The folder's own name, or the kept file's; reports name no place of one machine."""
        return self.where.stem if self.where.is_file() else self.where.resolve().name

    def holds(self, part: str) -> bool:
        """Whether anything lies below a folder of the run."""
        return any(place.startswith(f"{part}/") for place in self.records)

    def _of(self, name: str) -> dict[str, Any]:
        """Folder -> content of its file of that name."""
        return {
            place.rpartition("/")[0]: content
            for place, content in self.records.items()
            if place.rpartition("/")[2] == name
        }


def read_files(where: str | Path) -> RunFiles:
    """The files of a run's folder, or of the file that `keep` made of one.

    Raises:
        Refusal: a file is damaged, or is no kept run.
    """
    where = Path(where)
    if where.is_file():
        records = io.read_json(where)
        if not isinstance(records, dict) or not all(place.endswith((".json", ".jsonl")) for place in records):
            raise Refusal("not a kept run", where=where, expected="a file that `kdasr report --keep` made")
        return RunFiles(where, records)
    paths = {path.relative_to(where): path for path in sorted(where.rglob("*.json*")) if path.parent != where}
    records = {place.as_posix(): _content(path) for place, path in paths.items() if _is_read(place)}
    return RunFiles(where, _without_copies(records))


def _without_copies(records: Mapping[str, Any]) -> dict[str, Any]:
    """The records without those that a bundle holds, which are of folders made elsewhere."""
    infos = {place.removesuffix(io.INFO): content for place, content in records.items() if place.endswith(io.INFO)}
    bundles = tuple(place for place, info in infos.items() if isinstance(info, dict) and info.get("verb") == BUNDLE)
    return {place: content for place, content in records.items() if not place.startswith(bundles)}


def _is_read(place: Path) -> bool:
    """Of a folder `study...` its results alone: it may have hundreds of cells."""
    if place.name == RESULTS:
        return is_of_study(place.parent.name)
    in_study = any(name.startswith("study") for name in place.parts)
    return place.name in (io.INFO, io.MAKING, WORDS, METRICS, CURVE, RELIABILITY, CONFUSED) and not in_study


def is_of_study(place: str) -> bool:
    """Whether a folder is one of `kdasr study`, named `study...` or `grid...`, or lies in one."""
    return any(name.startswith(("study", "grid")) for name in place.split("/"))


def _content(path: Path) -> Any:
    return log.read_metrics(path) if path.name == METRICS else io.read_json(path)


def keep(files: RunFiles, out: str | Path) -> None:
    """Writes the files of a run into one, a line each, to be committed and reported again without the run's models.

    Training lines are reduced to their median speed, epochs to their dev scores, places on this machine to places in
    the run.

    Args:
        files: of the run.
        out: a JSON file.

    Raises:
        Refusal: `out` exists and is no kept run, or the run itself.
    """
    out = Path(out)
    if out.suffix != ".json":
        raise Refusal("not a name for a kept run", where=out, expected="FILE.json")
    if out.exists():
        read_files(out)  # refuses another file
    here = f"{files.where.resolve()}/"
    lines = [
        f"{json.dumps(place)}: {json.dumps(_short(place, content), ensure_ascii=False).replace(here, '')}"
        for place, content in files.records.items()
    ]
    io.write_text(out, "{\n" + ",\n".join(lines) + "\n}\n")


def _scores(line: Mapping[str, Any]) -> dict[str, Any]:
    """What pictures draw of an epoch."""
    return {name: value for name, value in line.items() if name == "epoch" or name.startswith("dev_")}


def _short(place: str, content: Any) -> Any:
    if place.endswith(f"/{METRICS}"):
        speeds = [line[RATE] for line in content if RATE in line]
        usual = [{RATE: statistics.median(speeds)}] if speeds else []
        return [*usual, *(_scores(line) for line in content if "dev_accuracy" in line)]
    return (
        {name: value for name, value in content.items() if name not in LONG} if isinstance(content, dict) else content
    )
