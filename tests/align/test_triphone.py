"""Passes with tied states on toy speech: the same in other processes, better frames, speakers fitted, refusals."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("k2")

from kdasr import io
from kdasr.align import fmllr, monophone
from kdasr.align.aligner import AlignOptions
from kdasr.align.forced import align_utterances
from kdasr.align.frontend import DELTAS, Projection
from kdasr.align.gmm import accumulate
from kdasr.align.model import GmmModel, gmm_frames
from kdasr.align.monophone import MonophoneOptions
from kdasr.align.triphone import TriphoneOptions, train
from kdasr.data.table import FrameTable, FrameTableWriter
from kdasr.lang.tying import TreeOptions
from kdasr.refusal import Refusal
from tests import toy
from tests.align.here import Here

LEXICON = toy.lexicon(3, 5)
TEXTS = toy.sentences(40)
SCALES = AlignOptions()
TREE = TreeOptions(leaves=28, minimum_occupancy=20)
OPTIONS = TriphoneOptions(iterations=6, realign=(3,), gaussians=60, grow_until=4, minimum_occupancy=3.0)
LDA = replace(OPTIONS, frontend="lda_mllt", context=1, dim=6, mllt=(2, 4))
SAT = replace(OPTIONS, frontend="previous", speaker_adaptive=True, fmllr=(2, 4))


@pytest.fixture(scope="module", autouse=True)
def parts_here():
    """Parts live in this process, unless a test asks for others."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("kdasr.jobs.Workers", Here)
        yield patch


@pytest.fixture(scope="module")
def speech(tmp_path_factory) -> tuple[FrameTable, dict[str, list[str]]]:
    """Toy speech; what one speaker says is turned in space, which no mean and variance undo."""
    folder, truth = toy.write_speech(tmp_path_factory.mktemp("speech") / "mfcc", TEXTS, spread=0.8)
    table = FrameTable(folder)
    frames = np.array(table.rows(np.arange(len(table))))
    turn = np.linalg.qr(np.eye(4) + 0.6 * np.random.default_rng(5).normal(size=(4, 4)))[0]
    for utterance in table.utterances:
        if utterance.speaker == "b":
            frames[utterance.rows] = frames[utterance.rows] @ turn.astype(np.float32)
    np.save(folder / "frames-000.npy", frames)
    return FrameTable(folder), truth


def written(folder: Path, model: GmmModel, table: FrameTable, paths: dict[str, np.ndarray]) -> FrameTable:
    io.begin(folder, io.Made("align", {}))
    writer = FrameTableWriter(folder)
    for id, path in paths.items():
        writer.add(id, id[0], path)
    writer.close()
    io.finish(folder, topology=model.tree.fingerprint)
    return FrameTable(folder)


def aligned(folder: Path, model: GmmModel, table: FrameTable, transforms=None) -> FrameTable:
    frames = gmm_frames(table, frontend=model.frontend, transforms=transforms)
    paths = align_utterances(model, model.gmm, LEXICON, frames, list(TEXTS.values()), SCALES)
    assert all(path is not None for path in paths)
    return written(folder, model, table, dict(zip(TEXTS, paths, strict=True)))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def mono(speech, tmp_path_factory) -> tuple[GmmModel, FrameTable]:
    options = MonophoneOptions(iterations=6, realign=(1, 2, 3, 4), gaussians=30, grow_until=4, minimum_occupancy=3.0)
    model, _ = monophone.train(speech[0], TEXTS, LEXICON, options, SCALES)
    return model, aligned(tmp_path_factory.mktemp("mono") / "ali", model, speech[0])


@pytest.fixture(scope="module")
def lda(speech, mono, tmp_path_factory) -> tuple[GmmModel, FrameTable]:
    model, lost = train(speech[0], TEXTS, LEXICON, mono[0], mono[1], LDA, TREE, SCALES)
    assert lost == []
    return model, aligned(tmp_path_factory.mktemp("lda") / "ali", model, speech[0])


@pytest.fixture(scope="module")
def sat(speech, lda) -> GmmModel:
    return train(speech[0], TEXTS, LEXICON, lda[0], lda[1], SAT, TREE, SCALES)[0]


def tensors(model: GmmModel) -> dict[str, torch.Tensor]:
    found = model.gmm.tensors() | {"transitions": model.transition_log_probs}
    if isinstance(model.frontend, Projection):
        found["projection"] = model.frontend.matrix
    if model.first_pass is not None:
        found |= {f"first {name}": tensor for name, tensor in model.first_pass.tensors().items()}
    return found


