"""Subsets: covariance in one pass, its sketch, clusters of classes that are confused, refusals."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from kdasr import io, models
from kdasr.refusal import Refusal
from kdasr.report.confusion import draw_confusion
from kdasr.specialists.confusion import Confusion, SubsetOptions, cluster
from kdasr.specialists.subsets import SubsetsJob, listing, make_subsets, ordered, read_subsets
from tests.specialists.conftest import source

PAPER = SubsetOptions(correlation=False, cosine=False)


def blocks(rows: int, classes: int = 12, size: int = 3, seed: int = 0) -> Tensor:
    """Predictions that confuse the classes of a block with each other, the blocks interleaved: class c is of c % 4."""
    generator = torch.Generator().manual_seed(seed)
    block = torch.randint(classes // size, (rows,), generator=generator)
    z = torch.randn(rows, classes, generator=generator)
    z += 4 * (torch.arange(classes) % (classes // size) == block[:, None])
    return z.softmax(1)


def matrix(p: Tensor, options: SubsetOptions, batch: int = 64) -> Tensor:
    confusion = Confusion(p.shape[1], options)
    for some in p.split(batch):
        confusion.add(some)
    return confusion.columns()


def test_the_streamed_covariance_and_correlation_are_numpys():
    p = blocks(500)
    expected = torch.from_numpy(np.cov(p.double().numpy().T, bias=True))
    torch.testing.assert_close(matrix(p, PAPER), expected, atol=1e-12, rtol=1e-9)
    expected = torch.from_numpy(np.corrcoef(p.double().numpy().T))
    torch.testing.assert_close(matrix(p, SubsetOptions(cosine=False)), expected, atol=1e-9, rtol=1e-9)
    expected = F.normalize(expected.fill_diagonal_(0), dim=1)
    torch.testing.assert_close(matrix(p, SubsetOptions()), expected, atol=1e-9, rtol=1e-9)


def test_classes_of_any_frequency_go_where_they_are_confused():
    """Of each block one class in three is a hundred times rarer; covariances of the rare lie near zero, all alike."""
    p = blocks(4000)
    p[:, :4] /= 100
    p /= p.sum(1, keepdim=True)
    parts = {frozenset(range(block, 12, 4)) for block in range(4)}
    found = [
        cluster(matrix(p, options), options).subsets
        for options in (SubsetOptions(4, 3), replace(PAPER, number=4, size=3))
    ]
    assert {frozenset(some) for some in found[0]} == parts != {frozenset(some) for some in found[1]}


def test_a_sketch_keeps_the_distances_between_columns_and_the_clusters():
    """256 numbers a column: distances right to a fifth at worst, 6 % as a rule."""
    p = torch.cat([blocks(800, 60, 6), blocks(800, 60, 6, seed=1)])
    exact, sketch = (matrix(p, replace(PAPER, limit=limit, sketch=256)) for limit in (60, 59))
    assert sketch.shape == (60, 256)
    off = ~torch.eye(60, dtype=torch.bool)
    ratio = (torch.cdist(sketch, sketch) / torch.cdist(exact, exact))[off]
    assert float((ratio - 1).abs().max()) < 0.2 and float((ratio - 1).square().mean().sqrt()) < 0.08
    options = SubsetOptions(number=10, partition=True, starts=10)
    found = [{frozenset(some) for some in cluster(columns, options).subsets} for columns in (exact, sketch)]
    assert found[0] == found[1] == {frozenset(range(block, 60, 10)) for block in range(10)}


def test_subsets_are_the_nearest_columns_and_overlap_where_they_are_larger_than_clusters():
    columns = matrix(blocks(2000), SubsetOptions())
    parts = {frozenset(range(block, 12, 4)) for block in range(4)}
    for options in (SubsetOptions(4, 3), SubsetOptions(4, partition=True)):
        found = cluster(columns, options)
        assert {frozenset(some) for some in found.subsets} == parts
        assert found == cluster(columns, options)
        assert {frozenset(found.order[begin : begin + 3]) for begin in range(0, 12, 3)} == parts
    larger = cluster(columns, SubsetOptions(4, 5)).subsets
    assert [len(set(some)) for some in larger] == [5] * 4 and sum(map(len, larger)) > len(set(sum(larger, ())))
    assert all(frozenset(some[:3]) in parts for some in larger)


@pytest.mark.parametrize(
    "options, line",
    [
        (SubsetOptions(13, 3), r"more clusters than classes \(expected at most 12, found 13\)"),
        (SubsetOptions(4, 12), r"subsets of all classes \(expected fewer than 12 classes, found 12\)"),
        (SubsetOptions(1, partition=True), "cluster 0: a subset of all classes"),
    ],
)
def test_subsets_that_cannot_be_are_refused(options, line):
    with pytest.raises(Refusal, match=line):
        cluster(matrix(blocks(300), SubsetOptions()), options)


def test_a_cluster_that_stays_empty_is_refused():
    columns = torch.zeros(5, 5, dtype=torch.float64)
    columns[4] = 1  # two kinds of columns, three clusters
    with pytest.raises(Refusal, match=r"cluster \d: a subset without a class"):
        cluster(columns, SubsetOptions(3, partition=True))


def test_predictions_that_are_not_numbers_are_refused():
    p = blocks(10)
    p[3, 2] = torch.nan
    with pytest.raises(Refusal, match=r"predictions that are not numbers \(expected finite ones, found 1 of 10\)"):
        matrix(p, SubsetOptions())


def test_a_correlation_of_too_many_classes_is_refused():
    with pytest.raises(Refusal, match=r"a correlation wants the whole matrix \(expected at most 11 classes, found 12"):
        matrix(blocks(10), SubsetOptions(correlation=True, limit=11))


def test_options_that_are_none_are_refused():
    with pytest.raises(ValueError, match="number, size, limit, sketch, batch and starts are at least 1"):
        SubsetOptions(size=0)
    with pytest.raises(ValueError, match="fraction lies in"):
        SubsetOptions(fraction=0.0)
    with pytest.raises(ValueError, match="temperature is above 0"):
        SubsetOptions(temperature=0.0)


@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_a_folder_of_subsets_is_read_listed_and_drawn(data, tmp_path, temperature):
    options = SubsetOptions(3, 4, temperature=temperature)
    job = SubsetsJob(tmp_path / "subsets", source(data), data / "generalist", options)
    info = make_subsets(job)
    subsets = read_subsets(job.folder, data / "generalist")
    assert [len(set(some)) for some in subsets] == [4, 4, 4] == info["sizes"]
    assert info["covered"] == len(set(sum(subsets, ()))) and info["subsets_per_class"] == 1.5
    lines = listing(job.folder, 2).splitlines()
    assert lines[1] == f"0 (4): {subsets[0][0]} {subsets[0][1]} and 2 more" and len(lines) == 4
    found, names = ordered(job.folder)
    order = [int(name) for name in names]
    with torch.no_grad():
        x = source(data).open().batch(torch.arange(len(source(data).open())))[0]
        p = models.load(data / "generalist" / "model.safetensors")(x).div(temperature).softmax(1)
    np.testing.assert_allclose(found, np.corrcoef(p.double().numpy()[:, order].T), atol=1e-4)
    assert draw_confusion(tmp_path / "x.png", found, names) and (tmp_path / "x.png").stat().st_size > 1000
    assert make_subsets(job) == info


def test_subsets_of_another_generalist_and_sketches_to_draw_are_refused(data, tmp_path):
    options = SubsetOptions(2, 3, limit=7, correlation=False)
    job = SubsetsJob(tmp_path / "subsets", source(data), data / "generalist", options)
    make_subsets(job)
    with pytest.raises(Refusal, match="no matrix to draw, a sketch alone"):
        ordered(job.folder)
    info = io.read_info(job.folder)
    io.write_json(job.folder / "info.json", {**info, "inputs": {**info["inputs"], "generalist": "0" * 16}})
    with pytest.raises(Refusal, match="the subsets' generalist does not match"):
        read_subsets(job.folder, data / "generalist")
    with pytest.raises(Refusal, match="made with another options.subsets.number"):
        make_subsets(replace(job, subsets=replace(options, number=3)))
