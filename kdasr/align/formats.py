"""Timings on disk: CTM, Praat TextGrid, lhotse cuts."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote

import numpy as np
from lhotse import MonoCut
from lhotse.supervision import AlignmentItem
from lhotse.utils import fastcopy

from kdasr import io
from kdasr.align.timing import KINDS, PHONE, WORD, Timing, timing
from kdasr.corpora.manifests import CUTS
from kdasr.data.table import FrameTable
from kdasr.lang.lexicon import Lexicon
from kdasr.lang.tree import Tree
from kdasr.refusal import Refusal, unknown_name

Write = Callable[[MonoCut, Timing], None]


@contextmanager
def ctm(out: Path) -> Iterator[Write]:
    """`words.ctm` and `phones.ctm`, a line `recording channel begin duration symbol` each; none where no word is.

    Times are of the recording, channels are lhotse's, as lhotse reads and writes them.
    """
    with ExitStack() as files:
        kinds = {kind: files.enter_context(_text(out / f"{kind}s.ctm")) for kind in (WORD, PHONE)}

        def write(cut: MonoCut, spoken: Timing) -> None:
            for kind, file in kinds.items():
                for symbol, begin, end in spoken[kind]:
                    if symbol:
                        times = f"{cut.start + begin:.4f} {end - begin:.4f}"
                        file.write(f"{cut.recording_id} {cut.channel} {times} {symbol}\n")

        yield write


@contextmanager
def textgrid(out: Path) -> Iterator[Write]:
    """`<cut>.TextGrid`, with the tiers words, phones and states; times are of the cut."""

    def write(cut: MonoCut, spoken: Timing) -> None:
        io.write_text(out / f"{quote(cut.id, safe=' ')}.TextGrid", textgrid_text(cut.duration, spoken))

    yield write


@contextmanager
def lhotse(out: Path) -> Iterator[Write]:
    """`cuts.jsonl.gz`: the cuts, with `word`, `phone` and `state` alignments of their supervisions.

    Times are of the recording, as lhotse has it; where no word is spoken the word is empty.
    """
    with io.atomic(out / CUTS) as part, gzip.open(part, "wt", encoding="utf-8") as file:

        def write(cut: MonoCut, spoken: Timing) -> None:
            alignment = {
                kind: [
                    AlignmentItem(symbol, round(cut.start + begin, 8), round(end - begin, 8))
                    for symbol, begin, end in spoken[kind]
                ]
                for kind in KINDS
            }
            supervisions = [fastcopy(cut.supervisions[0], alignment=alignment)]
            line = fastcopy(cut, supervisions=supervisions).to_dict()
            file.write(json.dumps(line, ensure_ascii=False) + "\n")

        yield write


FORMATS: Mapping[str, Callable[[Path], AbstractContextManager[Write]]] = {
    "ctm": ctm,
    "textgrid": textgrid,
    "lhotse": lhotse,
}


def expect_known(names: Iterable[str]) -> None:
    """Raises Refusal for a format that is none."""
    for name in names:
        if name not in FORMATS:
            raise unknown_name("format", name, FORMATS)


def write_timings(
    out: str | Path, name: str, alignment: FrameTable, cuts: Mapping[str, MonoCut], lexicon: Lexicon, tree: Tree
) -> int:
    """Writes the timing of every aligned utterance.

    Args:
        out: output folder.
        name: of the format.
        alignment: transition ids.
        cuts: by utterance id, each with one supervision.
        lexicon: words of their transcripts.
        tree: what the transition ids mean.

    Returns:
        Number of utterances.

    Raises:
        Refusal: an utterance has no cut, or its phones do not spell the transcript.
    """
    with FORMATS[name](Path(out)) as write:
        for utterance, path in alignment:
            if utterance.id not in cuts:
                do = "name the cuts that were aligned"
                raise Refusal("an aligned utterance has no cut", where=alignment.folder, found=utterance.id, do=do)
            cut = cuts[utterance.id]
            write(cut, timing(np.asarray(path), cut.supervisions[0].text or "", lexicon, tree, cut.duration))
    return len(alignment.utterances)


@contextmanager
def _text(path: Path) -> Iterator[IO[str]]:
    with io.atomic(path) as part, open(part, "w", encoding="utf-8") as file:
        yield file


def textgrid_text(duration: float, spoken: Timing) -> str:
    """A TextGrid in Praat's long text format."""
    lines: list[Any] = ['File type = "ooTextFile"', 'Object class = "TextGrid"', "", "xmin = 0", f"xmax = {duration}"]
    lines += ["tiers? <exists>", f"size = {len(KINDS)}", "item []:"]
    for number, kind in enumerate(KINDS, start=1):
        lines += [f"    item [{number}]:", '        class = "IntervalTier"', f'        name = "{kind}s"']
        lines += ["        xmin = 0", f"        xmax = {duration}", f"        intervals: size = {len(spoken[kind])}"]
        for place, (symbol, begin, end) in enumerate(spoken[kind], start=1):
            text = symbol.replace('"', '""')
            lines += [f"        intervals [{place}]:", f"            xmin = {begin}", f"            xmax = {end}"]
            lines += [f'            text = "{text}"']
    return "\n".join(lines) + "\n"
