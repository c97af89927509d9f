"""N-grams trained on text by kaldingram: vocabulary, pruning, and probabilities that sum to 1 in every history."""

from __future__ import annotations

import functools
import math
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from kdasr import io
from kdasr.lang.lm import LmOptions
from kdasr.refusal import Refusal

UNKNOWN = "<unk>"  # stands for words outside of the vocabulary while probabilities are estimated


def read_sentences(path: str | Path) -> list[str]:
    """The lines of a text, in upper case as all transcripts are.

    Args:
        path: a sentence a line; unpacked where its name ends in `.gz`.

    Raises:
        Refusal: it is absent, no text, or a damaged gzip file.
    """
    return io.read_text(path, "text").upper().splitlines()


def count_words(sentences: Iterable[str]) -> Counter[str]:
    """How often each word occurs."""
    return Counter(word for sentence in sentences for word in sentence.split())


def most_frequent(counts: Mapping[str, int], size: int, known: Container[str] | None = None) -> set[str]:
    """The vocabulary of an n-gram.

    Args:
        counts: word -> how often the text has it.
        size: most words; 0 is all.
        known: words that may be chosen; None is all.
    """
    words = [word for word in counts if known is None or word in known]
    ordered = sorted(words, key=lambda word: (-counts[word], word)) if size else words
    return set(ordered[: size or None])


def train_ngram(
    texts: Sequence[str], out: str | Path, options: LmOptions, known: Container[str] | None = None
) -> dict[str, Any]:
    """Trains a Kneser-Ney n-gram and writes it as ARPA.

    Words outside of the vocabulary take part in the estimation as one unknown word. The n-gram written is that estimate
    on condition that no word is unknown: it never gives out the unknown word, and its histories sum to 1.

    Args:
        texts: sentences, words separated by spaces; those without words are passed over.
        out: ARPA file to write.
        options: order, size of the vocabulary, pruning.
        known: words that the vocabulary may have; None is all.

    Returns:
        Facts for the folder's `info.json`.

    Raises:
        Refusal: no text, none of its words known, or kaldingram failed.
    """
    sentences = [text for text in texts if text.strip()]
    counts = count_words(sentences)
    vocabulary = most_frequent(counts, options.vocabulary, known)
    if not sentences:
        raise Refusal("no words to train an n-gram on", where=out, do="name cuts with transcripts")
    if not vocabulary:
        do = "use the same spelling in both, and upper case in the lexicon"
        raise Refusal("lexicon and text have no word in common", where=out, do=do)
    if options.order == 1:  # kaldingram's unigrams give part of the probability to <s>, which never follows anything
        text = _unigram({word: counts[word] for word in vocabulary}, len(sentences))
    else:
        lines = (" ".join(w if w in vocabulary else UNKNOWN for w in sentence.split()) for sentence in sentences)
        text = _estimate(lines, out, options)
        text = _without_unknown(text) if len(vocabulary) < len(counts) else text
    io.write_text(out, text)
    outside = sum(count for word, count in counts.items() if word not in vocabulary)
    sizes = [int(line.partition("=")[2]) for line in text.partition("\n\n")[0].splitlines()[1:]]
    return {"num_words": len(vocabulary), "outside": outside / sum(counts.values()), "num_ngrams": sizes}


def _unigram(counts: Mapping[str, int], num_sentences: int) -> str:
    total = sum(counts.values()) + num_sentences
    ends = [*sorted(counts.items()), ("</s>", num_sentences)]
    return _arpa({1: ["-99\t<s>", *(f"{math.log10(count / total):.7f}\t{word}" for word, count in ends)]})


def _arpa(sections: Mapping[int, Sequence[str]]) -> str:
    """The text of an ARPA file, from the lines of its n-grams by order."""
    sizes = "".join(f"ngram {order}={len(lines)}\n" for order, lines in sections.items())
    rows = "".join(f"\\{order}-grams:\n" + "\n".join(lines) + "\n\n" for order, lines in sections.items())
    return f"\\data\\\n{sizes}\n{rows}\\end\\\n"


