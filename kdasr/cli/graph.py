"""`kdasr graph OUT`: the decoding graph of lexicon, n-gram and HMMs."""

from __future__ import annotations

from pathlib import Path

import click

from kdasr.cli import options


@click.command()
@options.settings
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--lang", required=True, metavar="DIR", help="Made by `kdasr lang`.")
@click.option("--lm", required=True, metavar="DIR", help="Made by `kdasr lm`.")
@click.option(
    "--model", required=True, metavar="DIR", help="GMM whose transition probabilities the graph takes."
)
def command(out: Path, lang: str, lm: str, model: str, settings: options.Settings, overwrite: bool) -> None:
    """Write the decoding graph, pdfs as labels and words as output, into OUT; section `graph` of the settings."""
    from kdasr import fsa, io, log
    from kdasr.align.model import read_model, scaled_transitions
    from kdasr.lang.decoding import decoding_graph
    from kdasr.lang.language import read_language
    from kdasr.lang.lm import ARPA

    graph = settings.section("graph")
    inputs = {
        name: io.fingerprint(options.folder(path))
        for name, path in (("lang", lang), ("lm", lm), ("model", model))
    }
    if not io.begin(out, io.Made("graph", graph, inputs), overwrite):
        return
    language, hmm = read_language(lang), read_model(model)
    topology = hmm.topology.fingerprint
    io.expect_same(
        "topology of language and model",
        language.topology.fingerprint,
        topology,
        model,
        "name the lang folder it was trained with",
    )
    scores = scaled_transitions(
        hmm.table, hmm.transition_log_probs, graph.transition_scale, graph.self_loop_scale
    )
    built = decoding_graph(
        language.lexicon, Path(lm) / ARPA, hmm.topology, hmm.table, graph
    ).with_transitions(scores.numpy())
    fsa.write_graph(out / fsa.GRAPH, built)
    io.finish(out, num_states=built.num_states, num_arcs=len(built), topology=topology)
    log.event(f"{out}: {built.num_states} states, {len(built)} arcs")
