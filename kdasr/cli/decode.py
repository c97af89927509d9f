"""`kdasr decode OUT`: search with k2, by a GMM, a DNN or an ensemble."""

from __future__ import annotations

from pathlib import Path

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
    from kdasr import io
    from kdasr.decode.hypotheses import Wanted
    from kdasr.decode.system import DNN, GMM, DecodeJob, decode_systems, expect_fitting
    from kdasr.distill.ensemble import model_folders

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
    for name, path in shared.items():
        io.read_info(path, name)
    kind, wanted = GMM if gmm else DNN, Wanted(lattices, nbest)
    expect_fitting(shared["graph"], shared["lang"], folders, kind)
    decode, mean = settings.section("decode"), settings.section("distill").mean
    places = (
        [(out / "ensemble", folders), *((out / folder.name, [folder]) for folder in folders)]
        if each
        else [(out, folders)]
    )
    work = [
        DecodeJob(
            place,
            **shared,
            models=tuple(chosen),
            decode=decode,
            kind=kind,
            mean=mean,
            wanted=wanted,
            overwrite=overwrite,
        )
        for place, chosen in places
    ]
    decode_systems(work, num_jobs)
