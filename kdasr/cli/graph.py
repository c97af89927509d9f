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
@click.option("--model", required=True, metavar="DIR", help="GMM whose transition probabilities the graph takes.")
def command(out: Path, lang: str, lm: str, model: str, settings: options.Settings, overwrite: bool) -> None:
    """Write the decoding graph, pdfs as labels and words as output, into OUT; section `graph` of the settings."""
    from kdasr import fsa, io, log
    from kdasr.align.model import VERBS, expect_topology, read_model, scaled_transitions
    from kdasr.lang.decoding import decoding_graph
    from kdasr.lang.language import read_language
    from kdasr.lang.lm import ARPA

    graph = settings.section("graph")
    inputs = {
        "lang": options.fingerprint(lang, "lang"),
        "lm": options.fingerprint(lm, "lm"),
        "model": options.fingerprint(model, *VERBS),
    }
    language = read_language(lang)
    expect_topology(model, language.topology.fingerprint)
    if not io.begin(out, io.Made("graph", graph, inputs), overwrite):
        return
    hmm = read_model(model)
    scores = scaled_transitions(hmm.table, hmm.transition_log_probs, graph.transition_scale, graph.self_loop_scale)
    built = decoding_graph(language.lexicon, Path(lm) / ARPA, hmm.tree, graph).with_transitions(scores.numpy())
    fsa.write_graph(out / fsa.GRAPH, built)
    io.finish(
        out,
        num_states=built.num_states,
        num_arcs=len(built),
        topology=hmm.topology.fingerprint,
        labelling=hmm.tree.fingerprint,
    )
    log.event(f"{out}: {built.num_states} states, {len(built)} arcs")
