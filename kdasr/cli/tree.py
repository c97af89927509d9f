"""`kdasr tree MODEL`: how a model ties the states of phones in context."""

from __future__ import annotations

from pathlib import Path

import click

from kdasr.cli import options


@click.command()
@click.argument("model")
@click.option("--phone", metavar="PHONE", help="One phone's questions and pdfs.")
@click.option(
    "--draw",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="PNG",
    help="Picture to write: of the phone that is named, or of all.",
)
def command(model: str, phone: str | None, draw: Path | None) -> None:
    """Print pdfs by phone and the questions of a model's tree, or one phone's tree; draw it."""
    from kdasr import log
    from kdasr.align.model import read_model_tree
    from kdasr.report import trees

    tree = read_model_tree(options.folder(model))
    click.echo(trees.phone_text(tree, phone) if phone else trees.summary(tree))
    if draw:
        if phone:
            trees.draw_phone(draw, tree, phone)
        else:
            trees.draw(draw, tree)
        log.event(f"{draw}: drawn")
