"""`kdasr decode OUT`: search with k2, by a GMM, a DNN or an ensemble."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from kdasr.cli import options
from kdasr.refusal import Refusal


@click.command()
@options.settings
@click.argument("out", type=click.Path(path_type=Path))
@click.option(
    "--features",
    required=True,
    metavar="DIR",
    help="Features of the set: cepstra for --gmm, filterbanks for --model.",
)
@click.option("--graph", required=True, metavar="DIR", help="Made by `kdasr graph`.")
@click.option("--lang", required=True, metavar="DIR", help="Made by `kdasr lang`.")
@click.option("--gmm", metavar="DIR", help="GMM to decode with; speaker-adaptive ones decode twice.")
@click.option(
    "--model",
    "models",
    multiple=True,
    metavar="DIR",
    help="DNN, or folder of members; several are an ensemble.",
)
@click.option(
    "--each",
    is_flag=True,
    help="Decode every member alone too, into OUT/<member>; the ensemble goes to OUT/ensemble.",
)
@click.option("--lattices", is_flag=True, help="Keep the lattices too, for `kdasr rescore`.")
@options.nbest
@options.num_jobs
def command(
    out: Path,
    features: str,
    graph: str,
    lang: str,
    gmm: str | None,
    models: tuple[str, ...],
    each: bool,
    lattices: bool,
    nbest: int,
    num_jobs: int,
    settings: options.Settings,
    overwrite: bool,
) -> None:
    """Write hypotheses for every weight and penalty into OUT; sections `decode` and `distill` (mean) of settings."""
    from kdasr import io, jobs
    from kdasr.align.model import VERBS as GMMS
    from kdasr.decode.hypotheses import Wanted
    from kdasr.distill.ensemble import VERBS, model_folders

    if (gmm is None) == (not models):
        raise Refusal("one kind of model is wanted", where="kdasr decode", expected="--gmm DIR or --model DIR")
    folders = [options.folder(gmm)] if gmm else model_folders([options.folder(model) for model in models])
    if each and len({folder.name for folder in folders}) < len(folders):
        raise Refusal(
            "members of the same name",
            where="--each",
            found=", ".join(map(str, folders)),
            do="decode them one by one",
        )
    shared = {name: options.folder(path) for name, path in (("features", features), ("graph", graph), ("lang", lang))}
    prints = {name: io.fingerprint(path, name) for name, path in shared.items()}
    graph_info = io.read_info(graph)
    labelling, words = graph_info.get("labelling"), graph_info["inputs"].get("lang")
    do = "name the lang folder that the graph was made with"  # word numbers of another would be read as other words
    io.expect_same("language of the graph", words, prints["lang"], graph, do)
    for folder in folders:
        found = io.read_info(folder, *(GMMS if gmm else VERBS)).get("labelling")
        io.expect_same("labelling of graph and model", labelling, found, folder, "name the graph made for this model")
    decode, mean = settings.section("decode"), settings.section("distill").mean
    kind = "gmm" if gmm else "dnn"
    places = (
        [(out / "ensemble", folders), *((out / folder.name, [folder]) for folder in folders)]
        if each
        else [(out, folders)]
    )
    jobs.run(
        _decode,
        [(place, shared, kind, chosen, mean, decode, Wanted(lattices, nbest), overwrite) for place, chosen in places],
        num_jobs,
    )


def _decode(arguments: tuple[Path, dict[str, Path], str, list[Path], str, Any, Any, bool]) -> None:
    from kdasr import fsa, io
    from kdasr.data.table import FrameTable
    from kdasr.decode.hypotheses import decode_set
    from kdasr.decode.scorers import dnn_scorer, gmm_scorer
    from kdasr.decode.search import Searcher
    from kdasr.lang.language import read_language

    out, shared, kind, folders, mean, decode, wanted, overwrite = arguments
    inputs = {name: io.fingerprint(path) for name, path in shared.items()}
    inputs |= {f"model_{number}": io.fingerprint(folder) for number, folder in enumerate(folders)}
    made = io.Made("decode", {"decode": decode, "kind": kind, "mean": mean, **wanted.record()}, inputs)
    if not io.begin(out, made, overwrite):
        return
    lexicon, table = read_language(shared["lang"]).lexicon, FrameTable(shared["features"])
    searcher = Searcher(fsa.read_graph(shared["graph"] / fsa.GRAPH), len(lexicon.words), decode)
    if kind == "gmm":
        scorer, facts = gmm_scorer(folders[0], table, searcher)
    else:
        scorer, facts = dnn_scorer(folders, table, mean, decode), {}
    io.finish(out, **decode_set(out, searcher, lexicon, table, scorer, wanted), **facts)
