"""All that transcribing needs, in one folder: nets with priors, lexicon, HMMs, decoding graph, search options."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from kdasr import fsa, io
from kdasr.align.aligner import AlignOptions
from kdasr.align.model import GmmModel, scaled_transitions
from kdasr.decode.paths import Weights
from kdasr.decode.search import DecodeOptions
from kdasr.distill.ensemble import Ensemble
from kdasr.distill.onnx import OnnxNets, nets
from kdasr.fsa import Graph
from kdasr.lang.language import read_language
from kdasr.lang.lexicon import Lexicon
from kdasr.lang.tree import Tree, read_tree
from kdasr.refusal import Refusal

VERB = "bundle"
MODELS, LANG, GRAPH = "models", "lang", "graph"
HMM, TREE = "hmm.safetensors", "tree.json"
DAMAGED = "copy the folder again, or make it again by kdasr bundle"


@dataclass(frozen=True)
class Bundle:
    """What a folder of `kdasr bundle` holds.

    Attributes:
        ensemble: the nets, of one or more members.
        lexicon: words and their pronunciations.
        tree: phones, their states and pdfs.
        transition_scores: of each transition id, scaled for an alignment, (num_transitions,) float32.
        graph: for decoding.
        decode: options of the search; its weights are the one pair that transcripts are read at.
    """

    ensemble: Ensemble | OnnxNets
    lexicon: Lexicon
    tree: Tree
    transition_scores: torch.Tensor
    graph: Graph
    decode: DecodeOptions


def write_bundle(
    out: Path,
    models: Sequence[Path],
    lang: Path,
    graph: Path,
    gmm: GmmModel,
    decode: DecodeOptions,
    weights: Weights,
    mean: str,
) -> None:
    """Copies and writes what `read_bundle` reads, into a folder that has begun, and finishes it.

    Args:
        out: the output.
        models: folders of the nets; several predict together.
        lang: folder of the language.
        graph: folder of the graph.
        gmm: whose transition probabilities the graph took.
        decode: options of the search.
        weights: language-model weight and penalty.
        mean: of the nets' posteriors.
    """
    for number, folder in enumerate(models):
        io.copy_results(folder, out / MODELS / str(number))
    io.copy_results(lang, out / LANG)
    io.copy_results(graph, out / GRAPH)
    align = AlignOptions()
    scores = scaled_transitions(gmm.table, gmm.transition_log_probs, align.transition_scale, align.self_loop_scale)
    io.save_tensors(out / HMM, {"transition_scores": scores})
    gmm.tree.write(out / TREE)
    chosen = replace(decode, lm_weights=(weights[0],), penalties=(weights[1],))
    io.finish(out, decode=chosen, mean=mean, labelling=gmm.tree.fingerprint)


def read_bundle(folder: str | Path) -> Bundle:
    """Reads a folder of `kdasr bundle`.

    Raises:
        Refusal: it is no such folder, or not as it was made: content, versions of its options.
    """
    folder = Path(folder)
    info = io.read_info(folder, VERB)
    io.expect_same("content of the model folder", info["fingerprint"], io.folder_hash(folder), folder, DAMAGED)
    try:
        decode, mean = DecodeOptions(**_tuples(info["decode"])), info["mean"]
    except (KeyError, TypeError, ValueError) as error:
        do = "take the version of kdasr that made it, or make it again"
        raise Refusal("options of another version", where=folder, found=repr(error), do=do) from None
    members = sorted((folder / MODELS).iterdir(), key=lambda path: int(path.name))
    language, (tensors, _) = read_language(folder / LANG), io.load_tensors(folder / HMM)
    return Bundle(
        nets(members, mean),
        language.lexicon,
        read_tree(folder / TREE, language.topology),
        tensors["transition_scores"],
        fsa.read_graph(folder / GRAPH / fsa.GRAPH),
        decode,
    )


def _tuples(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Options as JSON keeps them, whose tuples became lists."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in settings.items()}
