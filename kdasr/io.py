"""Files between stages: atomic writes, content hashes, and folders that say what made them.

An output folder begins with `making.json` (what is being made, of what) and ends with `info.json`
(the same, what came out, and a fingerprint of the content). A folder with `info.json` is whole.
"""

from __future__ import annotations

import errno
import gzip
import hashlib
import json
import os
import re
import shutil
import time
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.lib import format as npy_format
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from kdasr import lock, log, memory
from kdasr.differences import first_difference, option_difference, plain
from kdasr.refusal import Refusal

MAKING, INFO = lock.MAKING, "info.json"
# They tell of the way, not of the result:
UNHASHED = (MAKING, INFO, "metrics.jsonl", "checkpoint.safetensors", "time.json")
UNHASHED_FOLDERS = ("tensorboard", "log", "lhotse")  # lhotse: cuts with features attached, which name places
LEFT = ".tmp*"  # what safetensors was writing when it was killed; it writes beside the file that it is given
_begun: dict[Path, float] = {}  # folder: when this process opened it
AGAIN = "delete the folder and make it again"  # what is to be done about damage


@contextmanager
def atomic(path: str | Path) -> Iterator[Path]:
    """Yields a `.part` path to write to; on success it is synced and renamed to `path`, on failure removed.

    Raises:
        OSError: the disk is full or the like; with `errno` and `filename`, whichever library wrote.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    try:
        yield part
        with open(part, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(part, path)
        _sync_folder(path.parent)
    except (OSError, SafetensorError) as error:
        told = _as_os_error(error, path)
        if told is None:
            raise
        raise told from error
    finally:
        part.unlink(missing_ok=True)


def _as_os_error(error: OSError | SafetensorError, path: Path) -> OSError | None:
    """What the libraries leave out: numpy the number of a short write, safetensors the type, all the file's name."""
    if isinstance(error, OSError):
        if error.errno and error.filename:
            return None
        number = error.errno or errno.ENOSPC  # numpy says only "n requested and m written"
    elif found := re.search(r"os error (\d+)", str(error)):
        number = int(found[1])
    else:
        return None
    return OSError(number, os.strerror(number), str(path))


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_text(path: str | Path, text: str) -> None:
    """Writes `text` atomically."""
    with atomic(path) as part:
        part.write_text(text, encoding="utf-8")


def read_text(path: str | Path, kind: str = "file", do: str = "correct the path") -> str:
    """Reads a text file in UTF-8.

    Args:
        path: the file; unpacked where its name ends in `.gz`.
        kind: what messages call it.
        do: the way out when there is none.

    Raises:
        Refusal: it is absent, in another encoding, or a damaged gzip file.
    """
    opener = gzip.open if str(path).endswith(".gz") else open
    try:
        with opener(path, "rt", encoding="utf-8-sig") as file:  # Windows begins texts with a mark
            return str(file.read())
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise Refusal("damaged gzip file", where=path, found=str(error), do="fetch or make it again") from None
    except (FileNotFoundError, IsADirectoryError):
        raise Refusal(f"no such {kind}", where=path, do=do) from None
    except UnicodeDecodeError as error:
        what, do = f"the {kind} is not a text file", "unpack it or convert it"
        raise Refusal(what, where=path, expected="UTF-8", found=str(error), do=do) from None


def write_json(path: str | Path, value: object) -> None:
    """Writes `value` (JSON types, dataclasses, paths) atomically, indented, keys in the given order."""
    write_text(path, json.dumps(plain(value), indent=2, ensure_ascii=False) + "\n")


