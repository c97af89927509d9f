"""Fenced blocks of the documents, what is said of them in a comment before, and how those of commands are run.

A document is a session that begins in the root of the checkout; a block goes on in the folder where the one before it
ended. Blocks of `sh` and `python` are run, those of `yaml` are settings, those of `text` show what a program prints. A
comment in the line before a block says what is different:

    <!-- run: full -->            only by `local/check.sh --full`
    <!-- run: in egs/digits -->   begins in this folder of the checkout
    <!-- run: exit 1 -->          is refused
    <!-- not run: REASON -->      cannot be run by a test
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
LANGUAGES = {"sh", "python", "yaml", "text"}
FENCED = re.compile(r"(?:^<!-- ((?:not )?run: [^\n]*?) -->\n)?^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A fenced block.

    Attributes:
        place: document and line, for messages.
        language: after the fence.
        text: its lines.
        reason: why it is not run; empty where it is.
        full: it takes long.
        folder: where it begins, relative to the checkout; None goes on where the last one ended.
        status: exit status.
    """

    place: str
    language: str
    text: str
    reason: str = ""
    full: bool = False
    folder: str | None = None
    status: int = 0

    @property
    def runs(self) -> bool:
        return self.language in ("sh", "python") and not self.reason


def read(document: Path) -> list[Block]:
    """The blocks of a document.

    Raises:
        ValueError: a mark says nothing that is known.
    """
    content = document.read_text()
    return [_block(document, content, match) for match in FENCED.finditer(content)]


def _block(document: Path, content: str, match: re.Match[str]) -> Block:
    mark, language, text = match[1] or "", match[2], match[3]
    place = f"{document.name}:{content[: match.start(2)].count(chr(10)) + 1}"
    if mark.startswith("not run: "):
        return Block(place, language, text, reason=mark.removeprefix("not run: "))
    full, folder, status = False, None, 0
    for word in mark.removeprefix("run: ").split(", ") if mark else []:
        if word == "full":
            full = True
        elif word.startswith("in "):
            folder = word.removeprefix("in ")
        elif re.fullmatch(r"exit \d", word):
            status = int(word.removeprefix("exit "))
        else:
            raise ValueError(f"{place}: the mark {word!r} is not known")
    return Block(place, language, text, full=full, folder=folder, status=status)


def run(document: Path, checkout: Path, full: bool) -> list[str]:
    """Runs a document's blocks in a checkout; what failed, in words, the last line telling the seconds of each."""
    where, failed, took = checkout, [], []
    for block in read(document):
        if not block.runs or (block.full and not full):
            continue
        if block.folder is not None:
            where = checkout / block.folder
        began = time.monotonic()
        status, output, where = _run(block, checkout, where)
        took.append(f"{block.place} {time.monotonic() - began:.0f} s")
        if status != block.status:
            failed.append(f"{block.place}: exit status {status}, not {block.status}\n{block.text}{output[-3000:]}")
            break  # what follows would fail for the same reason
    print(", ".join(took))
    return failed


def _run(block: Block, checkout: Path, where: Path) -> tuple[int, str, Path]:
    """Exit status, output and the folder that the block ended in; what it left running is ended."""
    ended = checkout / ".ended_in"
    code = block.text if block.language == "sh" else f"python - <<'PYTHON'\n{block.text}PYTHON\n"
    script = f"trap 'pwd > {ended}' EXIT\n{code}"
    environment = {**os.environ, "PYTHONPATH": str(checkout), "OMP_NUM_THREADS": "1"}
    with open(checkout / ".output", "w+") as output:
        process = subprocess.Popen(
            ["bash", "-e", "-c", script],
            cwd=where,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
        status = process.wait()
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        output.seek(0)
        return status, output.read(), Path(ended.read_text().strip())
