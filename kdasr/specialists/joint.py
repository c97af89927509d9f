"""A generalist and its specialists as one model, whose logits are log q of their joint prediction.

So they are scored, decoded and taken for teachers as any model is: q is softmax(z) of z = log q at T = 1, as in section
5.4, and at another temperature softmax(z / T), as of any net.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from kdasr import io, models
from kdasr.data.examples import Source
from kdasr.distill.ensemble import VERBS
from kdasr.models import Model
from kdasr.refusal import Refusal
from kdasr.specialists.dustbin import DUSTBIN
from kdasr.specialists.infer import Collected, Cover, InferOptions, joint
from kdasr.specialists.training import VERB
from kdasr.train.job import priors

if TYPE_CHECKING:
    from kdasr.models.dropout import Dropout


@dataclass(frozen=True)
class JointNets(InferOptions):
    """How the joint prediction is found, and the nets: their architecture with its options, S^m, and their kind."""

    architecture: str = "dnn"
    net: dict[str, Any] = field(default_factory=dict)
    subsets: Sequence[Sequence[int]] = ()
    kind: str = DUSTBIN


class Joint(Model):
    """The generalist, and specialists that are asked about the examples for which they are active, no others.

    Args:
        options: nets and inference.
        input_shape: shape of one input.
        num_classes: S.
    """

    name, OPTIONS = "joint", JointNets

    def __init__(self, options: JointNets, input_shape: tuple[int, ...], num_classes: int) -> None:
        super().__init__(options, input_shape, num_classes)
        net = models.find(options.architecture)
        self.options: JointNets = options
        self.with_dustbin = options.kind == DUSTBIN
        sizes = [num_classes, *(len(some) + 1 if self.with_dustbin else num_classes for some in options.subsets)]
        nets = [net(net.OPTIONS(**options.net), self.input_shape, size) for size in sizes]
        self.generalist, self.specialists = nets[0], nn.ModuleList(nets[1:])
        self.cover = Cover(options.subsets, num_classes)
        every = torch.arange(num_classes)
        self.classes = [torch.tensor(some) if self.with_dustbin else every for some in options.subsets]

    def forward(self, x: Tensor, dropout: Dropout | None = None) -> Tensor:
        """The log of q, (B, S) float32, of inputs (B, *input_shape) float32."""
        assert dropout is None, "a joint prediction is not trained"
        return self.combined(self.generalist(x).float(), x)

    def combined(self, logits: Tensor, x: Tensor) -> Tensor:
        """The log of q, (B, S) float32, of the generalist's logits (B, S) and the inputs (B, *input_shape)."""
        log_p = logits.log_softmax(1)
        active = self.cover.to(x.device).active(log_p, self.options.top)
        some = active.any(1).nonzero().flatten()
        collected = Collected(log_p[some].exp(), len(self.specialists))
        for number, (specialist, classes) in enumerate(zip(self.specialists, self.classes, strict=True)):
            rows = active[some, number].nonzero().flatten()
            if len(rows):
                p = specialist(x[some[rows]]).float().softmax(1)
                collected.add(number, classes.to(x.device), rows, p)
        log_p[some] = joint(collected.evidence(), self.cover, self.options, log_p[some])
        return log_p

    def output_bias(self) -> Tensor:
        """There is none.

        Raises:
            Refusal: always.
        """
        raise Refusal("a joint prediction has no biases to correct", do="distill it, and correct the student's")


def read_specialists(folders: Sequence[Path], generalist: Path) -> list[dict[str, Any]]:
    """What the specialists' folders say of them.

    Raises:
        Refusal: they are of another generalist, of two kinds, or not of the same subsets; or there is none.
    """
    if not folders:
        raise Refusal("no specialist is named", where="kdasr joint", expected="one at least", do="train some first")
    infos = [io.read_info(folder, VERB) for folder in folders]
    fingerprint = io.fingerprint(generalist, *VERBS)
    for folder, info in zip(folders, infos, strict=True):
        do = "name the generalist whose weights they started from"
        io.expect_same("the specialist's generalist", fingerprint, info["generalist"], folder, do)
        io.expect_same("the kind of the specialists", infos[0]["kind"], info["kind"], folder, "name those of one kind")
        own, first = (each.get("subsets") for each in (info, infos[0]))
        do = "train all of one folder of subsets, and remove the folders of others"
        io.expect_same("the subsets that the specialists are of", first, own, folder, do)
    return infos


def put_together(generalist: Path, folders: Sequence[Path], options: InferOptions) -> Joint:
    """The joint model of a generalist's folder and specialists' folders."""
    infos, net = read_specialists(folders, generalist), models.load(generalist / "model.safetensors")
    subsets, kind = [info["subset"] for info in infos], infos[0]["kind"]
    nets = JointNets(**asdict(options), architecture=net.name, net=asdict(net.options), subsets=subsets, kind=kind)
    found = Joint(nets, net.input_shape, net.num_classes)
    found.generalist.load_state_dict(net.state_dict())
    for specialist, folder in zip(found.specialists, folders, strict=True):
        specialist.load_state_dict(models.load(folder / "model.safetensors").state_dict())
    return found


def make_joint(
    out: Path, generalist: Path, folders: Sequence[Path], source: Source, options: InferOptions, overwrite: bool
) -> None:
    """Writes the joint model of a generalist and its specialists into a folder, unless it is there.

    Args:
        out: the output.
        generalist: its folder.
        folders: the specialists'.
        source: the training set, for the priors that a decoder divides by.
        options: of inference.
        overwrite: as `io.begin`'s.

    Raises:
        Refusal: they do not belong together, or the set is none of theirs.
    """
    read_specialists(folders, generalist)
    prints = {f"specialist_{number}": io.fingerprint(folder, VERB) for number, folder in enumerate(folders)}
    inputs = {**source.fingerprints(), "generalist": io.fingerprint(generalist, *VERBS), **prints}
    if not io.begin(out, io.Made("joint", {"joint": options, source.section: source.options}, inputs), overwrite):
        return
    examples, model = source.open(), put_together(generalist, folders, options)
    examples.expect_model(io.read_info(generalist, *VERBS), str(generalist))
    models.save(out / "model.safetensors", model)
    io.save_tensors(out / "priors.safetensors", priors(model, examples, examples.pool(1.0, 0)))
    io.finish(out, model=model.describe(), **examples.facts(), labelling=examples.labelling, specialists=len(folders))
