"""ONNX files against the nets that they were written from; and what is no such net or file."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

import onnx

from kdasr import io, models
from kdasr.cli import cli, main
from kdasr.distill import onnx as module
from kdasr.distill.ensemble import Ensemble
from kdasr.distill.onnx import OnnxNets, export, nets
from kdasr.models.dnn import DnnOptions
from kdasr.refusal import Refusal
from tests.tables import speech

MEANS = ("arithmetic", "geometric")


@pytest.fixture(scope="module")
def teachers(data: Path) -> list[Path]:
    return sorted((data / "teachers").iterdir())


@pytest.fixture(scope="module")
def frames() -> np.ndarray:
    features, _ = speech(6, seed=7)
    return np.concatenate(list(features.values()))


def posteriors(found: torch.Tensor) -> np.ndarray:
    assert found.dtype == torch.float32
    return found.exp().numpy()


@pytest.mark.parametrize("mean", MEANS)
@pytest.mark.parametrize("members", [1, 3])
def test_an_exported_model_is_the_ensemble(teachers, frames, tmp_path, mean, members):
    export(tmp_path / "x", teachers[:members], mean)
    exported, ensemble = OnnxNets(tmp_path / "x"), Ensemble.load(teachers[:members], mean)
    for length in (1, 2, 5, len(frames)):
        found, expected = (each.log_posteriors(frames[:length]) for each in (exported, ensemble))
        assert found.shape == expected.shape and (found - expected).abs().max() < 1e-4
    assert (exported.log_posteriors(frames.astype(np.float16)) - expected).abs().max() < 0.1
    assert exported.log_posteriors(frames[:0]).shape == (0, 8)
    for prior in ("counts", "mean_posterior"):
        assert torch.equal(getattr(exported, prior), getattr(ensemble, prior))
    for fact in ("labelling", "num_pdfs", "dim", "left", "right"):
        assert exported.infos[0][fact] == ensemble.infos[0][fact]


def test_int8_is_near_and_small(tmp_path, data, frames, teachers):
    wide = tmp_path / "member-0"
    shutil.copytree(teachers[0], wide)
    models.save(wide / "model.safetensors", models.build("dnn", DnnOptions(2, 256), (6, 5), 8))
    for name in ("whole", "small"):
        export(tmp_path / name, [wide], "arithmetic", int8=name == "small")
    sizes = {name: io.read_info(tmp_path / name)["bytes"] for name in ("whole", "small")}
    assert sizes["small"] < 0.3 * sizes["whole"]
    export(tmp_path / "x", teachers, "arithmetic", int8=True)
    small, whole = OnnxNets(tmp_path / "x"), Ensemble.load(teachers)
    found, expected = (posteriors(each.log_posteriors(frames)) for each in (small, whole))
    assert np.abs(found - expected).max() < 0.1 and np.abs(found.sum(1) - 1).max() < 1e-4
    assert (found.argmax(1) == expected.argmax(1)).mean() > 0.98


def test_the_file_says_what_it_takes_and_gives(teachers, tmp_path):
    export(tmp_path / "x", teachers[:1], "arithmetic")
    model = onnx.load(str(tmp_path / "x" / "model.onnx"))
    values = [*model.graph.input, *model.graph.output]
    assert [value.name for value in values] == ["features", "log_posteriors"]
    shapes = [[each.dim_param or each.dim_value for each in value.type.tensor_type.shape.dim] for value in values]
    assert shapes == [["frames", 5], ["frames", 8]]
    facts = json.loads({entry.key: entry.value for entry in model.metadata_props}["kdasr"])
    assert (facts["left"], facts["right"], facts["num_pdfs"]) == (3, 2, 8)


def test_the_same_export_again_is_up_to_date(teachers, tmp_path, capsys):
    command = ["export", str(tmp_path / "x"), "--model", str(teachers[0])]
    cli.main(command, standalone_mode=False)
    before = io.read_info(tmp_path / "x")
    cli.main(command, standalone_mode=False)
    assert io.read_info(tmp_path / "x") == before and "up to date" in capsys.readouterr().err
    with pytest.raises(Refusal, match="options.int8"):
        cli.main([*command, "--int8"], standalone_mode=False)


def test_frames_of_another_dimension_are_refused(teachers, frames, tmp_path):
    export(tmp_path / "x", teachers[:1], "arithmetic")
    with pytest.raises(Refusal, match="another dimension"):
        OnnxNets(tmp_path / "x").log_posteriors(frames[:, :4])


def test_an_exported_model_is_alone(teachers, tmp_path):
    export(tmp_path / "x", teachers, "arithmetic")
    assert isinstance(nets([tmp_path / "x"], "arithmetic"), OnnxNets)
    assert isinstance(nets(teachers, "arithmetic"), Ensemble)
    with pytest.raises(Refusal, match="an exported model in an ensemble"):
        nets([teachers[0], tmp_path / "x"], "arithmetic")
    with pytest.raises(Refusal, match="a folder of another kind"):
        export(tmp_path / "y", [tmp_path / "x"], "arithmetic")


def test_a_damaged_file_is_refused(teachers, tmp_path):
    export(tmp_path / "x", teachers[:1], "arithmetic")
    path = tmp_path / "x" / "model.onnx"
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(Refusal, match=r"model\.onnx: damaged or foreign ONNX file"):
        OnnxNets(tmp_path / "x")


def test_nets_of_images_and_other_kinds_are_refused(teachers, tmp_path):
    folder = tmp_path / "member-0"
    shutil.copytree(teachers[0], folder)
    info = io.read_json(folder / "info.json")
    io.write_json(folder / "info.json", {name: value for name, value in info.items() if name != "left"})
    with pytest.raises(Refusal, match="not a net that can be exported .expected dnn of frames, found dnn of images"):
        export(tmp_path / "x", [folder], "arithmetic")
    assert not (tmp_path / "x").exists()


def test_nets_beyond_the_format_are_refused(teachers, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "LARGEST", 1000)
    with pytest.raises(Refusal, match="too large for an ONNX file"):
        export(tmp_path / "x", teachers[:1], "arithmetic")


def test_without_the_library_what_to_install_is_told(teachers, tmp_path, capsys, monkeypatch):
    def missing(name: str) -> object:
        raise ImportError(f"No module named {name!r}")

    monkeypatch.setattr("importlib.import_module", missing)
    with pytest.raises(Refusal, match=r"onnx cannot be imported.*pip install 'kdasr\[onnx\]'"):
        export(tmp_path / "x", teachers[:1], "arithmetic")
    monkeypatch.undo()
    with pytest.raises(SystemExit):
        main(["export", str(tmp_path / "x"), "--model", str(tmp_path / "none")])
    assert "no such folder" in capsys.readouterr().err
