"""`kdasr report OUT.md`: tables of results from the folders of recipe runs."""

from __future__ import annotations

from pathlib import Path

import click

from kdasr.refusal import Refusal


@click.command()
@click.argument("out", type=click.Path(path_type=Path), metavar="OUT.md")
@click.option(
    "--exp",
    "folders",
    required=True,
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="EXP",
    help="Models and results of a recipe run, or a file made by --keep; repeated for runs that differ by seeds, whose"
    " mean and spread are shown.",
)
@click.option(
    "--keep",
    "kept",
    type=click.Path(path_type=Path),
    metavar="FILE.json",
    help="Keep what is reported of the one run in a file, which --exp takes later in place of its folder.",
)
@click.option("--pictures", is_flag=True, help="Draw learning curves into a PNG beside OUT.md.")
@click.option(
    "--readme",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Put the tables between `<!-- kdasr report -->` and `<!-- end -->` of FILE too.",
)
def command(out: Path, folders: tuple[Path, ...], kept: Path | None, pictures: bool, readme: Path | None) -> None:
    """Write the results of the runs in EXP into OUT.md: systems, share of the ensemble's gain, time, settings."""
    from kdasr import io, log
    from kdasr.report import page
    from kdasr.report import pictures as curves
    from kdasr.report.files import keep
    from kdasr.report.run import read_run

    if kept and len(folders) > 1:
        raise Refusal("one run is kept in a file", where=f"--keep {kept}", expected="one --exp", found=len(folders))
    runs = [read_run(folder) for folder in folders]
    text = page.page(runs)
    filled = page.filled(readme, runs) if readme else ""  # refuses before anything is written
    if kept:
        keep(runs[0].files, kept)
    drawn = curves.draw_all(out, runs) if pictures else {}
    page.write_page(out, page.page(runs, drawn) if drawn else text)
    if pictures and not drawn:
        log.event(f"{out}: nothing to draw, no model below {' '.join(map(str, folders))} was scored on dev")
    if readme:
        io.write_text(readme, filled)
    log.event(f"{out}: results of {len(runs)} run{'s' if len(runs) > 1 else ''}{f', {readme} too' if readme else ''}")
