"""Doubtful images, and the 2 that looks like a 3."""

import pytest
import torch

from kdasr import io
from kdasr.data.images import ImageExamples
from kdasr.distill.ensemble import Ensemble
from kdasr.distill.soft_targets import Maker, SoftTargets
from kdasr.distill.store import StoreOptions
from kdasr.report.examples import doubtful, draw_examples
from tests import images


@pytest.fixture
def examples(tmp_path):
    return ImageExamples(images.write_set(tmp_path / "set", 80, seed=1))


def stored(folder, examples, logits):
    every, _ = examples.batch(torch.arange(len(examples)))

    class Known(Ensemble):
        """A teacher whose logits are given."""

        def logits(self, x, members=None):
            return logits[[int((every == image).flatten(1).all(1).nonzero()[0]) for image in x]][None]

    io.begin(folder, io.Made("soft-targets", {}))
    maker = Maker(folder, Known([], mean="geometric"), examples, 8.0, StoreOptions(4, 1.0, 16))
    maker.finish(maker.write(range(maker.num_shards)))
    return folder


def of_class(examples, number, which):
    return int((examples.labels() == number).nonzero()[which])


def test_most_doubt_among_the_right_ones_and_for_a_2_the_most_of_a_3(examples, tmp_path):
    labels, logits = examples.labels(), torch.full((80, 4), -2.0)
    logits[range(80), labels] = 4.0
    wanted = [of_class(examples, number, 3) for number in range(4)]
    logits[wanted, (labels[wanted] + 1) % 4] = 3.0  # of the 2 this is a 3
    logits[of_class(examples, 2, 5), 0] = 3.9  # more doubt than any 2, but it looks like a 0
    logits[of_class(examples, 2, 0), 3] = 5.0  # looks like a 3 even more, but the teacher is wrong
    logits[of_class(examples, 2, 1), [1, 3]] = torch.tensor([5.0, 3.8])  # so is it here, if not by the 3
    folder = stored(tmp_path / "soft", examples, logits)
    assert doubtful(SoftTargets(folder, examples, 1.0), examples) == wanted


def test_a_class_that_is_never_right_has_no_example(examples, tmp_path):
    logits = torch.zeros(80, 4)
    logits[:, 1] = 1.0
    folder = stored(tmp_path / "soft", examples, logits)
    assert [int(examples.labels()[n]) for n in doubtful(SoftTargets(folder, examples, 1.0), examples)] == [1]


def test_they_are_drawn_at_1_and_20_whatever_was_stored(examples, tmp_path, monkeypatch):
    from matplotlib.figure import Figure

    drawn = []

    def save(figure, path, **_):
        drawn.append(figure)
        path.write_bytes(b"")

    monkeypatch.setattr(Figure, "savefig", save)
    logits = torch.zeros(80, 4)
    logits[range(80), examples.labels()] = 2.0
    draw_examples(tmp_path / "examples.png", examples, stored(tmp_path / "soft", examples, logits))
    rows = [drawn[0].axes[4 * row : 4 * row + 4] for row in range(3)]
    assert [axes.get_title() for axes in rows[0]] == ["0", "1", "2", "3"]
    assert [row[0].get_ylabel() for row in rows[1:]] == ["T = 1", "T = 20"]
    for row, temperature in zip(rows[1:], (1.0, 20.0), strict=True):
        heights = [bar.get_height() for bar in row[2].patches]
        expected = torch.softmax(torch.tensor([0.0, 0.0, 2.0, 0.0]) / temperature, 0)
        assert heights == pytest.approx(expected.tolist(), abs=1e-5)
