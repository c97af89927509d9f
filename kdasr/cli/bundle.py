"""`kdasr bundle OUT`: all that transcribing needs, in one folder."""

from __future__ import annotations

from pathlib import Path

import click

from kdasr.cli import options
from kdasr.refusal import Refusal


@click.command()
@options.settings
@click.argument("out", type=click.Path(path_type=Path))
@options.models
@click.option("--graph", required=True, metavar="DIR", help="Made by `kdasr graph`, for the states of the DNN.")
@click.option("--lang", required=True, metavar="DIR", help="Made by `kdasr lang`.")
@click.option("--gmm", required=True, metavar="DIR", help="GMM that the graph was made for; its HMMs time the words.")
@click.option(
    "--score",
    metavar="DIR",
    help="Made by `kdasr score`; its weight and penalty are taken. Left out: those that the search itself goes by.",
)
def command(
    out: Path,
    models: tuple[str, ...],
    graph: str,
    lang: str,
    gmm: str,
    score: str | None,
    settings: options.Settings,
    overwrite: bool,
) -> None:
    """Write a folder that `kdasr transcribe` works with, and that can be copied anywhere, into OUT.

    Sections `decode` (but its weights and penalties) and `distill` (mean) of the settings.
    """
    from kdasr import io
    from kdasr.align.model import VERBS, read_model
    from kdasr.decode.bundle import VERB, write_bundle
    from kdasr.decode.system import DNNS, expect_fitting
    from kdasr.distill.ensemble import model_folders
    from kdasr.distill.onnx import nets

    folders = model_folders([options.folder(model) for model in models])
    decode, mean = settings.section("decode"), settings.section("distill").mean
    inputs = {
        **{f"model_{number}": io.fingerprint(folder, *DNNS) for number, folder in enumerate(folders)},
        "graph": options.fingerprint(graph, "graph"),
        "lang": options.fingerprint(lang, "lang"),
        "gmm": options.fingerprint(gmm, *VERBS),
        **({"score": options.fingerprint(score, "score")} if score else {}),
    }
    expect_fitting(Path(graph), Path(lang), folders)
    nets(folders, mean)  # refuses what does not go together
    do = "name the GMM that the graph was made for"
    io.expect_same("the graph's GMM", io.read_info(graph)["inputs"]["model"], inputs["gmm"], gmm, do)
    weights = _weights(Path(score)) if score else decode.own_weights
    if io.begin(out, io.Made(VERB, {"decode": decode, "mean": mean}, inputs), overwrite):
        write_bundle(out, folders, Path(lang), Path(graph), read_model(gmm), decode, weights, mean)


def _weights(score: Path) -> tuple[float, float]:
    """Language-model weight and penalty that a development set chose."""
    from kdasr import io

    record = io.read_json(score / "wer.json")
    try:
        return float(record["dev"]["lm_weight"]), float(record["dev"]["penalty"])
    except (KeyError, TypeError, ValueError) as error:
        raise Refusal("no weights", where=score / "wer.json", found=repr(error), do=io.AGAIN) from None
