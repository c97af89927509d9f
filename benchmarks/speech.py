"""Speed of the speech verbs on AN4, with the WER at that speed: `python benchmarks/speech.py --data DIR --exp DIR`.

Calls the verbs of egs/an4 as the recipe does, on its folders (stages 0 to 2 made --data, 3 to 6 --exp), and
writes into a temporary folder. Seconds are a verb's wall time inside a running process; the time to start a process
is a row of its own.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import click
import torch

from kdasr import io
from kdasr.cli import cli, options
from kdasr.decode.hypotheses import read_hypotheses
from kdasr.decode.score import choose, count_errors
from kdasr.report.run import GMMS
from kdasr.report.tables import table

CONF = Path(__file__).parents[1] / "egs" / "an4" / "conf" / "default.yaml"
# Kaldi's seconds of training on two cores.
TIED = {"tri": 26.0, "lda_mllt": 37.0, "sat": None}
TRIGRAM = 0.022  # x real time, of Kaldi's decoding with a trigram: the fastest of those seen
START = "import torch, k2, lhotse, kdasr.cli"


@dataclass(frozen=True)
class Row:
    """One measurement; `bar` is the most that it may be, `kaldi` what Kaldi takes on two cores."""

    what: str
    value: float
    bar: float | None = None
    kaldi: float | None = None
    note: str = ""
    digits: int = 1

    def cells(self) -> list[str]:
        """Cells of the printed table."""
        met = "" if self.bar is None else "yes" if self.value <= self.bar else "NO"
        numbers = [f"{value:.{self.digits}f}" if value is not None else "" for value in (self.value, self.kaldi)]
        return [self.what, *numbers, f"{self.bar:g}" if self.bar else "", met, self.note]


class Bench:
    """Measures verbs.

    Args:
        data: of the recipe.
        out: where outputs go.
        conf: settings of the recipe.
        num_jobs: processes, as in the recipe.
        rounds: runs of each short measurement; the fastest counts.
    """

    def __init__(self, data: Path, out: Path, conf: Path, num_jobs: int, rounds: int) -> None:
        self.data, self.out, self.conf, self.num_jobs, self.rounds = data, out, conf, num_jobs, rounds

    def verb(self, verb: str, out: Path, *arguments: object, jobs: bool = False, sets: Sequence[str] = ()) -> float:
        """Seconds of one call of a verb."""
        words = [verb, out, *arguments, "--conf", self.conf, *(word for text in sets for word in ("--set", text))]
        words += ["--num-jobs", self.num_jobs] if jobs else []
        begin = time.perf_counter()
        cli.main([str(word) for word in words], standalone_mode=False)
        return time.perf_counter() - begin

    def fastest(self, measure: Callable[[Path], float], name: str) -> tuple[float, Path]:
        """Least seconds of the rounds, and the output of that round."""
        places = [self.out / f"{name}-{number}" for number in range(self.rounds)]
        return min((measure(place), place) for place in places)

    def start(self) -> Row:
        """A process that imports what a verb needs."""
        begin = time.perf_counter()
        subprocess.run([sys.executable, "-c", START], check=True)
        return Row("start of a verb: Python, torch, k2, lhotse", time.perf_counter() - begin)

    def features(self) -> list[Row]:
        """Both kinds of features, training and test set."""
        rows = []
        for kind in ("fbank", "mfcc"):

            def both(out: Path, kind: str = kind) -> float:
                cuts = self.data / "manifests"
                sets = ("train_all", "test")
                arguments = [("--type", kind, "--cuts", cuts / name) for name in sets]
                return sum(
                    self.verb("features", out / name, *some, jobs=True)
                    for name, some in zip(sets, arguments, strict=True)
                )

            seconds, _ = self.fastest(both, kind)
            rows.append(Row(f"features of the whole corpus, {kind}, s", seconds))
        total = sum(row.value for row in rows)
        return [*rows, Row("features of the whole corpus, both, s", total, bar=20)]

    @property
    def speech(self) -> list[object]:
        """Arguments of verbs that read the training set's cepstra and transcripts."""
        parts = ("mfcc/train_all", "manifests/train_all", "lang")
        places = [self.data / part for part in parts]
        return [word for pair in zip(("--features", "--cuts", "--lang"), places, strict=True) for word in pair]

    def monophones(self) -> Row:
        """The flat start on all 948 utterances."""
        seconds = self.verb("mono", self.out / "mono", *self.speech, jobs=True)
        gaussians = io.read_info(self.out / "mono")["num_gaussians"]
        return Row("monophone training, s", seconds, bar=60, kaldi=59, note=f"{gaussians} Gaussians")

    def alignment(self) -> Row:
        """The training set by the model that was just trained."""
        model = self.out / "mono"
        measure: Callable[[Path], float] = lambda out: self.verb(  # noqa: E731
            "align", out, "--model", model, *self.speech, jobs=True
        )
        seconds, place = self.fastest(measure, "ali")
        info = io.read_info(place)
        note = f"{info['num_utterances']} utterances, {len(info['not_aligned'])} not aligned"
        return Row("alignment of the whole training set, s", seconds, bar=5, note=note)

    def tied(self) -> list[Row]:
        """Training of each GMM of tied states, from an alignment by the one before."""
        rows, before = [], self.out / "mono"
        for name, kaldi in TIED.items():
            model, ali = self.out / name, self.out / f"ali-of-{before.name}"
            aligned = self.verb("align", ali, "--model", before, *self.speech, jobs=True)
            seconds = self.verb("tri", model, "--part", name, "--model", before, "--ali", ali, *self.speech, jobs=True)
            info = io.read_info(model)
            size = f"{info['num_pdfs']} states, {info['num_gaussians']} Gaussians"
            note = f"{size}; the alignment that it begins with: {aligned:.1f} s"
            rows.append(Row(f"{GMMS[name]}: training, s", seconds, bar=kaldi, kaldi=kaldi, note=note))
            before = model
        return rows

    def gmm(self, name: str, lm: str, kaldi: float | None) -> list[Row]:
        """Graph and decoding of a model that was just trained."""
        lang, model, graph = self.data / "lang", self.out / name, self.out / f"graph-{name}"
        lm_folder = self.data / "lm" / f"{lm}_train_all"
        seconds = self.verb("graph", graph, "--lang", lang, "--lm", lm_folder, "--model", model)
        rows = [Row(f"{GMMS[name]}: decoding graph of the {lm}, s", seconds)]
        inputs = ("--gmm", model, "--features", self.data / "mfcc" / "test", "--graph", graph, "--lang", lang)
        return rows + self.decoding(GMMS[name], [*inputs, "--part", name], kaldi, kaldi)

    def decoding(self, name: str, arguments: Sequence[object], bar: float | None, kaldi: float | None) -> list[Row]:
        """The search, all of decoding at one pair of weights, and all of it at every pair that is tried."""
        seconds, place = self.fastest(lambda out: self.verb("decode", out, *arguments), f"decode-{name}")
        info, (weight, text) = io.read_info(place), self.word_errors(place)
        audio = float(info["audio_seconds"])
        sets = (f"decode.lm_weights=[{weight}]", "decode.penalties=[0.0]")
        alone, single = self.fastest(
            lambda out: self.verb("decode", out, *arguments, sets=sets), f"decode-{name}-alone"
        )
        row = Row(f"{name}: decoding of the test set", 0.0, bar, kaldi, digits=4)
        search = min(float(info["search_seconds"]), float(io.read_info(single)["search_seconds"])) / audio
        pairs = len(read_hypotheses(place))
        return [
            replace(row, what=f"{row.what}, search, x real time", value=search, note=text),
            replace(row, what=f"{row.what}, all, one pair of weights", value=alone / audio, note=f"weight {weight:g}"),
            replace(row, what=f"{row.what}, all, {pairs} pairs", value=seconds / audio, bar=None, kaldi=None),
        ]

    def word_errors(self, decoded: Path) -> tuple[float, str]:
        """The test set's own best weight at penalty 0, as in Kaldi's tables, and its errors."""
        texts = {pair: found for pair, found in read_hypotheses(decoded).items() if pair[1] == 0}
        references = options.transcripts(self.data / "manifests" / "test")
        best = choose(references, texts)
        return best[0], str(count_errors(references, texts[best]))


