"""`kdasr report OUT`: tables of results from the folders of recipe runs."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

import click

from kdasr.cli import options
from kdasr.refusal import Refusal


@click.command()
@click.argument("out", type=click.Path(path_type=Path), metavar="OUT")
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
@click.option(
    "--pictures",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Draw learning curves, and what else there is, into PNGs in DIR; an HTML page has them inside anyway.",
)
@click.option("--images", metavar="DIR", help="Draw some of these images with their soft targets too.")
@click.option("--soft-targets", metavar="DIR", help="Soft targets of --images, of one teacher or a geometric mean.")
@click.option(
    "--readme",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Put the sections, and pictures, between `<!-- kdasr report -->` and `<!-- end -->` of FILE too; some alone by"
    " `<!-- kdasr report: systems, share -->`, those of another run by `<!-- kdasr report of KEPT.json: systems -->`.",
)
def command(
    out: Path,
    folders: tuple[Path, ...],
    kept: Path | None,
    pictures: Path | None,
    images: str | None,
    soft_targets: str | None,
    readme: Path | None,
) -> None:
    """Write the results of the runs in EXP into OUT: systems, share of the ensemble's gain, time, settings.

    OUT.md is Markdown. OUT.html is one page with the pictures inside, that needs no network.
    """
    from kdasr import io, log
    from kdasr.data.images import ImageExamples
    from kdasr.report import page
    from kdasr.report.examples import draw_examples
    from kdasr.report.files import keep
    from kdasr.report.pictures import draw_all
    from kdasr.report.run import read_run

    if kept and len(folders) > 1:
        raise Refusal("one run is kept in a file", where=f"--keep {kept}", expected="one --exp", found=len(folders))
    if (images is None) != (soft_targets is None) or (images and pictures is None and not page.is_html(out)):
        raise Refusal("half of a picture", where="kdasr report", expected="--pictures, --images and --soft-targets")
    runs = [read_run(folder) for folder in folders]
    page.page(runs)  # refuses before anything is written
    if readme:
        page.filled(readme, runs)
    if kept:
        keep(runs[0].files, kept)
    with ExitStack() as places:
        place = pictures
        if place is None and page.is_html(out):
            place = Path(places.enter_context(TemporaryDirectory()))
        drawn = draw_all(place, runs) if place else {}
        if place and images and soft_targets:
            drawn[place / "examples.png"] = "images that the teacher doubts about, and their soft targets"
            draw_examples(place / "examples.png", ImageExamples(options.folder(images)), options.folder(soft_targets))
        if page.is_html(out):
            page.write_html(out, runs, drawn)
        else:
            page.write_page(out, page.page(runs, page.beside(out, drawn)))
    if pictures and not drawn:
        log.event(f"{out}: nothing to draw, no model below {' '.join(map(str, folders))} was scored on dev")
    if readme:
        io.write_text(readme, page.filled(readme, runs, page.beside(readme, drawn)))
    log.event(f"{out}: results of {len(runs)} run{'s' if len(runs) > 1 else ''}{f', {readme} too' if readme else ''}")
