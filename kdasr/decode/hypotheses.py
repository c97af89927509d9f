"""What decoding leaves behind: the hypotheses of a set at every language-model weight and insertion penalty."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path

import torch

from kdasr import io, log
from kdasr.align.utterances import NO_PATH, NOT_FINITE
from kdasr.data.table import FrameTable
from kdasr.decode.lattice import LatticeReader, Lattices, LatticeWriter
from kdasr.decode.nbest import NbestLists, text_of, write_lists
from kdasr.decode.parts import Part, read_part
from kdasr.decode.paths import Weights, Words, best_words
from kdasr.decode.search import DecodeOptions, Searcher
from kdasr.lang.lexicon import Lexicon
from kdasr.refusal import Refusal

HYPOTHESES = "hypotheses.jsonl"


@dataclass(frozen=True)
class Wanted:
    """What a decoding folder holds besides its hypotheses.

    Attributes:
        lattices: the lattices, to be rescored.
        nbest: word sequences of each utterance's n-best list; 0 writes none.
    """

    lattices: bool = False
    nbest: int = 0

    def record(self) -> dict[str, object]:
        """What is wanted, without what is not: folders made before it could be wanted are up to date."""
        return {name: value for name, value in vars(self).items() if value}


def decode_part(
    out: Path,
    number: int,
    searcher: Searcher,
    lexicon: Lexicon,
    features: FrameTable,
    log_likelihoods: Callable[[int], torch.Tensor],
    wanted: Wanted,
    seconds: Mapping[str, float] | None = None,
) -> None:
    """Decodes the utterances of one part of a set; writes its lattices, then the part.

    Args:
        out: output folder.
        number: of the part.
        searcher: graph and beams.
        lexicon: names of the words.
        features: the part's utterances.
        log_likelihoods: number of the utterance -> (T, num_pdfs).
        wanted: what is kept besides hypotheses.
        seconds: what else took some, by name.
    """
    ids = [utterance.id for utterance in features.utterances]
    writer = LatticeWriter(out, lexicon.words, searcher.sequences, number) if wanted.lattices else None
    lists = NbestLists(lexicon.words, searcher.sequences, searcher.options.own_weights, wanted.nbest)

    def keep(batch: Sequence[int], lattices: Lattices) -> None:
        own = [ids[number] for number in batch]
        if writer:
            writer.add(own, lattices)
        lists.add(own, lattices)

    decoded = searcher.decode([utterance.num_frames for utterance in features.utterances], log_likelihoods, keep)
    Part(ids, decoded.words, lists.lines, {"search": decoded.search_seconds, **(seconds or {})}).write(out, number)


def join_parts(
    out: Path, num_parts: int, words: Sequence[str], features: FrameTable, max_bad: float, nbest: int = 0
) -> dict[str, object]:
    """Writes `hypotheses.jsonl`, a line for each pair of weights, and n-best lists, from the parts of a decoded set.

    An utterance without a path has the empty hypothesis: its words count as deleted.

    Args:
        out: output folder.
        num_parts: all of which are written.
        words: of the lexicon, in the order of their numbers.
        features: of the set.
        max_bad: share of utterances that may be without a path.
        nbest: as `Wanted`'s.

    Returns:
        Facts for `info.json`, seconds and real-time factor of the search among them.

    Raises:
        Refusal: there are no utterances, or more than `max_bad` are left without a path.
    """
    if not features.utterances:
        raise Refusal("no utterances to decode", where=features.folder, do="name the features of a set")
    parts = [read_part(out, number) for number in range(num_parts)]
    ids = [id for part in parts for id in part.ids]
    found = {pair: [row for part in parts for row in part.words[pair]] for pair in parts[0].words}
    _check_paths(next(iter(found.values())), ids, max_bad, features)
    _write(out, words, ids, found)
    if nbest:
        write_lists(out, [line for part in parts for line in part.nbest])
    seconds = {f"{name}_seconds": sum(part.seconds[name] for part in parts) for name in parts[0].seconds}
    audio = len(features) * features.info.get("frame_shift", 0.01)
    rtf = seconds["search_seconds"] / audio
    log.event(f"{out}: {len(ids)} utterances decoded, search at {rtf:.4f} x real time")
    return {"num_utterances": len(ids), "audio_seconds": audio, **seconds, "search_rtf": rtf}


def rescore_set(out: str | Path, lattices: LatticeReader, options: DecodeOptions, nbest: int = 0) -> dict[str, object]:
    """Reads lattices at weights and writes what `decode_set` writes, without a search.

    Args:
        out: output folder.
        lattices: of a decoding folder.
        options: weights and penalties; beams count no more.
        nbest: as `Wanted`'s.

    Returns:
        Facts for `info.json`.
    """
    ids: list[str] = []
    words: dict[Weights, list[Words]] = {pair: [] for pair in options.pairs}
    lists = NbestLists(lattices.words, lattices.sequences, options.own_weights, nbest)
    for own, batch in lattices:
        ids += own
        for pair, rows in best_words(batch, lattices.sequences, options.pairs).items():
            words[pair] += rows
        lists.add(own, batch)
    _write(out, lattices.words, ids, words)
    if nbest:
        write_lists(out, lists.lines)
    log.event(f"{out}: lattices of {len(ids)} utterances read at {len(words)} pairs of weights")
    return {"num_utterances": len(ids), "audio_seconds": lattices.info["audio_seconds"]}


def _write(out: str | Path, words: Sequence[str], ids: Sequence[str], found: Mapping[Weights, Sequence[Words]]) -> None:
    """Writes `hypotheses.jsonl`, utterances sorted: batches come by length."""
    lines = [
        {
            "lm_weight": lm_weight,
            "penalty": penalty,
            "text": {
                id: text_of(words, spoken or ())
                for id, spoken in sorted(zip(ids, rows, strict=True), key=itemgetter(0))
            },
        }
        for (lm_weight, penalty), rows in found.items()
    ]
    io.write_text(Path(out) / HYPOTHESES, "".join(json.dumps(line) + "\n" for line in lines))


def _check_paths(rows: Sequence[Words], ids: Sequence[str], max_bad: float, features: FrameTable) -> None:
    lost = [
        f"{id} ({NO_PATH if features.finite(id) else NOT_FINITE})"
        for id, found in zip(ids, rows, strict=True)
        if found is None
    ]
    if lost:
        log.event(f"{features.folder}: {len(lost)} of {len(ids)} utterances without a path: {', '.join(lost)}")
    if len(lost) > max_bad * len(ids):
        raise Refusal(
            f"{len(lost)} of {len(ids)} utterances are left without a path",
            where=features.folder,
            expected=f"at most {max_bad:.0%}",
            found=", ".join(lost[:5]),
            do="widen the beams (--set decode.search_beam=20) or allow more: --set decode.max_bad=SHARE --overwrite",
        )


def read_hypotheses(folder: str | Path) -> dict[Weights, dict[str, str]]:
    """The hypotheses of a finished decoding folder.

    Returns:
        (language-model weight, penalty) -> utterance id -> text.

    Raises:
        Refusal: the folder is unfinished, or its hypotheses are absent or damaged.
    """
    io.read_info(folder, "decode", "rescore")
    path = Path(folder) / HYPOTHESES
    try:
        lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        hypotheses: dict[Weights, dict[str, str]] = {
            (line["lm_weight"], line["penalty"]): line["text"] for line in lines
        }
    except FileNotFoundError:
        raise Refusal("no hypotheses", where=path, do="name a folder made by kdasr decode") from None
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError) as error:
        raise Refusal("damaged hypotheses", where=path, found=repr(error), do=io.AGAIN) from None
    return hypotheses
