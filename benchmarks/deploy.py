"""What a model costs where it is used, and its WER: `python benchmarks/deploy.py --data DIR --exp DIR --out DIR`.

Of a finished run of egs/an4: ensembles of its first members, of one to all, the student, and the student exported as
ONNX with float32 and with int8 weights. Bytes of the nets alone; milliseconds of their passes on one thread for a
second of audio, the fastest of some rounds over the longest utterances of the test set; test frames right; WER at
weights that dev chose. Then `kdasr transcribe`, student and int8, in a process of its own on one core: a single file,
and the whole test set.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import click
import torch

from kdasr import io
from kdasr.cli import cli
from kdasr.corpora.manifests import load_cuts
from kdasr.data.table import FrameTable
from kdasr.distill.ensemble import Ensemble, model_folders
from kdasr.distill.onnx import OnnxNets, nets
from kdasr.report.tables import table

CONF = Path(__file__).parents[1] / "egs" / "an4" / "conf" / "default.yaml"
TIMED = 20  # utterances


@dataclass(frozen=True)
class System:
    """Nets that predict together.

    Attributes:
        name: for the table.
        folders: of the models.
        size: bytes of the nets.
        milliseconds: of their passes, for a second of audio.
        accuracy: per cent of the test set's frames.
        wer: per cent, by set.
    """

    name: str
    folders: Sequence[Path]
    size: int
    milliseconds: float
    accuracy: float
    wer: dict[str, float]


class Run:
    """Verbs on the folders of a finished run.

    Args:
        data: of the recipe.
        exp: of the recipe, finished.
        conf: its settings.
        out: for what is made here.
    """

    def __init__(self, data: Path, exp: Path, conf: Path, out: Path) -> None:
        self.data, self.exp, self.conf, self.out = data, exp, conf, out
        self.graph, self.gmm = exp / "graph" / "sat", exp / "sat"

    def verb(self, verb: str, out: Path, *arguments: object) -> None:
        """One call; what is done already is not done again."""
        words = [verb, out, *arguments, "--conf", self.conf]
        cli.main([str(word) for word in words], standalone_mode=False)

    def searched(self, name: str, folders: Sequence[Path]) -> dict[str, float]:
        """WER of dev and test, decoded and scored."""
        models = [word for folder in folders for word in ("--model", folder)]
        for part in ("dev", "test"):
            place, features = self.out / "decode" / part / name, self.data / "fbank" / part
            self.verb(
                "decode", place, *models, "--features", features, "--graph", self.graph, "--lang", self.data / "lang"
            )
        scored = [word for part in ("dev", "test") for word in self._scored(part, name)]
        self.verb("score", self.out / "score" / name, *scored)
        record = io.read_json(self.out / "score" / name / "wer.json")
        return {part: record[part]["wer"] for part in ("dev", "test")}

    def _scored(self, part: str, name: str) -> list[object]:
        return [f"--{part}", self.out / "decode" / part / name, f"--{part}-cuts", self.data / "manifests" / part]

    def accuracy(self, models: Ensemble | OnnxNets) -> float:
        """Per cent of the test set's frames whose state is right."""
        features, alignment = FrameTable(self.data / "fbank" / "test"), FrameTable(self.exp / "ali" / "sat" / "test")
        pdfs, right, total = io.map_array(alignment.folder / "transition_pdfs.npy"), 0, 0
        for utterance, path in alignment:
            states = models.log_posteriors(features.frames(utterance.id)).argmax(1).numpy()
            right, total = right + int((states == pdfs[path]).sum()), total + len(path)
        return 100 * right / total

    def milliseconds(self, models: Ensemble | OnnxNets, rounds: int) -> float:
        """Of the nets' passes on one thread, for a second of audio."""
        features = FrameTable(self.data / "fbank" / "test")
        longest = sorted(features.utterances, key=lambda utterance: -utterance.num_frames)[:TIMED]
        frames = [features.frames(utterance) for utterance in longest]
        seconds = [_timed(models, frames) for _ in range(rounds)]
        return 1000 * min(seconds) / (sum(map(len, frames)) * features.info["frame_shift"])

    def system(self, name: str, folders: Sequence[Path], rounds: int) -> System:
        """All about one system."""
        files = [next(path for path in folder.glob("model.*") if path.suffix != ".part") for folder in folders]
        models, size = nets(folders, "arithmetic"), sum(file.stat().st_size for file in files)
        took, right = self.milliseconds(models, rounds), self.accuracy(models)
        return System(name, folders, size, took, right, self.searched(name.replace(" ", "_"), folders))

    def transcribed(self, name: str, folder: Path) -> tuple[float, float]:
        """Seconds of `kdasr transcribe` on one core: of one short file, and of the test set x real time."""
        bundle = self.out / "bundle" / name
        shared = ("--graph", self.graph, "--lang", self.data / "lang", "--gmm", self.gmm)
        self.verb("bundle", bundle, "--model", folder, *shared, "--score", self.out / "score" / name)
        cuts = sorted(load_cuts(self.data / "manifests" / "test"), key=lambda cut: cut.duration)
        files = [cut.recording.sources[0].source for cut in cuts]
        audio = sum(cut.duration for cut in cuts)
        return _transcribe(bundle, files[:1]), _transcribe(bundle, files) / audio


