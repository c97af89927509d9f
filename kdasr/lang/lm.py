"""N-grams: their options, and reading of ARPA files with every check that later programs leave out."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
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
        vocabulary: most words, the most frequent ones of the text; 0 is all.
        prune: n-grams whose loss raises the perplexity of the text by less than this share are left out (Stolcke 1998;
            Kaldi's LibriSpeech has 1e-7 and 3e-7); 0 keeps all.
    """

    order: int = 2
    vocabulary: int = 0
    prune: float = 0.0

    def __post_init__(self) -> None:
        if not 1 <= self.order <= 5:
            raise ValueError(f"order must lie between 1 and 5, found {self.order}")
        if self.vocabulary < 0 or not 0 <= self.prune < 1:
            raise ValueError("vocabulary must not be negative, prune must lie between 0 and 1")


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
