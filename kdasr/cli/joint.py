"""`kdasr joint OUT`: a generalist and its specialists as one model."""

from __future__ import annotations

from pathlib import Path

import click

from kdasr.cli import options, sets


@click.command()
@options.settings
@click.argument("out", type=click.Path(path_type=Path))
@sets.generalist
@click.option("--specialists", required=True, metavar="DIR", help="Folder of specialist-<m> folders.")
@sets.training_set
def command(
    out: Path,
    model: str,
    specialists: str,
    train: sets.SetNames,
    settings: options.Settings,
    overwrite: bool,
) -> None:
    """Write one model into OUT that predicts by equation 5, as section `joint` says; the set is the training set.

    It is scored, decoded and taken for a teacher as any other model.
    """
    from kdasr.specialists.joint import make_joint
    from kdasr.specialists.training import one_model, specialist_folders

    generalist, folders = one_model(options.folder(model)), specialist_folders(options.folder(specialists))
    make_joint(out, generalist, folders, train.expected(settings), settings.section("joint"), overwrite)
