"""Where a corpus is looked for: `--corpus`, `$KDASR_DATA`, data beside the checkout, its public home."""

from __future__ import annotations

import hashlib
import http.client
import os
import tarfile
import urllib.request
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import kdasr
from kdasr import io, log
from kdasr.refusal import Refusal

DATA = "KDASR_DATA"
BESIDE = Path(kdasr.__file__).resolve().parents[2] / "shared" / "data"
SECONDS_WITHOUT_AN_ANSWER = 30
BLOCK = 1 << 20  # bytes of a download that are read at once


@dataclass(frozen=True)
class Home:
    """A corpus's public archive.

    Attributes:
        url: of a `.tar.gz`.
        sha256: the archive's, each one ever published; empty where none is known (then counts decide).
    """

    url: str
    sha256: tuple[str, ...] = ()


def locate(
    name: str, corpus: Path | None, holds: Callable[[Path], bool], home: Home, into: Path, title: str = ""
) -> Path:
    """Finds a corpus, or downloads it.

    Args:
        name: its name: the folder of `$KDASR_DATA` and of the data beside the checkout.
        corpus: the folder the user named; nothing else is tried then.
        holds: whether a folder is this corpus.
        home: its public archive.
        into: where a download is unpacked.
        title: what messages call it, where it is only a part of a corpus.

    Returns:
        The folder for which `holds` is true: one of those named above, or its subfolder `name`.

    Raises:
        Refusal: `corpus` is not this corpus, or none of the four places has it (the line names all four).
    """
    title = title or f"corpus {name}"
    if found := look(name, corpus, holds):
        return found
    if corpus is not None:
        raise _not_named(corpus, title)
    try:
        _download(name, home, into)
        if found := _inside(into, name, holds):
            return found
        reason = "the archive is not this corpus"
    except (OSError, EOFError, zlib.error, http.client.HTTPException, tarfile.TarError) as error:
        reason = str(getattr(error, "reason", error))
    environment = os.environ.get(DATA)
    variable = f"${DATA} ({Path(environment) / name if environment else 'not set'})"
    tried = f"--corpus (not given), {variable}, {BESIDE / name}, {home.url} ({reason})"
    raise Refusal(
        f"{title} is in none of its four places: {tried}",
        do=f"unpack {home.url} and name its folder: --corpus DIR",
    )


def look(name: str, corpus: Path | None, holds: Callable[[Path], bool]) -> Path | None:
    """The folder of a corpus among the places on this machine (see `locate`), or None."""
    environment = os.environ.get(DATA)
    usual = [*([Path(environment) / name] if environment else []), BESIDE / name]
    places = usual if corpus is None else [corpus]
    return next((found for place in places if (found := _inside(place, name, holds))), None)


def _not_named(corpus: Path, title: str) -> Refusal:
    found = "other files" if corpus.is_dir() else "no such folder"
    return Refusal(
        f"not the {title}",
        where=f"--corpus {corpus}",
        found=found,
        do="correct the path, or leave --corpus out to have it looked for",
    )


def _inside(place: Path, name: str, holds: Callable[[Path], bool]) -> Path | None:
    return next((folder for folder in (place, place / name) if folder.is_dir() and holds(folder)), None)


def _download(name: str, home: Home, into: Path) -> None:
    if not io.begin(into, io.Made("corpus download", home)):
        return
    archive = into.with_name(into.name + ".tar.gz")
    log.event(f"{name}: downloading {home.url}")
    with (
        urllib.request.urlopen(home.url, timeout=SECONDS_WITHOUT_AN_ANSWER) as answer,
        io.atomic(archive) as part,
        open(part, "wb") as file,
    ):
        length = int(answer.headers.get("Content-Length") or 0)
        for block in log.progress(iter(partial(answer.read, BLOCK), b""), name, -(-length // BLOCK) or None, "MiB"):
            file.write(block)
    _check_sum(archive, home)
    _unpack(archive, into)
    archive.unlink()
    io.finish(into)


def _check_sum(archive: Path, home: Home) -> None:
    with open(archive, "rb") as file:
        digest = hashlib.sha256()
        while block := file.read(BLOCK):
            digest.update(block)
    if home.sha256 and digest.hexdigest() not in home.sha256:
        archive.unlink()
        raise Refusal(
            "checksum of the download",
            where=home.url,
            expected=" or ".join(home.sha256),
            found=digest.hexdigest(),
            do="try again, or name an unpacked copy: --corpus DIR",
        )


def _unpack(archive: Path, into: Path) -> None:
    with tarfile.open(archive) as tar:
        members = [member for member in tar.getmembers() if member.isfile() or member.isdir()]
        for member in members:  # an archive may not write outside its folder
            if Path(member.name).is_absolute() or ".." in Path(member.name).parts:
                raise Refusal(
                    "the archive reaches outside its folder",
                    where=archive,
                    found=member.name,
                    do="do not use it",
                )
        tar.extractall(into, log.progress(members, f"unpacking {archive.name}", unit="file"))