def _estimate(lines: Iterable[str], out: str | Path, options: LmOptions) -> str:
    """The text of an ARPA file of all words of the lines, the unknown one too."""
    with tempfile.TemporaryDirectory() as folder:
        text, arpa, pruned = (Path(folder) / name for name in ("text", "arpa", "pruned"))
        text.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        sizes = ("--ngram-order", str(options.order))
        _kaldingram(out, "lower --set lm.order", "train", *sizes, "--text", text, "--lm", arpa)
        full = _with_full_histories(arpa.read_text(encoding="utf-8"))
        if not options.prune:
            return full
        arpa.write_text(full, encoding="utf-8")
        threshold = f"{options.prune:g}"
        files = ("--lm", arpa, "--write-lm", pruned)
        _kaldingram(out, "keep all: --set lm.prune=0", "prune", "--threshold", threshold, *files)
        lines = pruned.read_text(encoding="utf-8").splitlines()
    sections: dict[int, list[str]] = {}
    for number, order, *_ in _ngrams(lines):
        sections.setdefault(order, []).append(lines[number])
    return _arpa(sections)  # kaldingram leaves the old size of an order that it pruned whole


def _kaldingram(out: str | Path, way_out: str, *arguments: str | Path) -> None:
    command = [sys.executable, "-m", "kaldingram.cli", *map(str, arguments)]
    run = subprocess.run(command, capture_output=True, text=True)
    if run.returncode != 0:
        reason = (run.stderr.strip().splitlines() or ["no message"])[-1]
        raise Refusal(
            "kaldingram failed",
            where=out,
            found=reason,
            do=f"see that local/setup.sh installed it, or {way_out}",
        )


def _ngrams(lines: Iterable[str]) -> Iterator[tuple[int, int, str, str, str]]:
    """Line number, order, log10 probability, words and back-off weight ("" for none) of every n-gram."""
    order = 0
    for number, line in enumerate(lines):
        if line.startswith("\\"):
            order = int(line[1]) if line.endswith("-grams:") else 0
        elif order and line:
            value, words, *weight = line.split("\t")
            yield number, order, value, words, weight[0] if weight else ""


def _with_full_histories(text: str) -> str:
    """Gives histories that every word follows what discounting took from them, and no way back to shorter histories.

    kaldingram leaves them short of 1 and with a back-off weight of 1, through which a graph would pass again.
    """
    lines = text.splitlines()
    sizes = Counter(words.rpartition(" ")[0] for _, _, _, words, _ in _ngrams(lines))
    num_words = sizes.pop("") - 1  # <s> follows nothing
    if max(sizes.values(), default=0) < num_words:
        return text
    place: dict[tuple[str, ...], int] = {}  # n-gram -> its line
    following: dict[tuple[str, ...], list[tuple[str, ...]]] = {}  # history -> n-grams that continue it, shortest first
    for number, _, _, words, _ in _ngrams(lines):
        ngram = tuple(words.split())
        place[ngram] = number
        following.setdefault(ngram[:-1], []).append(ngram)

    def total(ngrams: Iterable[tuple[str, ...]]) -> float:
        return sum(10 ** float(lines[place[ngram]].split()[0]) for ngram in ngrams)

    def set_back_off(history: tuple[str, ...], weight: float) -> None:
        lines[place[history]] = "\t".join([*lines[place[history]].split("\t")[:2], f"{weight:.7f}"])

    full = set()
    for history, ngrams in following.items():
        if history and len(ngrams) == num_words:
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


def _without_unknown(text: str) -> str:
    """The n-gram on condition that no word is unknown: `p(w | h) / (1 - p(unknown | h))`.

    A word that is found by way of a shorter history h' has `b(h) p(w | h')`, so the back-off weight becomes
    `b(h) (1 - p(unknown | h')) / (1 - p(unknown | h))`.
    """
    lines = text.splitlines()
    unknown, back_off = dict[str, float](), dict[str, float]()  # history -> probability; weight
    for _, _, value, words, weight in _ngrams(lines):
        history, _, word = words.rpartition(" ")
        if word == UNKNOWN:
            unknown[history] = 10 ** float(value)
        if weight:
            back_off[words] = 10 ** float(weight)

    def unknown_after(history: str) -> float:
        if history in unknown or not history:
            return unknown.get(history, 0.0)
        return back_off.get(history, 1.0) * unknown_after(history.partition(" ")[2])

    @functools.cache
    def known_after(history: str) -> float:
        """log10 of the probability that a known word follows."""
        return math.log10(1 - unknown_after(history))

    sections: dict[int, list[str]] = {}
    for _, order, value, words, weight in _ngrams(lines):
        if UNKNOWN in words.split(" "):
            continue
        line = f"{float(value) - known_after(words.rpartition(' ')[0]):.7f}\t{words}"
        if weight:
            changed = float(weight) + known_after(words.partition(" ")[2]) - known_after(words)
            line += f"\t{changed:.7f}"
        sections.setdefault(order, []).append(line)
    return _arpa(sections)
