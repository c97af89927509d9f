"""Time and memory of a large decoding graph: `python benchmarks/graph.py --lexicon FILE --arpa FILE --tree FILE`.

Builds the graph of lexicon, n-gram and tied triphones (a tree that `Tree.write` wrote), then searches ten seconds of
random log-likelihoods, which no beam prunes: the most that a search can take at its limit of active states. Memory is
the largest of the whole process so far.
"""

from __future__ import annotations

import os
import resource
import time
from pathlib import Path

import click
import torch
from speech import Row

from kdasr.decode.search import DecodeOptions, Searcher
from kdasr.fsa import Graph
from kdasr.lang.decoding import GraphOptions, decoding_graph
from kdasr.lang.lexicon import Lexicon, read_lexicon
from kdasr.lang.topology import make_topology
from kdasr.lang.tree import Tree, read_tree
from kdasr.report.tables import table

SECONDS = 10


def peak() -> float:
    """Largest resident memory of this process so far, GiB (Linux tells it in KiB)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def building(lexicon: Lexicon, arpa: Path, tree: Tree) -> tuple[Graph, list[Row]]:
    """The graph, and what it took; processor time is told beside the wall's, since others share the machine."""
    wall, processor = time.perf_counter(), time.process_time()
    graph = decoding_graph(lexicon, arpa, tree, GraphOptions())
    wall, processor = time.perf_counter() - wall, time.process_time() - processor
    size = f"{graph.num_states} states, {len(graph)} arcs"
    return graph, [
        Row("decoding graph, s", wall, bar=180, note=f"{processor:.0f} s of a processor"),
        Row("its memory, GiB", peak(), bar=8, note=size),
    ]


def searching(graph: Graph, num_words: int, tree: Tree, search_beam: float, output_beam: float) -> list[Row]:
    """A search that is pruned by the number of active states alone."""
    frames = torch.randn(100 * SECONDS, tree.num_pdfs, generator=torch.Generator().manual_seed(0))
    options = DecodeOptions(search_beam=search_beam, output_beam=output_beam)
    searcher = Searcher(graph, num_words, options)
    begin = time.perf_counter()
    lattices = searcher.lattices([frames])
    seconds = time.perf_counter() - begin
    return [
        Row("search of random frames, x real time", seconds / SECONDS, note=f"{options.max_active} states", digits=3),
        Row("memory after it, GiB", peak(), bar=10, note=f"{lattices.num_arcs} arcs of the lattice"),
    ]


@click.command(help=__doc__)
@click.option("--lexicon", required=True, type=click.Path(path_type=Path, exists=True))
@click.option("--arpa", required=True, type=click.Path(path_type=Path, exists=True))
@click.option("--tree", required=True, type=click.Path(path_type=Path, exists=True))
@click.option("--search-beam", default=13.0, show_default=True)
@click.option("--output-beam", default=6.0, show_default=True)
def main(lexicon: Path, arpa: Path, tree: Path, search_beam: float, output_beam: float) -> None:
    """Prints the table."""
    torch.set_num_threads(1)
    load = os.getloadavg()[0]
    words = read_lexicon(lexicon)
    tied = read_tree(tree, make_topology(words))
    graph, rows = building(words, arpa, tied)
    rows += searching(graph, len(words.words), tied, search_beam, output_beam)
    click.echo(f"\n{len(words.words)} words, {tied.num_pdfs} pdfs; one thread; load before: {load:.1f}\n")
    click.echo(table(("what", "here", "Kaldi", "bar", "met", "note"), [row.cells() for row in rows]), nl=False)


if __name__ == "__main__":
    main()
