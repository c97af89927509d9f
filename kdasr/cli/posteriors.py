"""`kdasr posteriors OUT`: what models or soft targets say of a set, as a Kaldi archive."""

from __future__ import annotations

from pathlib import Path

import click

from kdasr.cli import options
from kdasr.refusal import Refusal


@click.command()
@options.settings
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--model", "models", multiple=True, metavar="DIR", help="DNN, or folder of members; repeatable.")
@click.option("--features", metavar="DIR", help="Features of the set.")
@click.option("--likelihoods", is_flag=True, help="Subtract the log prior: what Kaldi's latgen-faster-mapped reads.")
@click.option("--soft-targets", metavar="DIR", help="Stored soft targets, in place of models.")
def command(
    out: Path,
    models: tuple[str, ...],
    features: str | None,
    likelihoods: bool,
    soft_targets: str | None,
    settings: options.Settings,
    overwrite: bool,
) -> None:
    """Write OUT/log_posteriors.ark and .scp, a row a frame, of models (section `distill`: the mean of several).

    With --likelihoods OUT/log_likelihoods.ark; section `decode` says which prior, and its floor. With --soft-targets
    OUT/post.ark, Kaldi posteriors of pdfs.
    """
    from kdasr.distill.ensemble import model_folders
    from kdasr.exchange import posteriors

    if bool(models) != bool(features) or bool(models) == bool(soft_targets) or (likelihoods and not models):
        expected = "--model DIR and --features DIR, or --soft-targets DIR"
        raise Refusal("one source is wanted", where="kdasr posteriors", expected=expected)
    if soft_targets:
        posteriors.write_soft_targets(out, options.folder(soft_targets), overwrite)
        return
    folders, prior = model_folders([options.folder(model) for model in models]), settings.section("decode")
    posteriors.write_scores(
        out,
        folders,
        options.folder(features or ""),
        settings.section("distill").mean,
        prior if likelihoods else None,
        overwrite,
    )