@pytest.mark.parametrize("kind", ["lda", "sat"])
def test_training_in_other_processes_gives_the_same_model_bit_for_bit(speech, kind, request, parts_here):
    expected = request.getfixturevalue(kind)
    previous, options = ("mono", LDA) if kind == "lda" else ("lda", SAT)
    model = expected[0] if kind == "lda" else expected
    with pytest.MonkeyPatch.context():
        parts_here.undo()
        before, alignment = request.getfixturevalue(previous)
        found, _ = train(speech[0], TEXTS, LEXICON, before, alignment, options, TREE, SCALES, num_jobs=2)
        parts_here.setattr("kdasr.jobs.Workers", Here)
    assert found.tree == model.tree and set(tensors(found)) == set(tensors(model))
    assert all(torch.equal(tensor, tensors(model)[name]) for name, tensor in tensors(found).items())


def right(model: GmmModel, alignment: FrameTable, truth: dict[str, list[str]]) -> float:
    """Share of the frames that are aligned to the phone that was spoken."""
    hits = [
        model.topology.phones[phone - 1] == name
        for utterance, path in alignment
        for phone, name in zip(model.table.phone[path], truth[utterance.id], strict=True)
    ]
    return sum(hits) / len(hits)


def test_differences_and_tied_states_keep_the_phones_where_they_are(speech, mono, tmp_path):
    table, truth = speech
    model, lost = train(table, TEXTS, LEXICON, mono[0], mono[1], OPTIONS, TREE, SCALES)
    assert lost == [] and model.frontend is DELTAS and model.first_pass is None
    assert model.tree.width == 3 and 15 < model.tree.num_pdfs <= 28 == TREE.leaves
    assert model.gmm.num_pdfs == model.tree.num_pdfs and model.gmm.mean.shape[1] == 12
    alignment = aligned(tmp_path / "ali", model, table)
    assert right(model, alignment, truth) > max(0.85, right(mono[0], mono[1], truth) - 0.02)


def test_lda_and_mllt_give_a_projection_under_which_frames_are_likelier(speech, mono, lda, capsys):
    """At one alignment and with the volume counted, MLLT gains what it says, and no later round loses."""
    model, alignment = lda
    assert isinstance(model.frontend, Projection) and model.frontend.matrix.shape == (6, 12)
    assert right(model, alignment, speech[1]) > 0.85
    capsys.readouterr()
    fixed = replace(LDA, realign=())
    both = [
        train(speech[0], TEXTS, LEXICON, mono[0], mono[1], each, TREE, SCALES)[0]
        for each in (fixed, replace(fixed, mllt=()))
    ]
    told = capsys.readouterr().err
    gains = [float(gain) for gain in re.findall(r"round [24]: MLLT gains (\S+) per frame", told)]
    assert len(gains) == 2 and gains[0] > gains[1] > 0 and "LDA: 12 numbers to 6, 25 classes" in told
    last = [float(each) for each in re.findall(r"round 6: log-likelihood (\S+) per frame", told)]
    volumes = []
    for each in both:
        assert isinstance(each.frontend, Projection)
        gram = each.frontend.matrix.double() @ each.frontend.matrix.double().T
        volumes.append(0.5 * float(torch.linalg.slogdet(gram).logabsdet))
    assert last[0] + volumes[0] > last[1] + volumes[1] + 0.05


def test_the_projection_before_is_kept_for_speakers_and_the_tree_is_new(lda, sat):
    model = lda[0]
    assert isinstance(sat.frontend, Projection) and isinstance(model.frontend, Projection)
    assert torch.equal(sat.frontend.matrix, model.frontend.matrix) and sat.frontend.context == 1
    assert sat.tree != model.tree and sat.first_pass is not None and torch.equal(sat.first_pass.pdf, sat.gmm.pdf)


