"""Word errors of all systems as Markdown: means over seeds, and what the students gain on the same utterances."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click
from decode import WER
from options import run

from kdasr import io
from kdasr.report.paired import Difference, over_utterances
from kdasr.report.tables import spread

SYSTEMS = {"hard": "CTC alone (teachers)", "ensemble": "ensemble of the teachers", "soft": "CTC and soft targets"}
SAMPLES, SEED = 2000, 0  # of the bootstrap
Record = dict[str, Any]


def read(folder: Path) -> Record:
    """What decode.py wrote."""
    io.read_info(folder, "ctc-decode")
    record: Record = io.read_json(folder / WER)
    return record


def cell(records: list[Record], name: str) -> str:
    """Mean and range over seeds, or the one rate with its counts."""
    rates = [record[name]["wer"] for record in records]
    if len(rates) == 1:
        return f"{rates[0]:.2f} [{sum(records[0][name]['errors'])} / {sum(records[0][name]['words'])}]"
    return spread(rates, 2)


def difference(records: list[Record], others: list[Record], name: str) -> Difference:
    """Of the mean word error rates, over the same utterances."""
    errors, references = ([record[name]["errors"] for record in each] for each in (records, others))
    return over_utterances(errors, references, records[0][name]["words"], SAMPLES, SEED)


def table(found: dict[str, list[Record]]) -> str:
    """All systems against CTC alone."""
    lines = [
        "| system | nets to run | scale of the language model | WER %, dev | WER %, test | test, less CTC alone |",
        "|---|---|---|---|---|---|",
    ]
    for system, records in found.items():
        nets = len(found["hard"]) if system == "ensemble" else 1
        scales = sorted({record["lm_scale"] for record in records})
        less = difference(records, found["hard"], "test")
        gain = "" if system == "hard" else f"{less.mean:+.2f}, {less.low:+.2f} to {less.high:+.2f}"
        tried = f"{scales[0]:g}" if len(scales) == 1 else f"{scales[0]:g} to {scales[-1]:g}"
        row = [SYSTEMS[system], str(nets), tried, cell(records, "dev"), cell(records, "test"), gain]
        lines.append(f"| {' | '.join(row)} |")
    seeds = f"{len(found['hard'])} teachers, {len(found['soft'])} students"
    lines += [
        "",
        f"{seeds}; ±: standard deviation (n − 1) over seeds, then the range. Last column: difference of the means, "
        f"and its 95 % bootstrap interval over utterances ({SAMPLES} draws, seed {SEED}).",
    ]
    return "\n".join(lines) + "\n"


@click.command()
@click.option("--hard", type=Path, multiple=True, required=True, help="Folder of decode.py, of a teacher; repeatable.")
@click.option("--ensemble", type=Path, required=True, help="Of all teachers together.")
@click.option("--soft", type=Path, multiple=True, required=True, help="Of a student; repeatable.")
@click.argument("out", type=Path)
def main(out: Path, hard: tuple[Path, ...], ensemble: Path, soft: tuple[Path, ...]) -> None:
    """Write a table into OUT, and print it."""
    folders = {"hard": hard, "ensemble": (ensemble,), "soft": soft}
    text = table({system: [read(folder) for folder in each] for system, each in folders.items()})
    io.write_text(out, text)
    sys.stdout.write(text)


if __name__ == "__main__":
    run(main)