def read_json(path: str | Path) -> Any:
    """Reads a JSON file. Raises Refusal if it is absent or damaged."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise Refusal("no such file", where=path) from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise Refusal("damaged JSON", where=path, found=str(error), do=AGAIN) from None


def save_array(path: str | Path, array: np.ndarray) -> None:
    """Writes one array as `.npy`, atomically."""
    with atomic(path) as part, open(part, "wb") as file:
        np.save(file, array, allow_pickle=False)


def map_array(path: str | Path) -> np.ndarray:
    """Memory-maps a `.npy` file, read-only. Raises Refusal if it is absent, foreign or truncated."""
    path = Path(path)
    try:
        with open(path, "rb") as file:
            version = npy_format.read_magic(file)  # type: ignore[no-untyped-call]
            read = npy_format.read_array_header_1_0 if version == (1, 0) else npy_format.read_array_header_2_0
            shape, _, dtype = read(file)  # type: ignore[no-untyped-call]
            expected, found = file.tell() + int(np.prod(shape)) * dtype.itemsize, path.stat().st_size
    except FileNotFoundError:
        raise Refusal("no such file", where=path, do=AGAIN) from None
    except ValueError as error:
        raise Refusal("not an array file", where=path, found=str(error), do=AGAIN) from None
    if expected != found:
        raise Refusal(
            "truncated array",
            where=path,
            expected=f"{expected} bytes for shape {tuple(shape)} {dtype}",
            found=f"{found} bytes",
            do=AGAIN,
        )
    array = np.load(path, mmap_mode="r" if np.prod(shape) else None, allow_pickle=False)
    assert isinstance(array, np.ndarray)
    return array


def save_tensors(path: str | Path, tensors: Mapping[str, torch.Tensor], metadata: object = None) -> None:
    """Writes named tensors and JSON metadata into one safetensors file, atomically."""
    contiguous = {name: tensor.detach().contiguous() for name, tensor in tensors.items()}
    with atomic(path) as part:
        save_file(contiguous, part, {"json": json.dumps(plain(metadata))})


def load_tensors(path: str | Path) -> tuple[dict[str, torch.Tensor], Any]:
    """Reads what `save_tensors` wrote: tensors on the CPU and the metadata. Raises Refusal if absent or damaged."""
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (no mapping)
            return tensors, json.loads((file.metadata() or {}).get("json", "null"))
    except FileNotFoundError:
        raise Refusal("no such file", where=path) from None
    except (SafetensorError, json.JSONDecodeError) as error:
        raise Refusal("damaged or foreign tensor file", where=path, found=str(error), do=AGAIN) from None


def file_hash(path: str | Path) -> str:
    """SHA-256 (hex, 16 digits) of a file's content, unpacked where it is gzipped: packing carries a date.

    Raises:
        Refusal: a `.gz` file is damaged.
    """
    digest = hashlib.sha256()
    opener = gzip.open if str(path).endswith(".gz") else open
    try:
        with opener(path, "rb") as file:
            while block := file.read(1 << 22):
                digest.update(block)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise Refusal("damaged gzip file", where=path, found=str(error), do="fetch or make it again") from None
    return digest.hexdigest()[:16]


def results(folder: str | Path) -> list[Path]:
    """Names of all result files below `folder`, sorted: logs, marks and checkpoints are none."""
    names = sorted(path.relative_to(folder) for path in Path(folder).rglob("*") if path.is_file())
    kept = (name for name in names if name.name not in UNHASHED and not name.name.endswith(".part"))
    return [name for name in kept if name.parts[0] not in UNHASHED_FOLDERS]


def folder_hash(folder: str | Path) -> str:
    """Hash of names and contents of all result files below `folder`."""
    digest = hashlib.sha256()
    for name in results(folder):
        digest.update(f"{name.as_posix()} {file_hash(Path(folder) / name)}\n".encode())
    return digest.hexdigest()[:16]


def copy_results(folder: str | Path, out: str | Path) -> None:
    """Copies a finished folder's result files and its `info.json`, each atomically."""
    for name in (*results(folder), Path(INFO)):
        with atomic(Path(out) / name) as part:
            shutil.copyfile(Path(folder) / name, part)


def fingerprint(path: str | Path, *verbs: str) -> str:
    """Content hash of an input: a finished folder's own fingerprint, or the hash of a file's content.

    Args:
        path: folder or file.
        verbs: those that a folder may be made by; none named: any.
    """
    path = Path(path)
    if path.is_dir():
        found: str = read_info(path, *verbs)["fingerprint"]
        return found
    if not path.exists():
        raise Refusal("no such file or folder", where=path, do="run the stage that makes it")
    return file_hash(path)


@dataclass(frozen=True)
class Made:
    """What makes a folder: the verb, its resolved options, and its inputs (name -> fingerprint)."""

    verb: str
    options: Any
    inputs: Mapping[str, str] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """The record as it stands in `making.json` and `info.json`."""
        record: dict[str, Any] = plain({"verb": self.verb, "options": self.options, "inputs": self.inputs})
        return record

    def difference(self, record: Mapping[str, Any]) -> tuple[str, Any, Any] | None:
        """The first key path at which a folder's record says that something else made it, with both values."""
        verb = first_difference(record.get("verb"), self.verb, "verb")
        options = option_difference(record.get("options"), self.options, "options")
        return verb or options or first_difference(record.get("inputs"), plain(self.inputs), "inputs")


