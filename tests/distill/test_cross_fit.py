"""Cross-fitted soft targets: a frame is taught by those alone who never saw its speaker."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from kdasr import io
from kdasr.data.folds import UNSEEN, Folds
from kdasr.data.frames import FrameExamples, FrameOptions, FrameSource
from kdasr.data.table import FrameTable
from kdasr.distill import inspection
from kdasr.distill.cross_fit import Teachers
from kdasr.distill.ensemble import Ensemble, combine
from kdasr.distill.loss import DistillOptions
from kdasr.distill.soft_targets import LiveTargets, SoftTargets, SoftTargetsJob, make
from kdasr.distill.store import StoreOptions
from kdasr.distill.student import StudentJob, train_student
from kdasr.models.dnn import DnnOptions
from kdasr.refusal import Refusal
from kdasr.specialists.dustbin import SpecialistOptions
from kdasr.specialists.training import SpecialistJob, train_specialist
from kdasr.train.job import TrainJob, train_members
from kdasr.train.loop import TrainOptions
from tests.tables import speech, write_alignment, write_features

CONTEXT = FrameOptions(3, 2)
OPTIONS = TrainOptions(epochs=2, batch_size=64, device="cpu", folds=2)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A set of eight speakers, one of others without labels, and `members/member-0` to `member-2`, of two folds."""
    folder, features, pdfs = tmp_path_factory.mktemp("cross"), dict[str, Any](), dict[str, Any]()
    for number, name in enumerate("abcdefgh"):
        each = speech(2, number, prefix=name)
        features, pdfs = features | each[0], pdfs | each[1]
    write_features(folder / "feats", features)
    write_alignment(folder / "ali", pdfs, 8)
    write_features(folder / "more", speech(2, 99, prefix="x")[0])
    train_members(job(folder, OPTIONS), [0, 1, 2], 1)
    return folder


def source(folder: Path) -> FrameSource:
    return FrameSource(folder / "feats", folder / "ali", CONTEXT)


def job(folder: Path, options: TrainOptions, name: str = "members") -> TrainJob:
    return TrainJob(folder / name, source(folder), None, options, DnnOptions(1, 24), threads=1)


@pytest.fixture
def examples(folder: Path) -> FrameExamples:
    more = [FrameTable(folder / "more")]
    return FrameExamples(FrameTable(folder / "feats"), FrameTable(folder / "ali"), CONTEXT, more)


def test_a_member_is_not_trained_on_the_fold_of_its_seed(folder):
    examples, seen = source(folder).open(), []
    folds = Folds(examples, 2)(torch.arange(len(examples)))
    for seed in (0, 1, 2):
        info = io.read_info(folder / "members" / f"member-{seed}", "train")
        seen.append(info["num_examples"])
        assert info["num_examples"] == int((folds != seed % 2).sum())
    assert seen[0] + seen[1] == len(examples) and seen[0] == seen[2]


