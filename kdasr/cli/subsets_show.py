"""`kdasr subsets-show DIR`: subsets by their classes' names, and a picture of what is confused."""

from __future__ import annotations

from pathlib import Path

import click

from kdasr.cli import options


@click.command()
@click.argument("subsets", metavar="DIR")
@click.option("--names", type=click.IntRange(min=0), default=0, metavar="N", help="Names a subset; default: all.")
@click.option("--picture", type=click.Path(path_type=Path), metavar="FILE.png", help="Draw the confusion matrix.")
def command(subsets: str, names: int, picture: Path | None) -> None:
    """List each subset, the classes nearest to its centroid first; draw the confusion matrix in cluster order."""
    from kdasr.report.confusion import draw_confusion
    from kdasr.specialists.subsets import listing, ordered

    folder = options.folder(subsets)
    click.echo(listing(folder, names))
    if picture is not None:
        draw_confusion(picture, *ordered(folder))