def test_speakers_are_fitted_to_the_mixtures(speech, mono, tmp_path):
    """With their transforms frames of speech are likelier, the determinants counted, than without."""
    table, single = speech[0], replace(SAT, gaussians=28)  # one a pdf cannot stand for a speaker each
    model, _ = train(table, TEXTS, LEXICON, mono[0], mono[1], single, TREE, SCALES)
    assert model.first_pass is not None
    frames, speakers = gmm_frames(table), [utterance.speaker for utterance in table.utterances]
    paths = align_utterances(model, model.first_pass, LEXICON, frames, list(TEXTS.values()), SCALES)
    transforms = fmllr.transforms(model.speaker_statistics(frames, paths, speakers))
    for speaker, transform in transforms.items():
        before, after, count = 0.0, 0.0, 0
        for path, x, name in zip(paths, frames, speakers, strict=True):
            if name == speaker and path is not None:
                spoken = torch.from_numpy(model.table.phone[path] > 2)  # what transforms are estimated of
                pdfs, x = torch.from_numpy(model.table.pdf[path])[spoken], x[spoken]
                before += accumulate(model.first_pass, x, pdfs).log_likelihood
                after += accumulate(model.gmm, fmllr.apply(transform, x), pdfs).log_likelihood
                after += len(x) * float(torch.linalg.slogdet(transform[:, :-1]).logabsdet)
                count += len(x)
        assert after > before + count > before
    assert right(model, aligned(tmp_path / "ali", model, table, transforms), speech[1]) > 0.9


def test_a_speaker_adaptive_model_may_come_before_another(speech, sat, tmp_path):
    """The speakers' first transforms are then those that its first pass gives."""
    alignment = aligned(tmp_path / "ali", sat, speech[0], {speaker: torch.eye(6, 7) for speaker in "ab"})
    model, lost = train(speech[0], TEXTS, LEXICON, sat, alignment, replace(SAT, fmllr=()), TREE, SCALES)
    assert lost == [] and model.first_pass is not None


def test_an_utterance_that_the_alignment_lacks_is_found_by_realignment(speech, mono, tmp_path, capsys):
    model, alignment = mono
    fewer = {id: np.array(alignment.frames(id)) for id in TEXTS if id not in ("a00", "b01")}
    table = written(tmp_path / "ali", model, speech[0], fewer)
    _, lost = train(speech[0], TEXTS, LEXICON, model, table, OPTIONS, TREE, SCALES)
    told = capsys.readouterr().err
    assert lost == [] and "round 2" in told
    counts = re.findall(r"round (\d): .* (\d+) utterances not aligned", told)
    assert dict(counts) == {"1": "2", "2": "2", "3": "0", "4": "0", "5": "0", "6": "0"}


def test_who_is_never_aligned_is_named(speech, mono, tmp_path, capsys):
    model, alignment = mono
    fewer = {id: np.array(alignment.frames(id)) for id in TEXTS if id != "a00"}
    table = written(tmp_path / "ali", model, speech[0], fewer)
    _, lost = train(speech[0], TEXTS, LEXICON, model, table, replace(OPTIONS, realign=()), TREE, SCALES)
    assert lost == ["a00"] and "a00 (no path found)" in capsys.readouterr().err


def test_an_alignment_of_other_utterances_is_refused(speech, mono, tmp_path):
    model, alignment = mono
    table = written(tmp_path / "ali", model, speech[0], {"z1": np.array(alignment.frames("a00"))})
    with pytest.raises(Refusal, match="ali: no utterance of the features is aligned here; name their own alignment"):
        train(speech[0], TEXTS, LEXICON, model, table, OPTIONS, TREE, SCALES)


def test_an_alignment_of_other_frames_is_refused(speech, mono, tmp_path):
    model, alignment = mono
    paths = {id: np.array(alignment.frames(id)) for id in TEXTS}
    paths["a00"] = paths["a00"][:-1]
    frames = len(paths["a00"])
    table = written(tmp_path / "ali", model, speech[0], paths)
    told = f"number of frames of a00 does not match .expected {frames + 1}, found {frames}.; align these features"
    with pytest.raises(Refusal, match=told):
        train(speech[0], TEXTS, LEXICON, model, table, OPTIONS, TREE, SCALES)


@pytest.mark.parametrize(
    "options, told",
    [
        ({"frontend": "delta"}, "frontend must be one of deltas, lda_mllt, previous, found 'delta'"),
        ({"frontend": "lda_mllt", "speaker_adaptive": True}, "speaker_adaptive wants a front-end that is there"),
        ({"context": -1}, "context must be at least 0, dim at least 1"),
        ({"dim": 0}, "context must be at least 0, dim at least 1"),
        ({"iterations": 0}, "iterations and gaussians must be at least 1"),
    ],
)
def test_options_out_of_range(options, told):
    with pytest.raises(ValueError, match=told):
        TriphoneOptions(**options)
