"""Kaldi's archives: matrices and vectors of integers by utterance, binary or text, gzipped or not, and their scp lists.

Every file is opened here, and kaldiio is given the open file: what stands in an scp or on the command line is a file's
name and never a command, and no reader that could unpickle is called.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import IO, Any

import numpy as np
from kaldiio import matio

from kdasr import io
from kdasr.corpora.kaldi import is_command, read_table, refuse_commands
from kdasr.refusal import Refusal

Read = Callable[[IO[bytes]], np.ndarray]
Write = Callable[[str, bytes], None]  # an utterance's id, and its value as it stands in a binary archive
DTYPES = ("float16", "float32")
BINARY = b"\0B"
PLACE = re.compile(r"(?P<file>.*?)(?::(?P<offset>\d+))?")
MATERIALISE = "write them as files: copy-feats (of alignments copy-int-vector), and name those"
WRITE_AGAIN = "write the archive again, with Kaldi's copy-feats or copy-int-vector"


@dataclass(frozen=True)
class ArchiveOptions:
    """Options of features out of archives.

    Attributes:
        frame_shift: seconds between frames; archives do not tell it.
        dtype: of the table, float16 or float32.
        max_bad: utterances that may be set aside: a share below 1, a count from 1 on.
    """

    frame_shift: float = 0.01
    dtype: str = "float32"
    max_bad: float = 0.01

    def __post_init__(self) -> None:
        if self.dtype not in DTYPES:
            raise ValueError(f"dtype must be one of {', '.join(DTYPES)}, found {self.dtype}")
        if self.frame_shift <= 0:
            raise ValueError(f"frame_shift is in seconds, above 0, found {self.frame_shift}")


def matrices(places: Sequence[str]) -> Iterator[tuple[str, np.ndarray]]:
    """Id and matrix, (T, D) float32 or float64, of every utterance; compressed ones are unpacked.

    Args:
        places: archives, or `.scp` lists of places in them.

    Raises:
        Refusal: a command in a file's place, no such file, damage, another kind of value, or two values of one id.
    """
    return _entries(places, _matrix)


def integers(places: Sequence[str]) -> Iterator[tuple[str, np.ndarray]]:
    """Id and vector of integers, (T,), of every utterance; otherwise as `matrices`."""
    return _entries(places, _integers)


def fingerprint(places: Sequence[str]) -> str:
    """Content hash of lists and of all archives that they name. Raises Refusal as `matrices` for what is not there."""
    digest = hashlib.sha256()
    for place in places:
        named = [place, *sorted({file for file, _ in _list(Path(place)).values()})] if _is_list(place) else [place]
        for file in named:
            with _opened(file, place):  # the refusal of an absent one
                digest.update(f"{io.file_hash(file)}\n".encode())
    return digest.hexdigest()[:16]


def _entries(places: Sequence[str], read: Read) -> Iterator[tuple[str, np.ndarray]]:
    seen: set[str] = set()
    for place in places:
        for id, value in _listed(Path(place), read) if _is_list(place) else _whole(place, read):
            if id in seen:
                raise Refusal("two values of an utterance", where=place, found=id, do="name each archive once")
            seen.add(id)
            yield id, value


def _is_list(place: str) -> bool:
    if is_command(place):
        what = "a command, which kdasr never runs"
        raise Refusal(what, where=place, expected="an archive or an scp file", do=MATERIALISE)
    return place.endswith(".scp")


def _whole(path: str, read: Read) -> Iterator[tuple[str, np.ndarray]]:
    """The entries of an archive, `ID VALUE` one after the other."""
    with _opened(path, path) as file:
        while (id := _guarded(file, _token, path, "the next id")) is not None:
            yield id, _guarded(file, read, path, id)


def _listed(path: Path, read: Read) -> Iterator[tuple[str, np.ndarray]]:
    """The entries of an scp file; an archive stays open while the lines name it."""
    with ExitStack() as stack:
        current: tuple[str, IO[bytes]] | None = None
        for id, (name, offset) in _list(path).items():
            if current is None or current[0] != name:
                stack.close()
                current = name, stack.enter_context(_opened(name, path))
            yield id, _guarded(current[1], partial(_at, read, offset), name, id)


def _at(read: Read, offset: int, file: IO[bytes]) -> np.ndarray:
    file.seek(offset)  # a gzipped file is unpacked up to there
    return read(file)


def _list(path: Path) -> dict[str, tuple[str, int]]:
    """Id -> file, and where in it the value begins."""
    table = read_table(path, "name an archive or an scp file")
    refuse_commands(table, path, MATERIALISE)
    found: dict[str, tuple[str, int]] = {}
    for id, value in table.items():
        match = PLACE.fullmatch(value)
        if match is None or not match["file"] or value.endswith("]"):
            expected = "ID FILE or ID FILE:OFFSET"
            raise Refusal("no place of a value", where=path, expected=expected, found=f"{id} {value}", do=MATERIALISE)
        found[id] = match["file"], int(match["offset"] or 0)
    return found


@contextmanager
def _opened(name: str, where: str | Path) -> Iterator[Any]:
    if not os.path.isfile(name):
        if os.path.exists(name):  # what comes out of a pipe cannot be read twice: for the hash, and for the values
            raise Refusal("no file, but a folder, pipe or device", where=where, found=name, do=MATERIALISE)
        do = "correct the path; those in an scp file begin in the working directory, as Kaldi has it"
        raise Refusal("no such archive", where=where, found=name, do=do)
    with gzip.open(name) if name.endswith(".gz") else open(name, "rb") as file:
        yield file


def _guarded(file: IO[bytes], read: Callable[[IO[bytes]], Any], path: str, what: str) -> Any:
    try:
        return read(file)
    except Exception as error:  # kaldiio, numpy and gzip raise a dozen types over foreign bytes
        found = " ".join(f"{type(error).__name__} {error}".split())[:200]
        where = f"{path}, {what}"
        raise Refusal("damaged, cut off or of another kind", where=where, found=found, do=WRITE_AGAIN) from None


def _token(file: IO[bytes]) -> str | None:
    """The next id; None at the end."""
    id: str | None = matio.read_token(file)
    if id is not None and id.split() != [id]:
        raise ValueError(f"no id but {id[:20]!r}")
    return id


def _is_binary(file: Any) -> bool:
    return bool(file.peek(1)[:1] == BINARY[:1])


class _Exact:
    """A file that gives all bytes that are asked for, or fails: of a negative number files give all that they have."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file = file

    def read(self, count: int) -> bytes:
        """The next bytes."""
        found = self.file.read(max(count, 0))
        if len(found) != count:
            raise EOFError(f"{count} bytes expected, found {len(found)}")
        return found