def begin(folder: str | Path, made: Made, overwrite: bool = False) -> bool:
    """Opens an output folder; False when it is already whole and up to date.

    A folder begun with the same options and inputs is gone on with (its finished parts are the verb's to use); one that
    was begun and holds nothing yet may become anything. Other processes are kept out until `finish`, or waited for.

    Args:
        folder: the output.
        made: what makes it.
        overwrite: removes what other options or inputs made; the same are gone on with, or up to date. A folder that
            was damaged by hand is not noticed here: delete it.

    Raises:
        Refusal: the folder was made, or begun, otherwise (names the first difference), is not ours, or cannot be made.
    """
    folder, begun = Path(folder), False
    lock.hold(folder)
    try:
        begun = not _is_up_to_date(folder, made, overwrite)
        if begun:
            for left in folder.glob(LEFT):
                left.unlink()
            write_json(folder / MAKING, made.as_json())
            _begun[folder.resolve()] = time.perf_counter()
    finally:
        if not begun:
            lock.release(folder)
    return begun


def _is_up_to_date(folder: Path, made: Made, overwrite: bool) -> bool:
    """Whether a folder is whole; what may not stay in it is removed or refused."""
    mark = next((mark for mark in (folder / INFO, folder / MAKING) if mark.exists()), None)
    content = {path.name for path in folder.iterdir()} - {MAKING, f"{MAKING}.part"}
    if mark is None and content:
        raise Refusal("the output folder holds files that kdasr did not make", where=folder, do="name another folder")
    if mark is None or not content:
        return False
    difference = made.difference(_read_record(mark))
    if difference and overwrite:
        _clear(folder)
        return False
    if difference:
        name, found, expected = difference
        raise Refusal(
            f"made with another {name}",
            where=folder,
            expected=expected,
            found=found,
            do="add --overwrite to make it again, or name another folder",
        )
    if mark.name == INFO:
        log.event(f"{folder}: up to date")
    return mark.name == INFO


def _clear(folder: Path) -> None:
    """Empties a folder but for a mark, so that after a kill it is still ours; the folder stays, and so its lock."""
    if (folder / INFO).exists():
        os.replace(folder / INFO, folder / MAKING)
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path.name != MAKING:
            path.unlink()


def finish(folder: str | Path, **facts: Any) -> dict[str, Any]:
    """Marks a folder as whole: hashes it, writes `info.json`, drops `making.json`, lets others in; returns the info.

    The info tells, and so does the log, the most memory that the process held so far, and the largest of its workers;
    and the seconds since this process opened the folder, without those of a run before that was killed.
    """
    folder, peak, workers = Path(folder), memory.peak(), memory.peak_of_workers()
    begun = _begun.pop(folder.resolve(), None)
    info = {
        **read_json(folder / MAKING),
        **plain(facts),
        "fingerprint": folder_hash(folder),
        **({} if begun is None else {"wall_seconds": round(time.perf_counter() - begun, 1)}),
        "peak_memory_gib": {"process": round(peak, 3), "worker": round(workers, 3)},
        "environment": log.environment(),
    }
    write_json(folder / INFO, info)
    (folder / MAKING).unlink()
    lock.release(folder)
    log.event(f"{folder}: peak memory {peak:.2f} GiB" + (f", {workers:.2f} of a worker" if workers else ""))
    return info


def read_info(folder: str | Path, *verbs: str) -> dict[str, Any]:
    """The `info.json` of a whole folder.

    Args:
        folder: made by `kdasr`.
        verbs: those that may have made it, by their first word; none named: any.

    Raises:
        Refusal: the folder is absent or unfinished, its record is damaged, or another verb made it.
    """
    folder = Path(folder)
    if not (folder / INFO).exists():
        state = "unfinished" if (folder / MAKING).exists() else "not made by kdasr" if folder.exists() else "absent"
        raise Refusal(f"the folder is {state}", where=folder, expected=INFO, do="run the stage that makes it")
    info = _read_record(folder / INFO)
    if verbs and info["verb"].split()[0] not in verbs:
        expected = f"one made by {' or '.join(f'`kdasr {verb}`' for verb in verbs)}"
        found = f"one made by `kdasr {info['verb'].split()[0]}`"
        raise Refusal("a folder of another kind", where=folder, expected=expected, found=found, do="correct the path")
    return info


def _read_record(path: Path) -> dict[str, Any]:
    """What a mark says."""
    record, wanted = read_json(path), ["verb", "options", "inputs", *(["fingerprint"] if path.name == INFO else [])]
    if not (isinstance(record, dict) and record.keys() >= set(wanted)):
        raise Refusal("damaged record", where=path, expected=f"a table of {', '.join(wanted)}", do=AGAIN)
    return record


def expect_same(what: str, expected: object, found: object, where: str | Path, do: str) -> None:
    """Refuses a mismatch between what a folder says of itself and what its consumer holds; of tables, by one entry."""
    if difference := first_difference(expected, found):
        name, expected, found = difference
        what = f"{name} of {what}" if name else what
        raise Refusal(f"{what} does not match", where=where, expected=expected, found=found, do=do)
