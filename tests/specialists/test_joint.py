"""The joint model: in files, beside nets asked about all, as a model like others; refusals."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from kdasr import io, models
from kdasr.differences import plain
from kdasr.distill.ensemble import Ensemble, tally
from kdasr.refusal import Refusal
from kdasr.specialists.dustbin import FULL
from kdasr.specialists.infer import InferOptions
from kdasr.specialists.joint import Joint, make_joint, put_together
from kdasr.specialists.measures import measure, score_gain, table
from kdasr.specialists.training import one_model, specialist_folders, train_specialist, train_specialists
from kdasr.train.loop import Trainer
from tests.specialists.conftest import SUBSETS, job, source
from tests.tables import write_set


@pytest.fixture(scope="module")
def folder(data, tmp_path_factory) -> Path:
    out: Path = tmp_path_factory.mktemp("joint") / "joint"
    make_joint(out, data / "generalist", specialist_folders(data / "specialists"), source(data), InferOptions(), False)
    return out


def test_each_specialist_says_what_it_is(data):
    generalist = io.fingerprint(data / "generalist")
    counts = source(data).open().label_counts().double()
    for number, subset in SUBSETS.items():
        folder = data / "specialists" / f"specialist-{number}"
        info = io.read_info(folder, "specialists")
        assert info["generalist"] == generalist and tuple(info["subset"]) == subset and info["kind"] == "dustbin"
        assert info["pi"] == pytest.approx(float(counts[list(subset)].sum() / counts.sum()))
        assert models.load(folder / "model.safetensors").num_classes == len(subset) + 1
        found = io.load_tensors(folder / "priors.safetensors")[0]  # corrected, it expects classes as often as they are
        shares = found["counts"] / found["counts"].sum()
        torch.testing.assert_close(found["mean_posterior"], shares.float(), atol=0.05, rtol=0)
        assert info["dev"]["accuracy"] > 0.6


def test_specialists_that_are_done_stay_and_those_that_stopped_go_on_to_the_same_bits(data, tmp_path, monkeypatch):
    done = io.read_info(data / "specialists" / "specialist-1")
    again = train_specialists(job(data, data / "specialists"), dict(SUBSETS), 1)
    assert again[1] == done
    one = replace(job(data, tmp_path / "one", checkpoint_steps=1), subset=SUBSETS[0])
    whole, step = train_specialist(one), Trainer.train_step

    def dies(trainer: Trainer) -> bool:
        if trainer.step == 4:
            raise KeyboardInterrupt
        return step(trainer)

    stopped = replace(one, folder=tmp_path / "stopped")
    monkeypatch.setattr(Trainer, "train_step", dies)
    with pytest.raises(KeyboardInterrupt):
        train_specialist(stopped)
    monkeypatch.setattr(Trainer, "train_step", step)
    assert train_specialist(stopped)["fingerprint"] == whole["fingerprint"]


def test_a_folder_of_members_is_no_generalist(data, tmp_path):
    for seed in range(2):
        shutil.copytree(data / "generalist", tmp_path / f"member-{seed}")
    with pytest.raises(Refusal, match=r"a generalist is one model \(expected 1, found 2\)"):
        one_model(tmp_path)


def test_a_generalist_of_another_alignment_is_refused(data, tmp_path):
    write_set(tmp_path, 4, seed=3, num_pdfs=6)
    other = replace(source(data), features=tmp_path / "feats", alignment=tmp_path / "ali")
    one = replace(job(data, tmp_path / "out"), source=other, subset=(1, 2))
    info = io.read_info(tmp_path / "ali")
    io.write_json(tmp_path / "ali" / "info.json", {**info, "topology": "another"})
    with pytest.raises(Refusal, match="the labelling of models and examples does not match .expected another"):
        train_specialist(one)


def test_specialists_of_another_generalist_are_refused(data, tmp_path):
    shutil.copytree(data / "generalist", tmp_path / "other")
    info = io.read_info(tmp_path / "other")
    io.write_json(tmp_path / "other" / "info.json", {**info, "fingerprint": "0" * 16})
    with pytest.raises(Refusal, match=r"specialist-0: the specialist's generalist does not match .expected 0{16}"):
        put_together(tmp_path / "other", specialist_folders(data / "specialists"), InferOptions())
    with pytest.raises(Refusal, match="no specialist is named"):
        put_together(data / "generalist", specialist_folders(tmp_path), InferOptions())


def test_specialists_are_asked_about_the_examples_of_their_classes_alone(data, folder, monkeypatch):
    joint, examples = models.load(folder / "model.safetensors"), source(data, "dev").open()
    assert isinstance(joint, Joint)
    x, _ = examples.batch(torch.arange(len(examples)))
    with torch.no_grad():
        best = joint.generalist(x).argmax(1)
    asked: dict[int, int] = {}
    for number, specialist in enumerate(joint.specialists):
        specialist.register_forward_pre_hook(lambda net, given, m=number: asked.update({m: len(given[0])}))
    with torch.no_grad():
        q = joint(x).exp()
        p = joint.generalist(x).softmax(1)
    assert asked == {number: int(torch.isin(best, torch.tensor(some)).sum()) for number, some in SUBSETS.items()}
    torch.testing.assert_close(q.sum(1), torch.ones(len(x)))
    alone = torch.isin(best, torch.tensor([0, 7]))
    torch.testing.assert_close(q[alone], p[alone])
    assert float((q[~alone] - p[~alone]).abs().max()) > 0.01


@pytest.mark.parametrize("method", ["newton", "descent"])
def test_too_few_steps_are_told_once(data, capsys, method):
    options = InferOptions(method=method, steps=2, top=3)
    joint = put_together(data / "generalist", specialist_folders(data / "specialists"), options)
    x, _ = source(data, "dev").open().batch(torch.arange(60))
    with torch.no_grad():
        for _ in range(2):
            joint(x)
    told = f"joint predictions that 2 steps of {method} did not finish; raise joint.steps"
    assert capsys.readouterr().err.count(told) == 1


def test_it_is_a_model_as_others_are(data, folder):
    ensemble, examples = Ensemble.load(folder), source(data, "dev").open()
    ensemble.expect(examples)
    x, _ = examples.batch(torch.arange(50))
    with torch.no_grad():
        log_q = ensemble.members[0](x)
    torch.testing.assert_close(ensemble.probabilities(x), log_q.exp())
    torch.testing.assert_close(ensemble.probabilities(x, 2.0), (log_q / 2).softmax(1))
    part = examples.parts[1]
    index = torch.arange(part.begin, part.begin + part.num_frames)
    expected = ensemble.probabilities(examples.batch(index)[0])
    torch.testing.assert_close(ensemble.log_posteriors(examples.features.frames(part.id)).exp(), expected)
    assert tally(ensemble, examples)[0].score().accuracy > 0.6
    with pytest.raises(Refusal, match="no biases to correct"):
        ensemble.members[0].output_bias()


def test_the_full_kind_is_the_mean_of_those_that_speak(data, tmp_path):
    train_specialists(job(data, tmp_path, kind=FULL), dict(SUBSETS), 1)
    joint = put_together(data / "generalist", specialist_folders(tmp_path), InferOptions())
    x, _ = source(data, "dev").open().batch(torch.arange(60))
    with torch.no_grad():
        p, q = joint.generalist(x).softmax(1), joint(x).exp()
        active = joint.cover.active(p.log(), 1)
        spoken = [net(x).softmax(1) * active[:, number, None] for number, net in enumerate(joint.specialists)]
    torch.testing.assert_close(q, (p + sum(spoken)) / (1 + active.sum(1, keepdim=True)), atol=1e-6, rtol=1e-4)


def test_a_gain_is_what_plain_counting_gives(data, folder, tmp_path):
    joint, examples = models.load(folder / "model.safetensors"), source(data, "dev").open()
    assert isinstance(joint, Joint)
    found = measure(joint, examples).as_json()
    x, y = examples.batch(torch.arange(len(examples)))
    with torch.no_grad():
        before, after = joint.generalist(x), joint(x)
    for row in found["by_coverage"]:
        some = torch.tensor([sum(int(label) in own for own in SUBSETS.values()) for label in y]) == row["specialists"]
        assert row["examples"] == int(some.sum())
        assert row["generalist"] == int((before.argmax(1) == y)[some].sum())
        assert row["joint"] == int((after.argmax(1) == y)[some].sum())
    assert found["all"]["joint"] == sum(row["joint"] for row in found["by_coverage"])
    written = score_gain(tmp_path / "gain", folder, source(data, "dev"))
    assert written == plain(found) and "2 cover the class: " in table(written)
    with pytest.raises(Refusal, match="a folder of another kind"):
        score_gain(tmp_path / "none", data / "generalist", source(data, "dev"))
