"""Model folders: members by seed alone, in parallel, with priors and a record of what they are."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch

from kdasr import io, models
from kdasr.data.frames import FrameExamples, FrameOptions, FrameSource
from kdasr.models.dnn import DnnOptions
from kdasr.refusal import Refusal
from kdasr.train.job import TrainJob, threads_each, train_members, train_model
from kdasr.train.loop import TrainOptions
from tests.tables import write_set


@pytest.fixture
def job(tmp_path: Path) -> TrainJob:
    context = FrameOptions(3, 2)
    train, dev = (FrameSource(*write_set(tmp_path / name, n, n), context) for name, n in (("train", 12), ("dev", 5)))
    return TrainJob(
        tmp_path / "ens", train, dev, TrainOptions(epochs=2, batch_size=64, device="cpu"), DnnOptions(2, 32)
    )


def test_members_trained_side_by_side_are_those_trained_alone(job: TrainJob):
    """Two processes at once, then each seed by itself with the same threads: the same content."""
    members = train_members(job, [0, 1, 2], num_jobs=2)
    share = threads_each(2, 3)
    alone = [
        train_model(
            replace(job, folder=job.folder.parent / f"alone-{seed}", train=replace(job.train, seed=seed), threads=share)
        )
        for seed in (0, 1, 2)
    ]
    assert [info["fingerprint"] for info in members] == [info["fingerprint"] for info in alone]
    assert len({info["fingerprint"] for info in members}) == 3 and [info["seed"] for info in members] == [0, 1, 2]


def test_a_model_folder_says_what_it_is(job: TrainJob):
    info = train_model(job)
    examples = job.source.open()
    assert isinstance(examples, FrameExamples)
    assert info["num_pdfs"] == 8 and info["topology"] == info["labelling"] == "topo" and info["silence_pdfs"] == [0]
    assert (info["dim"], info["left"], info["right"], info["frame_shift"]) == (5, 3, 2, 0.01)
    assert info["alignment"] == examples.alignment.fingerprint and info["features"] == examples.features.fingerprint
    assert info["model"]["architecture"] == "dnn" and info["options"]["dnn"] == asdict(job.dnn)
    assert info["num_examples"] == len(examples) and 0 < info["dev"]["accuracy"] < 1
    kept = {path.name for path in job.folder.iterdir()}
    assert kept == {"model.safetensors", "priors.safetensors", "info.json", "metrics.jsonl", "tensorboard"}


def test_a_model_goes_on_from_anothers_weights_and_architecture(job: TrainJob):
    before = train_model(job)
    later = replace(job, folder=job.folder.parent / "later", dnn=DnnOptions(1, 8), start=job.folder)
    after = train_model(replace(later, train=replace(job.train, learning_rate=1e-9)))
    assert after["model"] == before["model"] and after["inputs"]["start"] == before["fingerprint"]
    assert "dnn" not in after["options"]
    first, second = (io.load_tensors(folder / "model.safetensors")[0] for folder in (job.folder, later.folder))
    assert all(torch.allclose(first[name], second[name], atol=1e-6) for name in first)
    moved = replace(later, folder=job.folder.parent / "moved")
    assert train_model(moved)["dev"]["cross_entropy"] < before["dev"]["cross_entropy"]


def test_a_start_of_another_window_is_refused(job: TrainJob):
    train_model(job)
    assert isinstance(job.source, FrameSource)
    source = FrameSource(job.source.features, job.source.alignment, FrameOptions(2, 2))
    with pytest.raises(Refusal, match=r"input shape of models and examples .*set frames.left and frames.right"):
        train_model(replace(job, folder=job.folder.parent / "later", source=source, dev=None, start=job.folder))


def test_priors_are_counts_and_the_mean_posterior(job: TrainJob):
    train_model(job)
    examples = job.source.open()
    priors, _ = io.load_tensors(job.folder / "priors.safetensors")
    assert torch.equal(priors["counts"], examples.label_counts())
    model = models.load(job.folder / "model.safetensors")
    with torch.no_grad():
        expected = model(examples.batch(torch.arange(len(examples)))[0]).softmax(1).mean(0)
    torch.testing.assert_close(priors["mean_posterior"], expected, atol=1e-6, rtol=1e-4)
    assert float(priors["mean_posterior"].sum()) == pytest.approx(1)


def test_the_same_again_is_up_to_date_and_other_options_are_refused(job: TrainJob, capsys: pytest.CaptureFixture):
    before = train_model(job)
    assert train_model(job) == before and "up to date" in capsys.readouterr().err
    with pytest.raises(
        Refusal, match=r"made with another options.train.dropout \(expected 0.5, found 0.0\); add --overwrite"
    ):
        train_model(replace(job, train=replace(job.train, dropout=0.5)))
    again = train_model(replace(job, train=replace(job.train, dropout=0.5), overwrite=True))
    assert again["fingerprint"] != before["fingerprint"]


def test_threads_do_not_depend_on_what_is_still_to_do(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("kdasr.jobs.cores", lambda: 8)
    assert [threads_each(*pair) for pair in ((1, 5), (2, 5), (4, 5), (4, 1), (16, 20))] == [8, 4, 2, 8, 1]
