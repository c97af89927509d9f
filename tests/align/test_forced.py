"""Alignments of a whole set on disk: an id for each frame, pdfs beside them, and who is left out."""

import itertools
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

pytest.importorskip("k2")

from kdasr import io
from kdasr.align import fmllr, forced
from kdasr.align.aligner import AlignOptions
from kdasr.align.gmm import Gmm
from kdasr.align.model import GmmModel, gmm_frames, read_model
from kdasr.data.table import FrameTable
from kdasr.lang.topology import make_topology
from kdasr.lang.tree import Tree
from kdasr.refusal import Refusal
from tests import toy

LEXICON = toy.lexicon(3, 5)
TREE = Tree.monophone(make_topology(LEXICON))
TOPOLOGY, TABLE = TREE.topology, TREE.table


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Toy speech, and the GMM that its true phones give."""
    folder = tmp_path_factory.mktemp("forced")
    mfcc, truth = toy.write_speech(folder / "mfcc", toy.sentences(10))
    table = FrameTable(mfcc)
    frames = torch.cat(gmm_frames(table))
    names = np.array([name for utterance in table.utterances for name in truth[utterance.id]])
    means = torch.zeros(TABLE.num_pdfs, 12)
    for number, phone in enumerate(TOPOLOGY.phones, start=1):
        own = frames[torch.from_numpy(names == phone)]
        means[torch.from_numpy(np.unique(TABLE.pdf[TABLE.phone == number]))] = own.mean(0) if len(own) else 9.0
    gmm = Gmm(torch.arange(TABLE.num_pdfs), torch.ones(TABLE.num_pdfs), means, torch.ones_like(means))
    io.begin(folder / "mono", io.Made("mono", {}))
    GmmModel(gmm, torch.from_numpy(np.log(TABLE.probability)).float(), TREE).write(folder / "mono")
    io.finish(folder / "mono", topology=TOPOLOGY.fingerprint)
    return folder


def align(folder, out, texts, lexicon=LEXICON, features="mfcc", num_jobs=1, **options):
    io.begin(out, io.Made("align", {}))
    table = FrameTable(folder / features)
    facts = forced.write_alignment(out, folder / "mono", table, texts, lexicon, AlignOptions(**options), num_jobs)
    return io.finish(out, **facts)


def test_every_frame_has_a_transition_and_its_pdf(folder, tmp_path):
    texts = toy.sentences(10)
    info = align(folder, tmp_path / "ali", texts)
    alignment, features = FrameTable(tmp_path / "ali"), FrameTable(folder / "mfcc")
    assert [(u.id, u.speaker, u.num_frames) for u in alignment.utterances] == [
        (u.id, u.speaker, u.num_frames) for u in features.utterances
    ]
    pdfs = io.map_array(tmp_path / "ali" / "transition_pdfs.npy")
    assert pdfs.dtype == np.int32 and np.array_equal(pdfs, TABLE.pdf)
    for utterance, path in alignment:
        assert path.dtype == np.int32
        phones = TABLE.phone[path]
        starts = np.flatnonzero(np.append(True, TABLE.destination[path[:-1]] >= np.where(phones[:-1] <= 2, 5, 3)))
        spoken = [TOPOLOGY.phones[phone - 1] for phone in phones[starts] if phone > 2]
        variants = itertools.product(*(LEXICON.pronunciations[word] for word in texts[utterance.id].split()))
        assert spoken in [[phone for variant in chosen for phone in variant] for chosen in variants]
    assert info["num_frames"] == len(features) and info["num_utterances"] == 10 and info["not_aligned"] == []
    assert info["topology"] == TOPOLOGY.fingerprint and info["num_pdfs"] == TABLE.num_pdfs
    assert info["silence_pdfs"] == list(range(10)) and info["pdf_names"][10:12] == ["a.0", "a.1"]


def test_parts_and_processes_change_nothing(folder, tmp_path, monkeypatch):
    whole = align(folder, tmp_path / "whole", toy.sentences(10))
    monkeypatch.setattr(forced, "UTTERANCES_A_PART", 3)
    parts = align(folder, tmp_path / "parts", toy.sentences(10))
    assert parts["fingerprint"] == whole["fingerprint"]


def test_bad_utterances_are_left_out_and_named_in_info_and_log(folder, tmp_path, capsys):
    texts = toy.sentences(10) | {"a00": "", "b01": " ".join(["AB"] * 100)}
    info = align(folder, tmp_path / "ali", texts, max_bad=0.2)
    assert info["not_aligned"] == ["a00", "b01"] and info["num_utterances"] == 8
    assert not {"a00", "b01"} & set(FrameTable(tmp_path / "ali").by_id)
    assert "2 of 10 utterances did not align: a00 (empty transcript), b01 (" in capsys.readouterr().err


def test_too_many_bad_utterances_are_refused(folder, tmp_path):
    texts = toy.sentences(10) | {"a00": "", "b01": ""}
    with pytest.raises(Refusal, match="2 of 10 utterances did not align .expected at most 5%"):
        align(folder, tmp_path / "ali", texts)


def test_a_language_of_another_topology_is_refused(folder, tmp_path):
    with pytest.raises(Refusal, match="mono: topology of language and model does not match"):
        align(folder, tmp_path / "ali", toy.sentences(10), lexicon=toy.lexicon(2, 5))


def test_features_of_another_kind_are_refused(folder, tmp_path):
    toy.write_speech(folder / "fbank", toy.sentences(10), dim=7)
    with pytest.raises(Refusal, match="fbank: dimension of features and GMM does not match .expected 4, found 7"):
        align(folder, tmp_path / "ali", toy.sentences(10), features="fbank")


def test_unknown_words_are_aligned_to_the_unknown_word_s_phone(folder, tmp_path):
    texts = {"a00": "ZEBRA"}
    align(folder, tmp_path / "ali", texts)
    path = FrameTable(tmp_path / "ali").frames("a00")
    assert (TABLE.phone[path] == LEXICON.phone_ids["SPN"]).any() and TABLE.phone[path].max() <= 2


def adaptive(folder, out, scale: float):
    """The GMM as a speaker-adaptive model whose second pass wants frames of another scale."""
    model = read_model(folder / "mono")
    scaled = replace(model.gmm, mean=model.gmm.mean * scale, variance=model.gmm.variance * scale**2)
    shutil.copytree(folder / "mfcc", out / "mfcc")
    io.begin(out / "mono", io.Made("tri", {}))
    replace(model, gmm=scaled, first_pass=model.gmm).write(out / "mono")
    io.finish(out / "mono", topology=TOPOLOGY.fingerprint)
    return out


def phones_of(ali) -> dict[str, list[int]]:
    """Of each frame; the toy GMM's states of a phone are all the same, and tie."""
    return {utterance.id: TABLE.phone[path].tolist() for utterance, path in FrameTable(ali)}