@pytest.mark.parametrize("mean", ["arithmetic", "geometric"])
def test_an_example_is_taught_by_those_that_left_it_out_and_by_all_if_none_was_trained_on_it(folder, examples, mean):
    ensemble = Ensemble.load(folder / "members", mean)
    index = torch.randperm(len(examples))
    x, _ = examples.batch(index)
    taught, logits = Teachers(ensemble, examples).log_probabilities(index, x, 2.0), ensemble.logits(x)
    torch.testing.assert_close(Teachers(ensemble, examples).probabilities(index, x, 2.0), taught.exp())
    folds = Folds(examples, 2)(index)
    for fold, members in ((0, [0, 2]), (1, [1]), (UNSEEN, [0, 1, 2])):
        rows = folds == fold
        assert int(rows.sum()) > 50
        torch.testing.assert_close(taught[rows], combine(logits[members][:, rows], 2.0, mean), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(taught.exp().sum(1), torch.ones(len(index)))


def test_a_batch_asks_as_many_members_as_it_is_to_and_over_batches_all_alike(folder):
    members = source(folder).open()
    ensemble = Ensemble.load(folder / "members")
    x, _ = members.batch(torch.arange(64))
    each = [ensemble.probabilities(x, 2.0, [number]) for number in range(3)]
    for asked in (1, 2):
        teachers, taught = Teachers(ensemble, None, asked), torch.zeros_like(each[0])
        for first in range(600):  # as the number of a batch's first example, which draws
            index = torch.arange(first, first + 64)
            found = teachers.probabilities(index, x, 2.0)
            some = [torch.stack(pair).mean(0) for pair in itertools.combinations(each, asked)]
            assert any(torch.allclose(found, mean, atol=1e-6) for mean in some)
            again = Teachers(ensemble, None, asked).probabilities(index, x, 2.0)
            assert torch.equal(found, again)  # as in a run that goes on
            taught += found / 600
        torch.testing.assert_close(taught, ensemble.probabilities(x, 2.0), atol=0.02, rtol=0.0)
        stored = teachers.log_probabilities(index, x, 2.0)
        torch.testing.assert_close(stored.exp(), ensemble.probabilities(x, 2.0))  # what is stored is of all


def test_of_cross_fitted_members_those_are_drawn_that_may_teach(folder, examples):
    ensemble, index = Ensemble.load(folder / "members"), torch.arange(len(examples))
    x, _ = examples.batch(index)
    taught, folds = Teachers(ensemble, examples, 1).probabilities(index, x, 2.0), Folds(examples, 2)(index)
    each = [ensemble.probabilities(x, 2.0, [number]) for number in range(3)]
    for fold, members in ((0, [0, 2]), (1, [1]), (UNSEEN, [0, 1, 2])):
        rows = folds == fold
        assert any(torch.allclose(taught[rows], each[number][rows], atol=1e-5) for number in members)


def test_live_and_stored_targets_are_cross_fitted_alike(folder, examples, tmp_path):
    ensemble, index = Ensemble.load(folder / "members"), torch.randperm(len(examples))[:200]
    transfer = replace(source(folder), transfer=(folder / "more",))
    members = tuple(folder / "members" / f"member-{seed}" for seed in (0, 1, 2))
    make(SoftTargetsJob(tmp_path / "soft", transfer, members, DistillOptions(2.0), StoreOptions(8, 1.0, 16)))
    stored, live = SoftTargets(tmp_path / "soft", examples, 2.0), LiveTargets(ensemble, 2.0, examples)
    torch.testing.assert_close(stored.batch(index).dense(), live.batch(index), atol=1e-6, rtol=5e-4)
    assert float((live.batch(index) - ensemble.probabilities(examples.batch(index)[0], 2.0)).abs().max()) > 0.01
    assert inspection.divergence(stored, ensemble, examples)[1] < 1e-4


def test_a_student_learns_from_cross_fitted_members(folder, tmp_path):
    student = StudentJob(
        tmp_path / "student",
        source(folder),
        None,
        None,
        (folder / "members",),
        TrainOptions(epochs=1, batch_size=64, device="cpu"),
        DnnOptions(1, 24),
        DistillOptions(2.0),
        threads=1,
    )
    assert train_student(student)["num_examples"] == len(source(folder).open())


def test_members_teach_no_other_set_than_their_own(folder, tmp_path):
    features, pdfs = speech(2, 0, prefix="z")
    write_features(tmp_path / "feats", features)
    write_alignment(tmp_path / "ali", pdfs, 8)
    transfer = [FrameTable(folder / "feats")]  # speakers that they were trained on, as if nobody had been
    other = FrameExamples(FrameTable(tmp_path / "feats"), FrameTable(tmp_path / "ali"), CONTEXT, transfer)
    with pytest.raises(
        Refusal, match="features of the training set of a cross-fitted member does not match .*; teach the"
    ):
        Teachers(Ensemble.load(folder / "members"), other)


def test_a_student_and_a_specialist_leave_out_no_fold(folder, tmp_path):
    sets, names = (source(folder), None), (folder / "members",)
    with pytest.raises(Refusal, match=r"student.folds: a student leaves out no fold .found 2.; set train.folds of its"):
        StudentJob(tmp_path / "x", *sets, None, names, replace(OPTIONS), DnnOptions(1, 24), DistillOptions(2.0))
    own = (tmp_path / "x", *sets, folder / "members" / "member-0", (1, 2))
    with pytest.raises(Refusal, match=r"specialist.folds: a specialist leaves out no fold .found 2.; set it to 0"):
        SpecialistJob(*own, SpecialistOptions(folds=2), DistillOptions(2.0))
    told = r"member-0: specialists learn of all speakers, and their generalist left some out .expected a generalist of "
    with pytest.raises(Refusal, match=told + r"train.folds 0, found one that left out fold 0 of 2.; name another"):
        train_specialist(SpecialistJob(*own, SpecialistOptions(), DistillOptions(2.0)))
    assert not (tmp_path / "x").exists()


def test_what_is_scored_is_answered_by_all_members(folder):
    ensemble = Ensemble.load(folder / "members")
    x, _ = source(folder).open().batch(torch.arange(20))
    torch.testing.assert_close(ensemble.log_probabilities(x), combine(ensemble.logits(x), 1.0, "arithmetic"))


def test_a_fold_that_no_member_left_out_is_refused(folder, examples):
    told = (
        r"member-0, .*member-2: no teacher for a part of the training set .expected a member that left out each of 2 "
        r"folds, found none that left out 1.; train members of more seeds: member-s leaves out fold s % 2"
    )
    with pytest.raises(Refusal, match=told):
        LiveTargets(Ensemble.load([folder / "members" / "member-0", folder / "members" / "member-2"]), 2.0, examples)


def test_members_of_other_folds_are_refused(folder, examples):
    train_members(job(folder, replace(OPTIONS, folds=3), "others"), [1], 1)
    both = Ensemble.load([folder / "members" / "member-0", folder / "others" / "member-1"])
    told = "folds of the ensemble's members does not match .expected 2, found 3.; train all members with one"
    with pytest.raises(Refusal, match=told):
        Teachers(both, examples)


def test_a_model_that_goes_on_from_one_that_saw_the_fold_is_refused(folder, tmp_path):
    start = folder / "members" / "member-1"
    own = replace(job(tmp_path, OPTIONS), source=source(folder), start=start)
    told = (
        r"member-1: the model to go on from was trained on the fold that this one leaves out "
        r".expected one that left out fold 0 of 2, found one that left out fold 1 of 2.; name another"
    )
    with pytest.raises(Refusal, match=told):
        train_members(own, [0], 1)
    train_members(own, [1], 1)
    before = io.read_info(tmp_path / "members" / "member-1")
    with pytest.raises(Refusal, match="was trained on the fold"):
        train_members(replace(own, overwrite=True, train=replace(OPTIONS, folds=3)), [1], 1)
    assert io.read_info(tmp_path / "members" / "member-1") == before  # nothing that was made is lost
    plain = replace(job(tmp_path, replace(OPTIONS, folds=0), "plain"), source=source(folder))
    train_members(plain, [5], 1)
    with pytest.raises(Refusal, match="found one that left out none"):
        train_members(replace(own, folder=tmp_path / "again", start=tmp_path / "plain" / "member-5"), [0], 1)
