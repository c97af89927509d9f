"""`kdasr bias OUT`: correct the biases of classes that a student's transfer set left out, or was made of."""

from __future__ import annotations

import shutil
from pathlib import Path

import click

from kdasr.cli import options, sets
from kdasr.refusal import Refusal


@click.command()
@options.settings
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--model", required=True, metavar="DIR", help="The student.")
@click.option("--classes", required=True, metavar="LIST", help="Classes whose biases are shifted, as 3 or 7,8.")
@click.option("--like", metavar="DIR", help="Take the shift that was chosen there, in place of choosing one.")
@sets.training_set
@sets.dev_set
def command(
    out: Path,
    model: str,
    classes: str,
    like: str | None,
    train: sets.SetNames,
    dev: sets.SetNames,
    settings: options.Settings,
    overwrite: bool,
) -> None:
    """Write the student with shifted biases into OUT, and the errors at every shift.

    The shift with the fewest errors on the development set is taken, or that of --like. The set, if one is named, is
    scored at every shift; it chooses nothing. Section `bias` of the settings holds the shifts that are tried.
    """
    from kdasr import io, log, models
    from kdasr.distill import bias
    from kdasr.distill.ensemble import VERBS

    if (like is None) == (dev.source(settings) is None):
        raise Refusal("the shift is chosen once", where="kdasr bias", expected="a development set, or --like DIR")
    chosen, tried, numbers = options.folder(model), settings.section("bias"), sets.seeds(classes)
    named = {"dev": dev.source(settings), "test": train.source(settings)}
    sources = {name: source for name, source in named.items() if source is not None}
    prints = {f"{name}_{key}": value for name, it in sources.items() for key, value in it.fingerprints().items()}
    inputs = {
        "model": io.fingerprint(chosen, *VERBS),
        **({"like": io.fingerprint(like, "bias")} if like else {}),
        **prints,
    }
    if not io.begin(out, io.Made("bias", {"bias": tried, "classes": numbers}, inputs), overwrite):
        return
    taken = float(io.read_info(like)["shift"]) if like else None
    net, shifts = models.load(chosen / "model.safetensors"), bias.among(tried.shifts(), taken or 0.0)
    curves = {name: bias.curve(net, source.open(), numbers, shifts) for name, source in sources.items()}
    at = bias.best(curves["dev"], shifts) if taken is None else int((shifts - taken).abs().argmin())
    shift = round(float(shifts[at]), 6)
    columns = {"shift": [round(float(value), 6) for value in shifts]}
    columns |= {name: found.errors.tolist() for name, found in curves.items()}
    columns |= {f"{name}_of_classes": found.class_errors.tolist() for name, found in curves.items()}
    errors = {name: bias.summary(found, shifts, at) for name, found in curves.items()}
    models.save(out / "model.safetensors", bias.shifted(net, numbers, shift))
    shutil.copyfile(chosen / "priors.safetensors", out / "priors.safetensors")
    io.write_json(out / "curve.json", columns)
    known = {"verb", "options", "inputs", "fingerprint", "environment", "dev", "seed", "steps", "num_examples"}
    facts = {name: value for name, value in io.read_info(chosen).items() if name not in known}
    io.finish(out, **facts, shift=shift, classes=numbers, errors=errors)
    for name, found in errors.items():
        before, after = found["before"]["errors"], found["after"]["errors"]
        log.event(f"{out}: {name}: {before} errors, {after} with a shift of {shift:g}, of {found['examples']}")