def _timed(models: Ensemble | OnnxNets, frames: Sequence[object]) -> float:
    begin = time.perf_counter()
    for each in frames:
        models.log_posteriors(each)  # type: ignore[arg-type]
    return time.perf_counter() - begin


def _transcribe(bundle: Path, files: Sequence[str]) -> float:
    core = {min(os.sched_getaffinity(0))}
    begin = time.perf_counter()
    command = ["kdasr", "transcribe", str(bundle), *files]
    subprocess.run(command, check=True, capture_output=True, preexec_fn=lambda: os.sched_setaffinity(0, core))
    return time.perf_counter() - begin


def draw(path: Path, systems: Sequence[System]) -> None:
    """What is right against the cost of the nets, into a PNG."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4), layout="constrained")
    together, alone = ([system for system in systems if ("student" in system.name) == one] for one in (False, True))
    measures = {
        "test frames right, %": lambda system: system.accuracy,
        "WER %, test": lambda system: system.wer["test"],
    }
    for axes, (title, measure) in zip(figure.subplots(1, 2), measures.items(), strict=True):
        costs, values = [system.milliseconds for system in together], [measure(system) for system in together]
        axes.plot(costs, values, "o-", color="tab:gray", label="members together")
        for number, place in enumerate(zip(costs, values, strict=True), start=1):
            axes.annotate(str(number), place, (4, 5), textcoords="offset points")
        for system, mark in zip(alone, "sD*", strict=True):
            label = f"{system.name}, {system.size / 1e6:.1f} MB"
            axes.plot(system.milliseconds, measure(system), mark, markersize=10, label=label)
        axes.set(xscale="log", xlabel="milliseconds of nets for a second of audio, one thread", ylabel=title)
    axes.legend()
    with io.atomic(path) as part:
        figure.savefig(part, format="png", dpi=100)


@click.command()
@click.option("--data", required=True, type=click.Path(path_type=Path, exists=True), help="data of egs/an4.")
@click.option("--exp", required=True, type=click.Path(path_type=Path, exists=True), help="exp of egs/an4, finished.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="Where exports and decoded sets go.")
@click.option("--conf", default=CONF, type=click.Path(path_type=Path, exists=True), help="Settings of the recipe.")
@click.option("--rounds", default=5, help="Of timing; the fastest counts.")
@click.option("--picture", type=click.Path(path_type=Path), help="PNG of WER against cost.")
def main(data: Path, exp: Path, out: Path, conf: Path, rounds: int, picture: Path | None) -> None:
    """Print what systems of a run of egs/an4 cost, and their WER."""
    torch.set_num_threads(1)
    run, members = Run(data, exp, conf, out), model_folders(exp / "members")
    (student,) = model_folders(exp / "student")
    run.verb("export", out / "student_onnx", "--model", student)
    run.verb("export", out / "student_int8", "--model", student, "--int8")
    systems = [
        run.system(f"ensemble of {count}" if count > 1 else "one member", members[:count], rounds)
        for count in range(1, len(members) + 1)
    ]
    for name, folder in (
        ("student", student),
        ("student onnx", out / "student_onnx"),
        ("student int8", out / "student_int8"),
    ):
        systems.append(run.system(name, [folder], rounds))
    whole = systems[len(members) - 1]
    rows = [
        [
            system.name,
            f"{system.size / 1e6:.2f}",
            f"{whole.size / system.size:.1f}",
            f"{system.milliseconds:.2f}",
            f"{whole.milliseconds / system.milliseconds:.1f}",
            f"{system.accuracy:.2f}",
            *(f"{system.wer[part]:.2f}" for part in ("dev", "test")),
        ]
        for system in systems
    ]
    header = (
        "system",
        "MB",
        "times smaller",
        "ms a second of audio",
        "times faster",
        "frames right %",
        "WER %, dev",
        "WER %, test",
    )
    print(table(header, rows))
    for name, folder in (("student", student), ("student_int8", out / "student_int8")):
        start, factor = run.transcribed(name, folder)
        took = f"{start:.2f} s for the shortest file, {factor:.4f} x real time for the test set"
        print(f"kdasr transcribe, {name}, one core: {took}")
    if picture:
        draw(picture, systems)


if __name__ == "__main__":
    main()
