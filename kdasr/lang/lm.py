"""N-grams: trained on transcripts by kaldingram, or an ARPA file that the user gives."""

from __future__ import annotations

import math
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from kdasr import io
from kdasr.refusal import Refusal

ARPA = "lm.arpa"
ENDS = {"<s>": "begins", "</s>": "ends"}
LARGEST = 3.4e38  # of single precision: kaldilm reads no larger number, and no infinity


@dataclass(frozen=True)
class LmOptions:
    """Options of n-gram training.

    Attributes:
        order: 2 for a bigram. Smoothing is unmodified Kneser-Ney without count cut-offs (none for order 1).
    """

    order: int = 2

    def __post_init__(self) -> None:
        if not 1 <= self.order <= 5:
            raise ValueError(f"order must lie between 1 and 5, found {self.order}")


def train_ngram(texts: Sequence[str], out: str | Path, order: int) -> None:
    """Trains a Kneser-Ney n-gram and writes it as ARPA.

    Args:
        texts: sentences, words separated by spaces; those without words are passed over.
        out: ARPA file to write.
        order: n.

    Raises:
        Refusal: no text, or kaldingram failed.
    """
    sentences = [" ".join(text.split()) for text in texts if text.split()]
    if not sentences:
        raise Refusal("no words to train an n-gram on", where=out, do="name cuts with transcripts")
    if order == 1:  # kaldingram's unigrams give part of the probability to <s>, which never follows anything
        io.write_text(out, _unigram(sentences))
        return
    with tempfile.TemporaryDirectory() as folder, io.atomic(out) as part:
        text = Path(folder) / "text"
        text.write_text("".join(f"{line}\n" for line in sentences), encoding="utf-8")
        command = [sys.executable, "-m", "kaldingram.cli", "train", "--ngram-order", str(order)]
        run = subprocess.run([*command, "--text", str(text), "--lm", str(part)], capture_output=True, text=True)
        if run.returncode != 0:
            reason = (run.stderr.strip().splitlines() or ["no message"])[-1]
            raise Refusal(
                "kaldingram failed",
                where=out,
                found=reason,
                do="see that local/setup.sh installed it, or try a lower order: --set lm.order=1",
            )
        part.write_text(_with_full_histories(part.read_text(encoding="utf-8")), encoding="utf-8")


def _unigram(sentences: Sequence[str]) -> str:
    counts = Counter(word for sentence in sentences for word in [*sentence.split(), "</s>"])
    total = sum(counts.values())
    rows = [f"{math.log10(count / total):.7f}\t{word}\n" for word, count in counts.items()]
    return "".join([f"\\data\\\nngram 1={len(rows) + 1}\n\n\\1-grams:\n-99\t<s>\n", *rows, "\n\\end\\\n"])


def _with_full_histories(text: str) -> str:
    """Gives histories that every word follows what discounting took from them, and no way back to shorter histories.

    kaldingram leaves them short of 1 and with a back-off weight of 1, through which a graph would pass again.
    """
    lines, order, words = text.splitlines(), 0, 0
    place: dict[tuple[str, ...], int] = {}  # n-gram -> its line
    following: dict[tuple[str, ...], list[tuple[str, ...]]] = {}  # history -> n-grams that continue it, shortest first
    for number, line in enumerate(lines):
        fields = line.split()
        if section := re.fullmatch(r"\\(\d+)-grams:", line):
            order = int(section[1])
        elif order and len(fields) > order:
            ngram = tuple(fields[1 : order + 1])
            place[ngram] = number
            words += order == 1 and ngram != ("<s>",)
            following.setdefault(ngram[:-1], []).append(ngram)

    def total(ngrams: Iterable[tuple[str, ...]]) -> float:
        return sum(10 ** float(lines[place[ngram]].split()[0]) for ngram in ngrams)

    def set_back_off(history: tuple[str, ...], weight: float) -> None:
        lines[place[history]] = "\t".join([*lines[place[history]].split("\t")[:2], f"{weight:.7f}"])

    full = set()
    for history, ngrams in following.items():
        if history and len(ngrams) == words:
            full.add(history)
            missing = math.log10(total(ngrams))
            for ngram in ngrams:
                value, *rest = lines[place[ngram]].split("\t")
                lines[place[ngram]] = "\t".join([f"{float(value) - missing:.7f}", *rest])
            set_back_off(history, -99)
        elif history[1:] in full:  # what it backs off to has changed
            left, left_shorter = 1 - total(ngrams), 1 - total(ngram[1:] for ngram in ngrams)
            set_back_off(history, math.log10(max(left, 1e-99) / max(left_shorter, 1e-99)))
    return "\n".join(lines) + "\n"