def net(exp: Path) -> Path | None:
    """A finished student, or member, of the run."""
    found = sorted(exp.glob(f"student/*/{io.INFO}")) + sorted(exp.glob(f"members/member-*/{io.INFO}"))
    return found[0].parent if found else None


@click.command(help=__doc__)
@click.option("--data", required=True, type=click.Path(path_type=Path, exists=True), help="data of an egs/an4 run.")
@click.option("--exp", type=click.Path(path_type=Path, exists=True), help="exp of it: times a DNN's decoding too.")
@click.option("--conf", default=CONF, show_default="that of egs/an4", type=click.Path(path_type=Path, exists=True))
@click.option("--num-jobs", default=2, show_default=True)
@click.option("--rounds", default=1, show_default=True, help="Runs of each short measurement; the fastest counts.")
@click.option("--threads", default=0, help="torch threads of decoding; 0: all cores.")
def main(data: Path, exp: Path | None, conf: Path, num_jobs: int, rounds: int, threads: int) -> None:
    """Prints the table."""
    torch.set_num_threads(threads or torch.get_num_threads())
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as temporary:
        bench = Bench(data, Path(temporary), conf, num_jobs, rounds)
        rows = [bench.start(), *bench.features(), bench.monophones(), bench.alignment(), *bench.tied()]
        rows += bench.gmm("mono", "bigram", 0.019)
        for name in TIED:
            rows += bench.gmm(name, "trigram", TRIGRAM)
        if exp and (model := net(exp)):
            graph, features = exp / "graph" / "sat", data / "fbank" / "test"
            arguments = ["--model", model, "--features", features, "--graph", graph, "--lang", data / "lang"]
            rows += bench.decoding("DNN", arguments, None, None)
    cores, used = os.cpu_count(), torch.get_num_threads()
    click.echo(f"\n{cores} cores, {num_jobs} jobs, {used} threads; load before: {load:.1f}; fastest of {rounds}\n")
    click.echo(table(("what", "here", "Kaldi", "bar", "met", "note"), [row.cells() for row in rows]), nl=False)


if __name__ == "__main__":
    main()
