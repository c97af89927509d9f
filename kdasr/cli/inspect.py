"""`kdasr inspect DIR`: what a folder of soft targets holds."""

from __future__ import annotations

import click

from kdasr.cli import options, sets


@click.command()
@click.argument("soft_targets", metavar="DIR")
@sets.training_set
@sets.transfer_sets
@click.option("--teacher", "teachers", multiple=True, metavar="DIR", help="Teachers that made them; repeatable.")
def command(soft_targets: str, train: sets.SetNames, teachers: tuple[str, ...]) -> None:
    """Print size, kept mass and entropy of soft targets; with their set and --teacher, how far from dense."""
    from kdasr.distill import inspection
    from kdasr.distill.ensemble import Ensemble, model_folders
    from kdasr.distill.soft_targets import SoftTargets
    from kdasr.distill.store import SAMPLED

    targets = SoftTargets(options.folder(soft_targets))
    info = targets.info
    click.echo(f"{info['kind']} of {len(info['teachers'])} teachers, {info['mean']} mean, T = {info['temperature']:g}")
    click.echo(inspection.content(targets))
    if teachers:
        window = tuple(f"frames.{side}={info[side]}" for side in ("left", "right") if side in info)  # images have none
        examples = train.expected(options.Settings(None, window)).open()
        folders = model_folders([options.folder(teacher) for teacher in teachers])
        ensemble = Ensemble.load(folders, info["mean"], device="auto")
        targets = SoftTargets(soft_targets, examples)
        if targets.store.options.tail == SAMPLED:
            stored, drawn = inspection.variance(targets, ensemble, examples)
            of = f", {100 * stored / drawn:.1f} % of what labels have that the teachers draw" if drawn else ""
            click.echo(f"variance: {stored:.2e} a frame, squared distance of the sample from the teachers{of}")
            return
        mean, most = inspection.divergence(targets, ensemble, examples)
        click.echo(f"divergence: {mean:.2e} nats a frame (most {most:.2e}), KL of the teachers from what is stored")
