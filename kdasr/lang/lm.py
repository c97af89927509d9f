"""N-grams: trained on transcripts by kaldingram, or an ARPA file that the user gives."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from kdasr import io
from kdasr.refusal import Refusal

ARPA = "lm.arpa"


@dataclass(frozen=True)
class LmOptions:
    """Options of n-gram training.

    Attributes:
        order: 2 for a bigram. Smoothing is unmodified Kneser-Ney without count cut-offs.
    """

    order: int = 2

    def __post_init__(self) -> None:
        if not 1 <= self.order <= 5:
            raise ValueError(f"order must lie between 1 and 5, found {self.order}")


def train_ngram(texts: Sequence[str], out: str | Path, order: int) -> None:
    """Trains a Kneser-Ney n-gram and writes it as ARPA.

    Args:
        texts: sentences, words separated by spaces.
        out: ARPA file to write.
        order: n.

    Raises:
        Refusal: no text, or kaldingram failed.
    """
    if not any(text.split() for text in texts):
        raise Refusal("no words to train an n-gram on", where=out, do="name cuts with transcripts")
    with tempfile.TemporaryDirectory() as folder, io.atomic(out) as part:
        text = Path(folder) / "text"
        text.write_text("".join(f"{line}\n" for line in texts), encoding="utf-8")
        command = [sys.executable, "-m", "kaldingram.cli", "train", "--ngram-order", str(order)]
        run = subprocess.run(
            [*command, "--text", str(text), "--lm", str(part)], capture_output=True, text=True
        )
        if run.returncode != 0:
            reason = (run.stderr.strip().splitlines() or ["no message"])[-1]
            raise Refusal(
                "kaldingram failed", where=out, found=reason, do="try a lower order: --set lm.order=1"
            )


def copy_arpa(source: str | Path, out: str | Path) -> None:
    """Takes a given ARPA file over, from its `\\data\\` line on (what stands before is comment).

    Raises:
        Refusal: the file is absent, is no ARPA file, or is cut off.
    """
    try:
        text = Path(source).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise Refusal("no such ARPA file", where=source) from None
    except UnicodeDecodeError as error:
        raise Refusal(
            "not a text file", where=source, expected="an ARPA file in UTF-8", found=str(error)
        ) from None
    lines = text.splitlines()
    starts = [number for number, line in enumerate(lines) if line.strip() == "\\data\\"]
    if not starts:
        raise Refusal("not an ARPA file", where=source, expected="a line \\data\\", found="none")
    if not any(line.strip() == "\\end\\" for line in lines[starts[0] :]):
        raise Refusal("the ARPA file is cut off", where=source, expected="a last line \\end\\", found="none")
    io.write_text(out, "\n".join(lines[starts[0] :]) + "\n")
