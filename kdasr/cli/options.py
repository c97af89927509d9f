"""Options that the verbs share: settings (`--conf`, `--set`), `--overwrite`, `--num-jobs`, `--scheduler`."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from kdasr import cluster, config
from kdasr.refusal import Refusal, unknown_name

F = TypeVar("F", bound=Callable[..., Any])

SECTIONS = {  # section of a conf file: the dataclass that types it
    "digits": "kdasr.corpora.digits:DigitsOptions",
    "an4": "kdasr.corpora.an4:An4Options",
    "yesno": "kdasr.corpora.yesno:YesnoOptions",
    "librispeech": "kdasr.corpora.librispeech:LibrispeechOptions",
    "own": "kdasr.corpora.own:OwnOptions",
    "kaldi": "kdasr.corpora.kaldi:KaldiOptions",
    "fbank": "kdasr.features.fbank:FbankOptions",
    "mfcc": "kdasr.features.mfcc:MfccOptions",
    "noise": "kdasr.features.noise:NoiseOptions",
    "lexicon": "kdasr.lang.dictionary:LexiconOptions",
    "lang": "kdasr.lang.lexicon:LangOptions",
    "lm": "kdasr.lang.lm:LmOptions",
    "mono": "kdasr.align.monophone:MonophoneOptions",
    "tri": "kdasr.align.triphone:TriphoneOptions",
    "align": "kdasr.align.aligner:AlignOptions",
    "tree": "kdasr.lang.tying:TreeOptions",
    "graph": "kdasr.lang.decoding:GraphOptions",
    "mnist": "kdasr.corpora.mnist:MnistOptions",
    "frames": "kdasr.data.frames:FrameOptions",
    "images": "kdasr.data.images:ImageOptions",
    "dnn": "kdasr.models.dnn:DnnOptions",
    "train": "kdasr.train.loop:TrainOptions",
    "student": "kdasr.train.loop:TrainOptions",  # the student's own dropout, epochs, ...
    "distill": "kdasr.distill.loss:DistillOptions",
    "study": "kdasr.distill.cells:StudyOptions",
    "subsets": "kdasr.specialists.confusion:SubsetOptions",
    "specialist": "kdasr.specialists.dustbin:SpecialistOptions",
    "joint": "kdasr.specialists.infer:InferOptions",
    "store": "kdasr.distill.store:StoreOptions",
    "bias": "kdasr.distill.bias:BiasOptions",
    "decode": "kdasr.decode.search:DecodeOptions",
    "score": "kdasr.decode.score:ScoreOptions",
    "archive": "kdasr.exchange.archive:ArchiveOptions",
}


def typed(section: str) -> type:
    """The dataclass of a section.

    Raises:
        Refusal: there is no such section.
    """
    if section not in SECTIONS:
        raise unknown_name("section", section, SECTIONS)
    module, _, cls = SECTIONS[section].partition(":")
    found: type = getattr(importlib.import_module(module), cls)
    return found


class Settings:
    """What `--conf` and `--set` said; a verb asks for the sections it uses."""

    def __init__(self, conf: str | None, overrides: tuple[str, ...], part: str | None = None) -> None:
        self.conf, self.overrides, self.part = conf, overrides, part

    def section(self, name: str) -> Any:
        """The resolved dataclass of one section."""
        return config.resolve(typed(name), name, self.conf, self.overrides, SECTIONS, self.part)


def settings(function: F) -> F:
    """Adds `--conf`, `--set` and `--overwrite`; the verb gets `settings: Settings` and `overwrite: bool`."""

    @click.option("--conf", type=click.Path(dir_okay=False), help="YAML file of settings, a section a noun.")
    @click.option(
        "--part", metavar="NAME", help="Table of sections below `parts` of the YAML file; wins over the rest."
    )
    @click.option(
        "--set",
        "overrides",
        multiple=True,
        metavar="SECTION.NAME=VALUE",
        help="One setting; wins over --conf.",
    )
    @click.option(
        "--overwrite",
        is_flag=True,
        help="Make the output again if other options or inputs made it; what the same ones made is kept.",
    )
    def wrapped(conf: str | None, overrides: tuple[str, ...], part: str | None, **arguments: Any) -> Any:
        return function(settings=Settings(conf, overrides, part), **arguments)

    wrapped.__name__, wrapped.__doc__ = function.__name__, function.__doc__
    if hasattr(function, "__click_params__"):
        wrapped.__click_params__ += function.__click_params__  # type: ignore[attr-defined]
    return wrapped  # type: ignore[return-value]


_num_jobs = click.option(
    "--num-jobs", type=click.IntRange(min=1), default=1, show_default=True, help="Parallel processes."
)


def num_jobs(function: F) -> F:
    """Adds `--num-jobs`, which the verb gets, and `--scheduler`, to whose workers `jobs.run` goes meanwhile."""

    @_num_jobs
    @click.option(
        "--scheduler",
        metavar="ADDRESS",
        help="Processes of a dask cluster, as many at once as --num-jobs says, in place of this machine's: the address "
        "of its scheduler, tcp://HOST:8786. All its machines see the same files.",
    )
    @functools.wraps(function)
    def wrapped(scheduler: str | None, **arguments: Any) -> Any:
        with cluster.scheduler(scheduler):
            return function(**arguments)

    return wrapped  # type: ignore[return-value]


def num_local_jobs(function: F) -> F:
    """Adds `--num-jobs`, and `--scheduler` because recipes give it to every verb with jobs: these exchange too much."""
    text = "Changes nothing here: every pass adds up what all processes found, so they stay on this machine."
    return _num_jobs(click.option("--scheduler", metavar="ADDRESS", expose_value=False, help=text)(function))


nbest = click.option(
    "--nbest", type=click.IntRange(min=0), default=0, metavar="N", help="Write lists of the N best word sequences too."
)


models = click.option(
    "--model",
    "models",
    multiple=True,
    required=True,
    metavar="DIR",
    help="DNN, or folder of members; several are an ensemble.",
)


def transcripts(cuts: str | Path) -> dict[str, str]:
    """Utterance id -> transcript, of cuts; those that lack a supervision have none."""
    from kdasr.corpora import manifests

    supervised = (cut for cut in manifests.load_cuts(cuts_at(cuts)) if cut.supervisions)
    return {cut.id: " ".join(part.text or "" for part in cut.supervisions) for cut in supervised}


def speakers(cuts: str | Path) -> dict[str, str]:
    """Utterance id -> speaker, of cuts; of one that does not tell it is the utterance itself."""
    from kdasr.corpora import manifests

    return {cut.id: manifests.speaker_of(cut) for cut in manifests.load_cuts(cuts_at(cuts))}


def cuts_at(value: str | Path) -> Path:
    """A folder of cuts, or a file of them, which must exist."""
    path = Path(value)
    return path if path.is_file() else folder(path)


def fingerprint(value: str | Path, *verbs: str) -> str:
    """Content hash of an input folder, which must exist and be made by one of the verbs; cuts may be a lhotse file."""
    from kdasr import io

    return io.fingerprint(cuts_at(value) if "corpus" in verbs else folder(value), *verbs)


def folder(value: str | Path) -> Path:
    """An input folder that must exist."""
    path = Path(value)
    if not path.is_dir():
        raise Refusal("no such folder", where=path, do="run the stage that makes it, or correct the path")
    return path
