"""The first of two decodings: best paths against plain dynamic programming, transforms against their own definition."""

from __future__ import annotations

import numpy as np
import pytest
import torch

pytest.importorskip("k2")
pytest.importorskip("kaldifst")
pytest.importorskip("kaldilm")

from kdasr import io
from kdasr.align import fmllr
from kdasr.align.gmm import Gmm
from kdasr.align.model import GmmModel, gmm_frames
from kdasr.data.table import FrameTable
from kdasr.decode.first_pass import best_paths, speaker_transforms
from kdasr.decode.scorers import gmm_scorer
from kdasr.decode.search import DecodeOptions, Searcher
from kdasr.fsa import Graph
from kdasr.lang.decoding import GraphOptions, decoding_graph
from kdasr.lang.topology import make_topology
from kdasr.lang.tree import Tree
from tests import toy
from tests.tables import write_features

LEXICON = toy.lexicon(2, 3)
TREE = Tree.monophone(make_topology(LEXICON))
WIDE = DecodeOptions(search_beam=1e4, output_beam=1e3, max_active=10**6)
LOG_PROBS = torch.from_numpy(np.log(TREE.table.probability)).float()
DIM = 6  # of two cepstra with their differences


@pytest.fixture(scope="module")
def graph(tmp_path_factory) -> Graph:
    arpa = toy.write_arpa(tmp_path_factory.mktemp("graph") / "lm.arpa")
    return decoding_graph(LEXICON, arpa, TREE, GraphOptions()).with_transitions(LOG_PROBS.numpy())


@pytest.fixture(scope="module")
def searcher(graph) -> Searcher:
    return Searcher(graph, len(LEXICON.words), WIDE)


@pytest.fixture(scope="module")
def model() -> GmmModel:
    """Speaker-adaptive; its passes differ."""
    generator = torch.Generator().manual_seed(0)
    pdf = torch.arange(2 * TREE.num_pdfs) // 2
    first, second = (
        Gmm(
            pdf,
            torch.full((len(pdf),), 0.5),
            torch.randn(len(pdf), DIM, generator=generator),
            torch.ones(len(pdf), DIM),
        )
        for _ in range(2)
    )
    return GmmModel(second, LOG_PROBS, TREE, first_pass=first)


@pytest.fixture(scope="module")
def table(tmp_path_factory) -> FrameTable:
    rng = np.random.default_rng(0)
    said = {
        id: rng.normal(size=(length, 2)).astype(np.float32) for id, length in (("a1", 400), ("a2", 380), ("b1", 40))
    }
    return FrameTable(write_features(tmp_path_factory.mktemp("first") / "mfcc", said))


def test_paths_are_the_plain_viterbi_s(graph, searcher):
    frames = [toy.random_frames(length, TREE.num_pdfs, length, 15) for length in (21, 30, 1, 12)]
    paths, seconds = best_paths(searcher, [len(matrix) for matrix in frames], lambda number: frames[number])
    assert seconds > 0 and paths[2] is None  # one frame holds no word
    for path, matrix in zip(paths, frames, strict=True):
        if path is not None:
            assert len(path) == len(matrix)
            best, _ = toy.viterbi(graph, 0.1 * matrix)
            assert toy.viterbi(graph, 0.1 * matrix, path.tolist())[0] == pytest.approx(best, abs=1e-3)


def test_transforms_fit_the_second_pass_along_the_paths_of_the_first(searcher, model, table, monkeypatch):
    monkeypatch.setattr(fmllr, "MINIMUM_FRAMES", 100)
    frames, speakers = gmm_frames(table), ["a", "a", "b"]
    found, _ = speaker_transforms(model, searcher, frames, speakers)
    paths, _ = best_paths(searcher, [400, 380, 40], lambda n: model.first_pass.log_likelihoods(frames[n]))
    expected = fmllr.transforms(model.speaker_statistics(frames, paths, speakers))
    assert torch.equal(found["a"], expected["a"]) and torch.equal(found["b"], torch.eye(DIM, DIM + 1))
    other = GmmModel(model.gmm, LOG_PROBS, TREE, first_pass=model.gmm)
    assert not torch.allclose(found["a"], speaker_transforms(other, searcher, frames, speakers)[0]["a"], atol=1e-3)


def test_the_scorer_of_a_speaker_adaptive_model_sees_transformed_frames(searcher, model, table, tmp_path, monkeypatch):
    monkeypatch.setattr(fmllr, "MINIMUM_FRAMES", 100)
    io.begin(tmp_path / "sat", io.Made("tri", {}))
    model.write(tmp_path / "sat")
    io.finish(tmp_path / "sat")
    scorer, seconds = gmm_scorer(tmp_path / "sat", table, searcher)
    transforms, _ = speaker_transforms(model, searcher, gmm_frames(table), ["a", "a", "b"])
    for number, (matrix, speaker) in enumerate(zip(gmm_frames(table), "aab", strict=True)):
        seen = matrix @ transforms[speaker][:, :-1].T + transforms[speaker][:, -1]
        assert torch.allclose(scorer(number), model.gmm.log_likelihoods(seen), rtol=1e-4, atol=1e-3)
    assert seconds["first_pass"] > 0


def test_the_scorer_of_another_model_makes_no_first_pass(searcher, model, table, tmp_path):
    io.begin(tmp_path / "tri", io.Made("tri", {}))
    GmmModel(model.gmm, LOG_PROBS, TREE).write(tmp_path / "tri")
    io.finish(tmp_path / "tri")
    scorer, seconds = gmm_scorer(tmp_path / "tri", table, searcher)
    assert seconds == {} and torch.equal(scorer(1), model.gmm.log_likelihoods(gmm_frames(table)[1]))