def _matrix(file: IO[bytes]) -> np.ndarray:
    value = np.asarray(matio.read_matrix_or_vector(_Exact(file)) if _is_binary(file) else _text_matrix(file))
    if value.ndim != 2:
        raise ValueError(f"a vector of {len(value)} numbers in place of a matrix")
    return value


def _integers(file: IO[bytes]) -> np.ndarray:
    if _is_binary(file):
        return np.asarray(matio.read_int32vector(_Exact(file)))
    return np.array([int(word) for word in _line(file).split()], np.int64)


def _text_matrix(file: IO[bytes]) -> np.ndarray:
    """`[`, a line of numbers a frame, `]`; kaldiio takes one that begins with a whole number for integers."""
    lines = [_line(file)]
    while b"]" not in lines[-1]:
        lines.append(_line(file))
    rows = b"".join(lines).decode().strip().removeprefix("[").removesuffix("]").split("\n")
    values = [[float(word) for word in row.split()] for row in rows if row.strip()]
    return np.array(values or np.zeros((0, 0)), np.float32)


def _line(file: IO[bytes]) -> bytes:
    line = file.readline()
    if not line.endswith(b"\n"):
        raise EOFError("the last line is cut off")
    return line


@contextmanager
def written(folder: Path, name: str) -> Iterator[Write]:
    """Writes `NAME.ark` and, of the places in it, `NAME.scp`, both whole or not at all.

    Raises:
        Refusal: of an id that has spaces, which Kaldi's cannot have.
    """
    path, lines = (folder / f"{name}.ark").absolute(), list[str]()
    with io.atomic(path) as part, open(part, "wb") as file:

        def write(id: str, value: bytes) -> None:
            if id.split() != [id]:
                raise Refusal("an id with spaces cannot be written for Kaldi", found=repr(id), do="rename the cut")
            file.write(f"{id} ".encode())
            lines.append(f"{id} {path}:{file.tell()}\n")
            file.write(value)

        yield write
    io.write_text(folder / f"{name}.scp", "".join(lines))


def matrix_value(matrix: np.ndarray) -> bytes:
    """A matrix (T, D) float32 as it stands in a binary archive."""
    buffer = BytesIO()
    matio.write_array(buffer, matrix)
    return buffer.getvalue()


def posterior_value(counts: np.ndarray, pdfs: np.ndarray, weights: np.ndarray) -> bytes:
    """What Kaldi calls a posterior, of each frame some pdfs with weights, as it stands in a binary archive.

    Args:
        counts: pdfs of each frame, (T,).
        pdfs: of all frames, one after the other, (E,).
        weights: theirs, (E,).
    """
    pairs = np.zeros(len(pdfs), [("four", "u1"), ("pdf", "<i4"), ("again", "u1"), ("weight", "<f4")])
    pairs["four"], pairs["again"], pairs["pdf"], pairs["weight"] = 4, 4, pdfs, weights  # each number after its size
    sizes = np.zeros(len(counts) + 1, [("four", "u1"), ("size", "<i4")])
    sizes["four"], sizes["size"][0], sizes["size"][1:] = 4, len(counts), counts
    frames = np.split(pairs, np.cumsum(counts)[:-1]) if len(counts) else []
    parts = [part for size, frame in zip(sizes[1:], frames, strict=True) for part in (size.tobytes(), frame.tobytes())]
    return b"".join([BINARY, sizes[0].tobytes(), *parts])
