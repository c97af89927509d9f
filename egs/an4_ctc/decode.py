"""Decodes dev and test with one net, or with several as an ensemble; the language model's scale is chosen on dev."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import torch
from data import load_cuts, load_pieces, text
from graph import ctc_graph, piece_lexicon
from lhotse import CutSet
from options import DecodeOptions, Settings, run, settings
from torch import Tensor
from train import load_net, plain_batches

from kdasr import fsa, io
from kdasr.decode.score import ScoreOptions, count_errors, utterance_errors
from kdasr.distill.ensemble import combine

Texts = dict[str, str]  # utterance -> words
WER = "wer.json"


@torch.no_grad()
def posteriors(nets: list[Any], cuts: CutSet, mean: str) -> Iterator[tuple[list[str], Tensor, Tensor]]:
    """Ids, log posteriors (N, T, S) and lengths of batches, the longest first; of several nets the mean."""
    for batch in plain_batches(cuts):
        spoken = batch["supervisions"]
        found = [net(batch["inputs"], spoken["num_frames"]) for net in nets]
        logits, lengths = torch.stack([logits for logits, _ in found]), found[0][1]
        log_p = combine(logits.flatten(1, 2), 1.0, mean).view(logits.shape[1:])
        order = lengths.argsort(descending=True, stable=True)
        yield [spoken["cut"][row].id for row in order.tolist()], log_p[order], lengths[order]


def decode(
    nets: list[Any], cuts: CutSet, graph: Any, words: list[str], options: DecodeOptions, mean: str
) -> dict[float, Texts]:
    """The best words of every cut at each scale of the language model."""
    k2, found = fsa.k2(), {scale: Texts() for scale in options.lm_scales}
    for ids, log_p, lengths in posteriors(nets, cuts, mean):
        segments = torch.stack([torch.arange(len(ids)), torch.zeros(len(ids)), lengths], 1).int()
        beams = (options.search_beam, options.output_beam, options.min_active, options.max_active)
        lattices = k2.intersect_dense_pruned(graph, k2.DenseFsaVec(log_p.contiguous(), segments), *beams)
        acoustic = lattices.scores - lattices.lm_scores
        for scale, texts in found.items():
            lattices.scores = acoustic + scale * lattices.lm_scores
            paths = k2.get_aux_labels(k2.shortest_path(lattices, use_double_scores=True))
            texts.update({id: " ".join(words[word - 1] for word in path) for id, path in zip(ids, paths, strict=True)})
    return found


@click.command()
@settings
@click.option("--lexicon", type=Path, required=True, help="Its words, a line each, are those that can be recognised.")
@click.option("--lm", type=Path, required=True, help="Folder of `kdasr lm`.")
@click.option("--model", "models", type=Path, multiple=True, required=True, help="Several are an ensemble.")
@click.argument("out", type=Path)
def main(
    out: Path,
    data: Path,
    lexicon: Path,
    lm: Path,
    models: tuple[Path, ...],
    conf: str,
    changes: tuple[str, ...],
    overwrite: bool,
) -> None:
    """Write OUT/wer.json: errors and texts of dev and test at the scale that is best on dev."""
    chosen, inputs = Settings(conf, changes), {"data": data, "lexicon": lexicon, "lm": lm}
    options, mean = chosen.decode, chosen.distill.mean
    inputs |= {f"model_{number}": model for number, model in enumerate(models)}
    made = io.Made("ctc-decode", {"decode": options, "mean": mean}, {k: io.fingerprint(v) for k, v in inputs.items()})
    if not io.begin(out, made, overwrite):
        return
    words = sorted({line.split()[0] for line in io.read_text(lexicon).splitlines() if line.strip()})
    pieces = load_pieces(data)
    spelled = piece_lexicon(words, pieces)
    graph = ctc_graph(spelled, pieces, lm / "lm.arpa")
    graph.lm_scores = graph.scores.clone()
    nets = [load_net(model) for model in models]
    cuts = {name: load_cuts(data, name) for name in ("dev", "test")}
    found = {name: decode(nets, each, graph, spelled.words, options, mean) for name, each in cuts.items()}
    right = {name: {cut.id: text(cut) for cut in each} for name, each in cuts.items()}
    scale = min(options.lm_scales, key=lambda scale: count_errors(right["dev"], found["dev"][scale]).errors)
    record: dict[str, Any] = {"lm_scale": scale}
    for name, texts in ((name, found[name][scale]) for name in cuts):
        errors, (each, sizes) = count_errors(right[name], texts, ScoreOptions()), utterance_errors(right[name], texts)
        click.echo(f"{out}: {name} {errors}")
        record[name] = {"wer": errors.rate, "text": str(errors), "errors": each, "words": sizes, "texts": texts}
    io.write_json(out / WER, record)
    io.finish(out)


if __name__ == "__main__":
    run(main)
