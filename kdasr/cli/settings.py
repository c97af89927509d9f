"""`kdasr settings [SECTION]...`: what can be set, its type, default and meaning."""

from __future__ import annotations

import shutil

import click

from kdasr.cli import options


@click.command()
@click.argument("sections", nargs=-1, metavar="[SECTION]...")
@click.option("--markdown", is_flag=True, help="Write them as a page, docs/options.md.")
def command(sections: tuple[str, ...], markdown: bool) -> None:
    """Print the settings of SECTIONs of a settings file, or of all: name, default, type and meaning."""
    from kdasr.report import settings

    chosen = {name: options.typed(name) for name in sections or options.SECTIONS}
    if markdown:
        click.echo(settings.page(chosen), nl=False)
        return
    width = min(100, shutil.get_terminal_size().columns)
    click.echo("\n".join(settings.text(name, cls, width) for name, cls in chosen.items()), nl=False)