def test_a_speaker_adaptive_model_aligns_by_transforms_of_its_first_pass(folder, tmp_path, monkeypatch, capsys):
    """Transforms follow the scale of the mixtures that frames are fitted to, and the paths then are the same."""
    monkeypatch.setattr(fmllr, "MINIMUM_FRAMES", 100)
    estimated: list[dict[str, torch.Tensor]] = []
    transforms = fmllr.transforms

    def kept(statistics):
        estimated.append(transforms(statistics))
        return estimated[-1]

    monkeypatch.setattr(fmllr, "transforms", kept)
    for scale in (1.0, 0.25):
        align(adaptive(folder, tmp_path / str(scale), scale), tmp_path / f"ali-{scale}", toy.sentences(10))
    for speaker in "ab":
        one, quarter = (found[speaker] for found in estimated)
        assert torch.allclose(quarter, 0.25 * one, atol=1e-3) and not torch.allclose(one, torch.eye(12, 13), atol=0.1)
    assert phones_of(tmp_path / "ali-1.0") == phones_of(tmp_path / "ali-0.25")


def test_speakers_are_whole_however_utterances_are_shared_out(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(fmllr, "MINIMUM_FRAMES", 250)  # more than any part holds of a speaker
    model = adaptive(folder, tmp_path / "model", 1.0)
    align(model, tmp_path / "one", toy.sentences(10))
    monkeypatch.setattr(forced, "UTTERANCES_A_PART", 3)
    align(model, tmp_path / "many", toy.sentences(10))
    assert phones_of(tmp_path / "one") == phones_of(tmp_path / "many")