def read_arpa(path: str | Path) -> str:
    r"""The text of an ARPA file from its `\data\` line on (what stands before is comment), checked line by line.

    kaldilm ends the whole process at a line that it cannot read, and takes a file with lines missing as it is.

    Args:
        path: ARPA file, unpacked where its name ends in `.gz`.

    Raises:
        Refusal: the file is absent, a damaged gzip file or no ARPA file, is cut off, lacks n-grams or has a line that
            is none.
    """
    path = Path(path)
    text = io.read_text(path, "ARPA file", "name an n-gram in ARPA format")
    lines = [line.strip() for line in text.splitlines()]
    if "\\data\\" not in lines:
        raise Refusal(
            "not an ARPA file", where=path, expected="a line \\data\\", found="none", do="name an n-gram in ARPA format"
        )
    begin = lines.index("\\data\\")
    if "\\end\\" not in lines[begin:]:
        raise Refusal(
            "the ARPA file is cut off", where=path, expected="a last line \\end\\", found="none", do="fetch it again"
        )
    end = lines.index("\\end\\", begin)
    _check_ngrams(lines[begin + 1 : end], path, begin + 2)
    return "\n".join(lines[begin : end + 1]) + "\n"


def unigrams(text: str) -> list[str]:
    """The words of an n-gram, in the text of `read_arpa`; the ends of a sentence are none."""
    rows = text.partition("\\1-grams:\n")[2].partition("\n\\")[0].splitlines()
    return [word for word in (row.split()[1] for row in rows if row) if word not in ENDS]


def _check_ngrams(lines: Sequence[str], path: Path, first: int) -> None:
    """Refuses a line that is no n-gram, a section of another size than declared, and a lack of `<s>` or `</s>`."""
    declared: dict[int, int] = {}
    found: Counter[int] = Counter()
    order, singles = 0, set[str]()
    for number, line in enumerate(lines, start=first):
        if size := re.fullmatch(r"ngram\s+(\d+)\s*=\s*(\d+)", line):
            declared[int(size[1])] = int(size[2])
        elif section := re.fullmatch(r"\\(\d+)-grams:", line):
            order = int(section[1])
        elif line:
            fields = line.split()
            numbers = [fields[0], *fields[order + 1 :]]
            sizes = (1, 2) if order < max(declared, default=0) else (1,)  # the longest n-grams are no history
            if not (order and len(fields) - order in sizes and all(map(_is_number, numbers))):
                words = f"log10 probability, {order} words" + (", back-off weight" if len(sizes) == 2 else "")
                expected = words if order else "ngram N=COUNT"
                raise Refusal("not a line of an ARPA file", where=f"{path}:{number}", expected=expected, found=line)
            found[order] += 1
            if order == 1:
                singles.add(fields[1])
    if {order: found[order] for order in declared | found} != declared:
        raise Refusal(
            "n-grams are missing from the ARPA file, or too many",
            where=path,
            expected=_sizes(declared),
            found=_sizes(found),
            do="fetch or make it again",
        )
    for symbol, does in ENDS.items():
        if symbol not in singles:
            raise Refusal(
                f"the n-gram never {does} a sentence", where=path, expected=f"a 1-gram {symbol}", found="none"
            )


def _is_number(field: str) -> bool:
    try:
        return abs(float(field)) <= LARGEST
    except ValueError:
        return False


def _sizes(counts: dict[int, int]) -> str:
    return ", ".join(f"{count} {order}-grams" for order, count in sorted(counts.items())) or "none"
