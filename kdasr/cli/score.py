"""`kdasr score OUT`: word error rates at weights chosen on a development set."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from kdasr.cli import options
from kdasr.refusal import Refusal

if TYPE_CHECKING:
    from kdasr.decode.score import ScoreOptions


@click.command()
@options.settings
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--dev", required=True, metavar="DIR", help="Decoded development set; it chooses weight and penalty.")
@click.option("--dev-cuts", required=True, metavar="DIR", help="Its cuts.")
@click.option("--test", required=True, metavar="DIR", help="Decoded test set.")
@click.option("--test-cuts", required=True, metavar="DIR", help="Its cuts.")
@click.option(
    "--each",
    is_flag=True,
    help="DEV and TEST hold a folder a system (`decode --each`); score each into OUT/<system>.",
)
def command(
    out: Path,
    dev: str,
    dev_cuts: str,
    test: str,
    test_cuts: str,
    each: bool,
    settings: options.Settings,
    overwrite: bool,
) -> None:
    """Write word error rates (`wer.json`) and aligned errors of both sets into OUT; section `score` of the settings.

    `wer.json` also holds what Kaldi's tables show: the best weight of the test set itself at penalty 0, which chooses
    nothing.
    """
    score = settings.section("score")
    folders = {"dev": options.folder(dev), "test": options.folder(test)}
    cuts = {"dev": options.cuts_at(dev_cuts), "test": options.cuts_at(test_cuts)}
    systems = sorted(path.name for path in folders["dev"].iterdir() if path.is_dir()) if each else [""]
    if not systems:
        raise Refusal(
            "no system was decoded here", where=dev, expected="a folder a system", do="run kdasr decode --each"
        )
    for system in systems:
        _score(out / system, {name: folder / system for name, folder in folders.items()}, cuts, score, overwrite)


def _score(out: Path, folders: dict[str, Path], cuts: dict[str, Path], score: ScoreOptions, overwrite: bool) -> None:
    from kdasr import io
    from kdasr.decode.score import write_scores

    inputs = {name: io.fingerprint(folder, "decode", "rescore") for name, folder in folders.items()}
    inputs |= {f"{name}_cuts": io.fingerprint(folder, "corpus") for name, folder in cuts.items()}
    if io.begin(out, io.Made("score", score, inputs), overwrite):
        references = {name: options.transcripts(folder) for name, folder in cuts.items()}
        speakers = {name: options.speakers(folder) for name, folder in cuts.items()}
        write_scores(out, folders, references, score, speakers)
        io.finish(out)
    record = io.read_json(out / "wer.json")
    for name in folders:
        click.echo(f"{out}: {name} {record[name]['text']}")
