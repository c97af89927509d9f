"""Image sets: pixels and classes by number, the classes trained on, damage."""

import numpy as np
import pytest
import torch

from kdasr import io
from kdasr.data.images import IMAGES, LABELS, PART, ImageExamples, ImageOptions, ImageSource, write_images
from kdasr.refusal import Refusal
from tests import images


@pytest.fixture
def folder(tmp_path):
    return images.write_set(tmp_path / "set", 40, seed=1)


def test_a_batch_is_its_images_and_classes(folder):
    pictures, labels = images.pictures(40, 1)
    examples, index = ImageExamples(folder), torch.tensor([3, 39, 3])
    x, y = examples.batch(index)
    assert x.dtype == torch.float32 and y.dtype == torch.int64 and examples.input_shape == (8, 8)
    torch.testing.assert_close(x, torch.from_numpy(pictures[index.numpy()] / 255).float())
    assert y.tolist() == labels[index.numpy()].tolist() and len(examples) == 40
    assert examples.label_counts().tolist() == [10, 10, 10, 10]


def test_black_stays_black_and_all_pixels_have_one_deviation(folder):
    mean, deviation = ImageExamples(folder).statistics()
    x, _ = ImageExamples(folder).batch(torch.arange(40))
    assert torch.equal(mean, torch.zeros(8, 8))
    torch.testing.assert_close(deviation, x.std(unbiased=False).expand(8, 8))


def test_left_out_classes_are_not_trained_on_but_scored(folder):
    examples = ImageExamples(folder, ImageOptions(classes=(1, 3)))
    pool = examples.pool(1.0, 0)
    assert len(pool) == 20 and set(examples.labels().index_select(0, pool).tolist()) == {1, 3}
    assert len(examples) == 40 and len(examples.pool(0.5, 0)) < 20
    assert examples.facts() == ImageExamples(folder).facts()  # soft targets of all images serve it


def test_parts_cover_all_images(tmp_path):
    examples = ImageExamples(images.write_set(tmp_path / "set", PART + 7, seed=1))
    assert [(part.begin, part.num_frames) for part in examples.parts] == [(0, PART), (PART, 7)]
    assert examples.names(torch.tensor([PART, 2])) == ["000000", "001000"]


def test_a_source_opens_its_examples_and_names_its_content(folder):
    source = ImageSource(folder, ImageOptions((2,)))
    assert source.open().options.classes == (2,) and source.section == "images"
    assert source.fingerprints() == {"images": io.fingerprint(folder)}


def test_a_class_that_is_none_is_refused(folder):
    with pytest.raises(Refusal, match=r"images.classes: no such class .expected 0 to 3, found 4"):
        ImageExamples(folder, ImageOptions((4,)))


def test_missing_labels_are_refused(folder):
    io.save_array(folder / LABELS, np.zeros(39, np.uint8))
    with pytest.raises(
        Refusal, match=r"images are missing .expected 40, found 40 images, 39 labels.; delete the folder"
    ):
        ImageExamples(folder)


def test_truncated_images_are_refused(folder):
    content = (folder / IMAGES).read_bytes()
    (folder / IMAGES).write_bytes(content[:-10])
    with pytest.raises(Refusal, match="images.npy"):
        ImageExamples(folder)


def test_an_unfinished_folder_is_refused(tmp_path):
    io.begin(tmp_path / "set", io.Made("corpus", {}))
    with pytest.raises(Refusal, match="the folder is unfinished"):
        ImageExamples(tmp_path / "set")


def test_a_folder_says_how_many_of_each_class(tmp_path):
    io.begin(tmp_path / "set", io.Made("corpus", {}))
    info = write_images(tmp_path / "set", np.zeros((3, 4, 4), np.uint8), np.array([0, 2, 2], np.uint8), 3)
    assert info["class_counts"] == [1, 0, 2] and info["num_images"] == 3
