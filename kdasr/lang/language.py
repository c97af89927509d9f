"""The language folder: lexicon, symbol tables and HMM topology, as every later stage reads them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from kdasr import io, log
from kdasr.lang.lexicon import LangOptions, Lexicon, read_lexicon
from kdasr.lang.topology import Topology, make_topology, read_topology
from kdasr.lang.tree import Tree

LEXICON, TOPOLOGY = "lexicon.txt", "topology.json"


@dataclass(frozen=True)
class Language:
    """Words, phones and HMMs."""

    lexicon: Lexicon
    topology: Topology


def write_language(out: str | Path, lexicon: Lexicon, texts: Iterable[str] = ()) -> dict[str, object]:
    """Writes lexicon, `phones.txt`, `words.txt`, `topology.json` and `oov.txt` (unknown words of `texts`, with counts).

    Returns:
        Facts for the folder's `info.json`.
    """
    out = Path(out)
    lexicon.write(out / LEXICON)
    for name, symbols in (("phones.txt", lexicon.phones), ("words.txt", lexicon.words)):
        rows = (f"{symbol} {number}\n" for number, symbol in enumerate(["<eps>", *symbols]))
        io.write_text(out / name, "".join(rows))
    topology = make_topology(lexicon)
    topology.write(out / TOPOLOGY)
    unknown = lexicon.unknown_words(texts)
    io.write_text(out / "oov.txt", "".join(f"{word} {count}\n" for word, count in unknown.most_common()))
    if unknown:
        named = " ".join(word for word, _ in unknown.most_common(10))
        log.event(
            f"{out}: {sum(unknown.values())} running words ({len(unknown)} words) are not in the lexicon: {named}"
        )
    return {
        "num_phones": len(lexicon.phones),
        "num_words": len(lexicon.words),
        "num_pdfs": Tree.monophone(topology).num_pdfs,
        "topology": topology.fingerprint,
        "num_unknown": sum(unknown.values()),
    }


def read_language(folder: str | Path) -> Language:
    """Reads a finished language folder. Raises Refusal if it is unfinished or damaged."""
    info = io.read_info(folder, "lang")
    options = dict(info["options"])
    options["noise_words"] = tuple(options["noise_words"])
    lexicon = read_lexicon(Path(folder) / LEXICON, LangOptions(**options))
    return Language(lexicon, read_topology(Path(folder) / TOPOLOGY))
