"""Nets as one ONNX file that needs no kdasr: frames of an utterance in, log posteriors out, of float32 or int8 weights.

The graph holds all that stands between a table of features and a decoder: windows with repeated edges, normalisation,
the nets, and the mean of their predictions. It is written node by node, so that no version of torch decides what it is.
"""

from __future__ import annotations

import importlib
import json
import logging
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from kdasr import io
from kdasr.differences import plain
from kdasr.distill.ensemble import SHARED, Ensemble
from kdasr.models.dnn import Dnn
from kdasr.refusal import Refusal

VERB = "export"
MODEL, PRIORS = "model.onnx", "priors.safetensors"
INPUT, OUTPUT = "features", "log_posteriors"
OPSET, IR_VERSION = 13, 8  # what every onnxruntime of these years reads
LARGEST = 2**31 - 1  # bytes of a protobuf message


class OnnxNets:
    """Exported nets in the place of an `Ensemble` where utterances are decoded.

    Attributes:
        infos: what the folder says, alone in a list.
        counts: frames of each class in the training alignment, (S,).
        mean_posterior: of the nets over the training set, (S,).

    Args:
        folder: made by `kdasr export`.

    Raises:
        Refusal: the folder is unfinished or its file damaged, or onnxruntime is not there.
    """

    def __init__(self, folder: str | Path) -> None:
        runtime = library("onnxruntime")
        self.infos = [io.read_info(folder, VERB)]
        tensors, _ = io.load_tensors(Path(folder) / PRIORS)
        self.counts, self.mean_posterior = tensors["counts"], tensors["mean_posterior"]
        options = runtime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1  # utterances run side by side instead
        path = Path(folder) / MODEL
        try:
            self._session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime has a dozen types of its own
            found = " ".join(str(error).split())[:200]
            raise Refusal("damaged or foreign ONNX file", where=path, found=found, do=io.AGAIN) from None

    def log_posteriors(self, frames: Tensor | np.ndarray) -> Tensor:
        """Log posteriors of an utterance's frames, as `Ensemble.log_posteriors` gives them.

        Args:
            frames: (T, F), float32 or float16.

        Returns:
            (T, S) float32.
        """
        column, dim = np.asarray(frames, np.float32), self.infos[0]["dim"]
        if column.ndim != 2 or column.shape[1] != dim:
            raise Refusal("frames of another dimension than the model's", expected=f"(T, {dim})", found=column.shape)
        if not len(column):
            return torch.zeros(0, self.infos[0]["num_pdfs"])
        (found,) = self._session.run([OUTPUT], {INPUT: column})
        return torch.from_numpy(found)


def nets(folders: Sequence[Path], mean: str) -> Ensemble | OnnxNets:
    """What decodes by model folders: an ensemble, or exported nets, which are alone."""
    exported = [folder for folder in folders if io.read_info(folder)["verb"] == VERB]
    if not exported:
        return Ensemble.load(folders, mean)
    if len(folders) > 1:
        do = "name it alone, or export the ensemble as one"
        raise Refusal("an exported model in an ensemble", where=exported[0], do=do)
    return OnnxNets(exported[0])


def export(out: Path, folders: Sequence[Path], mean: str, int8: bool = False, overwrite: bool = False) -> None:
    """Writes nets into a folder: `model.onnx`, and `priors.safetensors`, unless they are there.

    Args:
        out: the output.
        folders: of the nets; several predict together.
        mean: of their predictions, `arithmetic` or `geometric`.
        int8: weights of 8 bits, a scale for each unit; activations are quantised as they come.
        overwrite: as `io.begin`'s.

    Raises:
        Refusal: the nets are no DNNs of frames or too large for one file, or onnx is not there.
    """
    library("onnx")
    prints = {f"model_{number}": io.fingerprint(folder) for number, folder in enumerate(folders)}
    ensemble = Ensemble.load(folders, mean)
    _expect_dnns(ensemble)
    if not io.begin(out, io.Made(VERB, {"mean": mean, "int8": int8}, prints), overwrite):
        return
    assert ensemble.counts is not None and ensemble.mean_posterior is not None
    io.save_tensors(out / PRIORS, {"counts": ensemble.counts, "mean_posterior": ensemble.mean_posterior})
    facts = {fact: ensemble.infos[0].get(fact) for fact in SHARED}
    _write(out / MODEL, graph_of(ensemble, facts), int8)
    size = (out / MODEL).stat().st_size
    io.finish(out, **facts, members=len(ensemble), bytes=size)


def _expect_dnns(ensemble: Ensemble) -> None:
    for name, member, info in zip(ensemble.names, ensemble.members, ensemble.infos, strict=True):
        if not isinstance(member, Dnn) or "left" not in info:
            found = f"{member.name} of {'frames' if 'left' in info else 'images'}"
            do = "distill it into a DNN, and export that"
            raise Refusal("not a net that can be exported", where=name, expected="dnn of frames", found=found, do=do)
    size = sum(4 * tensor.numel() for member in ensemble.members for tensor in member.parameters())
    if size > LARGEST:
        raise Refusal(
            "too large for an ONNX file", expected=f"at most {LARGEST} bytes", found=size, do="export a student"
        )


