"""Images that the teacher gets right, but doubts about, with their soft targets (section 3)."""

from __future__ import annotations

from pathlib import Path

import torch

from kdasr import io
from kdasr.data.examples import Examples
from kdasr.distill.soft_targets import SoftTargets
from kdasr.train.accuracy import BATCH

TEMPERATURES = (1.0, 20.0)
LOOKS_LIKE = {2: 3}  # the paper's example of what soft targets tell: a 2 that looks like a 3, and not like a 7


def draw_examples(path: str | Path, examples: Examples, soft_targets: Path) -> None:
    """Draws a doubtful image of each class, and its p_T at T = 1 and T = 20.

    Args:
        path: a PNG.
        examples: images.
        soft_targets: of these images, stored as logits, so that they serve any temperature.
    """
    from matplotlib.figure import Figure

    targets = [SoftTargets(soft_targets, examples, temperature) for temperature in TEMPERATURES]
    chosen = torch.tensor(doubtful(targets[0], examples))
    images, labels = examples.batch(chosen)
    figure = Figure(figsize=(1.4 * len(chosen), 1.5 * (1 + len(targets))), layout="constrained")
    axes = figure.subplots(1 + len(targets), len(chosen), squeeze=False)
    for column, label in enumerate(labels.tolist()):
        axes[0][column].imshow(images[column], cmap="gray_r")
        axes[0][column].set(xticks=[], yticks=[], title=str(label))
    for row, each in zip(axes[1:], targets, strict=True):
        row[0].set_ylabel(f"T = {each.temperature:g}")
        for plot, p in zip(row, each.batch(chosen).dense(), strict=True):
            plot.bar(range(examples.num_classes), p.tolist(), color="tab:red")
            plot.set(ylim=(0, 1 if each.temperature == 1 else None), xticks=range(examples.num_classes))
            plot.tick_params(labelsize=5)
    with io.atomic(path) as part_path:
        figure.savefig(part_path, format="png", dpi=120, metadata={"Software": None})


def doubtful(targets: SoftTargets, examples: Examples) -> list[int]:
    """For each class, the example that the teacher gets right with the most probability on another class.

    For 2 that other class is 3, as in the paper.

    Args:
        targets: p at T = 1.
        examples: whose targets they are.

    Returns:
        Numbers of examples, in the order of the classes; a class without examples has none.
    """
    labels = examples.labels().long()
    p = torch.cat([targets.batch(index).dense() for index in torch.arange(len(examples)).split(BATCH)])
    own = p.gather(1, labels[:, None]).squeeze(1)
    others = p.scatter(1, labels[:, None], 0.0)
    right = own > others.max(1).values
    chosen = []
    for number in range(examples.num_classes):
        like = LOOKS_LIKE.get(number, examples.num_classes)
        doubt = others[:, like] if like < examples.num_classes else others.max(1).values
        mine = (labels == number) & right
        chosen += [int(doubt.masked_fill(~mine, -1.0).argmax())] if mine.any() else []
    return chosen
