"""The command `kdasr`: one verb, one module `kdasr/cli/<verb>.py`, imported only when it is called."""

from __future__ import annotations

import errno
import importlib
import sys

import click

from kdasr.cli import repeat
from kdasr.refusal import Refusal, unknown_name

VERBS = {  # verb: one line of help (kept here so that --help imports nothing)
    "doctor": "Show whether this machine and environment can run the recipes.",
    "settings": "Show what can be set: names, defaults and meanings, by section.",
    "corpus": "Fetch and validate a corpus; write lhotse cuts, or images.",
    "perturb": "Copy cuts at other speeds: more to train on, or to be taught.",
    "features": "Compute filterbanks or MFCC into memory-mapped frame shards.",
    "noise": "Copy features with Gaussian noise: a transfer set.",
    "kaldi-features": "Take features out of Kaldi's archives.",
    "lexicon": "Take the pronunciations of the words wanted from CMUdict; guess those it lacks.",
    "lang": "Read a lexicon; write phones, words and HMM topology.",
    "lm": "Train an n-gram on transcripts or a text, or take an ARPA file.",
    "mono": "Train monophone GMMs from a flat start.",
    "tri": "Train GMMs of tied triphone states from an alignment.",
    "align": "Align cuts with a trained GMM: one transition id for each frame.",
    "kaldi-ali": "Take an alignment of pdfs out of Kaldi's archives.",
    "tree": "Show how a model ties the states of phones in context.",
    "graph": "Build a decoding graph from lexicon, n-gram and topology.",
    "train": "Train DNNs on hard labels, one for each seed.",
    "soft-targets": "Write an ensemble's soft targets for each frame or image.",
    "inspect": "Show what stored soft targets hold: size, kept mass, divergence from the teachers.",
    "attach": "Attach stored soft targets to lhotse cuts, for training loops of others.",
    "distill": "Train students on soft targets, one for each seed.",
    "bias": "Correct a student's biases of classes that its transfer set left out.",
    "subsets": "Find subsets of the classes that a generalist confuses.",
    "subsets-show": "List subsets by name; draw what is confused.",
    "specialists": "Train a specialist for each subset, from the generalist's weights.",
    "joint": "Put a generalist and its specialists together: one model that predicts jointly.",
    "gain": "What specialists add to their generalist, by how many know the right class.",
    "study": "Compare baselines, ensembles and students over settings and seeds: cells of one YAML.",
    "accuracy": "Frame accuracy and cross-entropy of a model or an ensemble.",
    "decode": "Search with k2; write hypotheses for every weight and penalty.",
    "rescore": "Read kept lattices at other weights, without a search.",
    "score": "Choose weight and penalty on a development set; report WER.",
    "posteriors": "Write log posteriors, log-likelihoods or soft targets as a Kaldi archive.",
    "export": "Write nets as one ONNX file, of float32 or int8 weights.",
    "bundle": "Put net, lexicon, HMMs and graph together: one folder that transcribes.",
    "transcribe": "Write what is said in recordings: text, JSON, CTM or captions.",
    "report": "Tables of results from the folders of a recipe.",
}


class Verbs(click.Group):
    """Loads a verb's module at the first call of the verb."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The verbs in the order of a recipe's stages."""
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The verb's click command, `command` of its module."""
        if cmd_name not in VERBS:
            raise unknown_name("verb", cmd_name, VERBS)
        module = importlib.import_module(f"kdasr.cli.{cmd_name.replace('-', '_')}")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of verbs, without importing them."""
        with formatter.section("Verbs"):
            formatter.write_dl(list(VERBS.items()))


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="kdasr")
@click.option(
    repeat.FLAG,
    "repeats",
    multiple=True,
    metavar="NAME=A,B",
    help="Call the verb for each value, in place of {NAME} in what follows; repeatable, before the verb.",
)
def cli(repeats: tuple[str, ...]) -> None:
    """Speech recognition by distillation, stage by stage. Exit status: 0 done, 1 refused, 2 wrong usage."""


def main(arguments: list[str] | None = None) -> None:
    """Runs the command line; every refusal is one line on stderr and exit status 1."""
    try:
        for call in repeat.calls(sys.argv[1:] if arguments is None else arguments):
            _call(call)
        return
    except Refusal as refusal:
        print(f"kdasr: {refusal}", file=sys.stderr)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EFBIG, errno.EACCES, errno.EDQUOT, errno.EROFS):
            raise
        print(
            f"kdasr: {error.filename or 'output'}: {error.strerror}; what was finished is kept, run again",
            file=sys.stderr,
        )
    sys.exit(1)


def _call(arguments: list[str]) -> None:
    """One verb; ends the process unless it succeeded."""
    try:
        cli.main(args=arguments, prog_name="kdasr")
    except SystemExit as end:
        if end.code:
            raise