def graph_of(ensemble: Ensemble, facts: dict[str, Any]) -> Any:
    """The ONNX model of an ensemble of DNNs: (T, F) float32 to (T, S) float32, for any T of 1 or more."""
    onnx = library("onnx")
    helper, types = onnx.helper, onnx.TensorProto
    nodes = _Nodes(onnx)
    window = _windows(nodes, int(facts["left"]), int(facts["right"]), int(facts["dim"]))
    logits = [_logits(nodes, member, window) for member in ensemble.members if isinstance(member, Dnn)]
    nodes.add("Identity", [_combined(nodes, logits, ensemble.mean)], OUTPUT)
    shapes = {INPUT: ["frames", facts["dim"]], OUTPUT: ["frames", facts["num_pdfs"]]}
    values = {name: helper.make_tensor_value_info(name, types.FLOAT, shape) for name, shape in shapes.items()}
    graph = helper.make_graph(nodes.nodes, "kdasr", [values[INPUT]], [values[OUTPUT]], nodes.constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    helper.set_model_props(model, {"kdasr": json.dumps(plain(facts))})
    onnx.checker.check_model(model)
    return model


class _Nodes:
    """Nodes and constants of a graph, as they are added."""

    def __init__(self, onnx: Any) -> None:
        self.onnx, self.nodes, self.constants = onnx, list[Any](), list[Any]()

    def add(self, kind: str, inputs: Sequence[str | np.ndarray], output: str = "", **attributes: object) -> str:
        """Adds a node whose inputs are values by name, or constants; returns its output's name."""
        output = output or f"value_{len(self.nodes)}"
        names = [each if isinstance(each, str) else self._constant(each) for each in inputs]
        self.nodes.append(self.onnx.helper.make_node(kind, names, [output], **attributes))
        return output

    def _constant(self, array: np.ndarray) -> str:
        name = f"constant_{len(self.constants)}"
        self.constants.append(self.onnx.numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name


def _windows(nodes: _Nodes, left: int, right: int, dim: int) -> str:
    """Each frame with its context, (T, W F); places before the first frame and after the last are these."""
    number = nodes.add("Shape", [INPUT])
    length = nodes.add("Gather", [number, np.array(0)], axis=0)
    frames = nodes.add("Range", [np.array(0), length, np.array(1)])
    column = nodes.add("Unsqueeze", [frames, np.array([1])])
    places = nodes.add("Add", [column, np.arange(-left, right + 1)[None]])
    last = nodes.add("Sub", [length, np.array(1)])
    within = nodes.add("Min", [nodes.add("Max", [places, np.array(0)]), last])
    window = nodes.add("Gather", [INPUT, within], axis=0)
    return nodes.add("Reshape", [window, np.array([-1, (left + 1 + right) * dim])])


def _logits(nodes: _Nodes, net: Dnn, window: str) -> str:
    """A net's logits, (T, S)."""
    value = nodes.add("Mul", [nodes.add("Sub", [window, net.mean.numpy()]), net.scale.numpy()])
    for number, layer in enumerate(net.linear):
        value = nodes.add("Relu", [value]) if number else value
        weight, bias = layer.weight.detach().float().numpy().T, layer.bias.detach().float().numpy()
        value = nodes.add("Add", [nodes.add("MatMul", [value, weight]), bias])
    return value


def _combined(nodes: _Nodes, logits: Sequence[str], mean: str) -> str:
    """Log of the mean prediction, as `ensemble.combine` has it."""
    if mean == "geometric" and len(logits) > 1:
        logits = [nodes.add("Mean", list(logits))]
    logs = [nodes.add("LogSoftmax", [each], axis=1) for each in logits]
    if len(logs) == 1:
        return logs[0]
    stacked = nodes.add("Concat", [nodes.add("Unsqueeze", [each, np.array([0])]) for each in logs], axis=0)
    together = nodes.add("ReduceLogSumExp", [stacked], axes=[0], keepdims=0)
    return nodes.add("Sub", [together, np.array(math.log(len(logs)), np.float32)])


def _write(path: Path, model: Any, int8: bool) -> None:
    onnx = library("onnx")
    with io.atomic(path) as part:
        if not int8:
            onnx.save(model, str(part))
            return
        whole = part.with_suffix(".whole")  # the library reads a file and writes another
        try:
            onnx.save(model, str(whole))
            quantization = library("onnxruntime.quantization")
            logging.disable(logging.WARNING)  # it advises a step that changes nothing here
            quantization.quantize_dynamic(whole, part, per_channel=True, weight_type=quantization.QuantType.QInt8)
        finally:
            logging.disable(logging.NOTSET)
            whole.unlink(missing_ok=True)


def library(name: str) -> Any:
    """A module of onnx or onnxruntime. Raises Refusal where it is missing."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        what, do = f"{name.partition('.')[0]} cannot be imported", "pip install 'kdasr[onnx]'"
        raise Refusal(what, where="kdasr export and exported models", found=str(error), do=do) from None
