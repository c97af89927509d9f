"""Word error rates: weights chosen on a development set, errors aligned for each utterance, bootstrap intervals."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import kaldialign

from kdasr import io
from kdasr.decode.hypotheses import read_hypotheses
from kdasr.decode.paths import Weights
from kdasr.refusal import Refusal

GAP = "*"
MOST = 20  # mistakes that are kept, the most frequent ones


@dataclass(frozen=True)
class ScoreOptions:
    """Options of scoring.

    Attributes:
        bootstrap_samples: of the utterances, for the 95 % interval.
        bootstrap_seed: of these samples.
    """

    bootstrap_samples: int = 2000
    bootstrap_seed: int = 0

    def __post_init__(self) -> None:
        if self.bootstrap_samples < 1:
            raise ValueError(f"bootstrap_samples must be at least 1, found {self.bootstrap_samples}")


@dataclass(frozen=True)
class WordErrors:
    """Errors of a set.

    Attributes:
        words: of the references.
        insertions: words too many.
        deletions: words left out.
        substitutions: words mistaken.
        low: lower end of the 95 % bootstrap interval of the rate, per cent.
        high: its upper end.
    """

    words: int
    insertions: int
    deletions: int
    substitutions: int
    low: float = 0.0
    high: float = 0.0

    @property
    def errors(self) -> int:
        """All errors."""
        return self.insertions + self.deletions + self.substitutions

    @property
    def rate(self) -> float:
        """Word error rate, per cent."""
        return 100 * self.errors / max(1, self.words)

    def __str__(self) -> str:
        parts = f"{self.insertions} ins, {self.deletions} del, {self.substitutions} sub"
        interval = f" (95 %: {self.low:.2f} to {self.high:.2f})" if self.high else ""
        return f"%WER {self.rate:.2f} [ {self.errors} / {self.words}, {parts} ]{interval}"


def count_errors(
    references: Mapping[str, str], hypotheses: Mapping[str, str], options: ScoreOptions | None = None
) -> WordErrors:
    """Errors of all utterances; with `options`, the bootstrap interval too.

    Args:
        references: utterance id -> transcript.
        hypotheses: utterance id -> recognised text, of the same utterances.
        options: of the interval; None leaves it out, which is faster.

    Raises:
        Refusal: an utterance has no hypothesis or no reference.
    """
    pairs = _pairs(references, hypotheses)
    counts = [kaldialign.edit_distance(reference, hypothesis) for reference, hypothesis in pairs]
    insertions, deletions, substitutions = (sum(count[kind] for count in counts) for kind in ("ins", "del", "sub"))
    low = high = 0.0
    if options:
        low, high = _interval(pairs, options)
    return WordErrors(sum(len(reference) for reference, _ in pairs), insertions, deletions, substitutions, low, high)


def _pairs(references: Mapping[str, str], hypotheses: Mapping[str, str]) -> list[tuple[list[str], list[str]]]:
    """Words of reference and hypothesis, an utterance each."""
    unmatched = sorted(set(references) ^ set(hypotheses))
    if unmatched:
        raise Refusal(
            "references and hypotheses are of different utterances",
            found=", ".join(unmatched[:5]),
            do="score the set that was decoded",
        )
    return [(references[id].split(), hypotheses[id].split()) for id in references]


def utterance_errors(references: Mapping[str, str], hypotheses: Mapping[str, str]) -> tuple[list[int], list[int]]:
    """Errors, and words of the transcript, of each utterance in the references' order.

    Raises:
        Refusal: an utterance has no hypothesis or no reference.
    """
    pairs = _pairs(references, hypotheses)
    errors = [kaldialign.edit_distance(reference, hypothesis)["total"] for reference, hypothesis in pairs]
    return errors, [len(reference) for reference, _ in pairs]


def _interval(pairs: list[tuple[list[str], list[str]]], options: ScoreOptions) -> tuple[float, float]:
    references, hypotheses = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    found = kaldialign.bootstrap_wer_ci(
        references, hypotheses, replications=options.bootstrap_samples, seed=options.bootstrap_seed
    )
    return max(0.0, 100 * found["ci95min"]), 100 * found["ci95max"]


def choose(references: Mapping[str, str], hypotheses: Mapping[Weights, Mapping[str, str]]) -> Weights:
    """The weights with the fewest errors; of equals, in the order of weight and penalty, the middle one."""
    errors = {weights: count_errors(references, texts).errors for weights, texts in hypotheses.items()}
    fewest = min(errors.values())
    best = sorted(weights for weights, count in errors.items() if count == fewest)
    return best[len(best) // 2]


def by_speaker(
    references: Mapping[str, str], hypotheses: Mapping[str, str], speakers: Mapping[str, str]
) -> dict[str, dict[str, int]]:
    """Speaker, sorted -> `errors` and `words` of all that they said."""
    found: dict[str, dict[str, int]] = {speaker: {"errors": 0, "words": 0} for speaker in sorted(speakers.values())}
    for id, errors, words in zip(references, *utterance_errors(references, hypotheses), strict=True):
        found[speakers[id]]["errors"] += errors
        found[speakers[id]]["words"] += words
    return {speaker: counts for speaker, counts in found.items() if counts["words"] or counts["errors"]}


def mistakes(references: Mapping[str, str], hypotheses: Mapping[str, str]) -> list[tuple[str, str, int]]:
    """The most frequent mistakes, most first: word of the transcript, word recognised, times; `*` is no word."""
    pairs = (kaldialign.align(*pair, GAP) for pair in _pairs(references, hypotheses))
    counts = Counter((left, right) for aligned in pairs for left, right in aligned if left != right)
    most = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:MOST]
    return [(left, right, count) for (left, right), count in most]


def aligned_errors(references: Mapping[str, str], hypotheses: Mapping[str, str]) -> str:
    """Every utterance with an error: its counts, and reference above hypothesis, word under word."""
    blocks = []
    for id in sorted(references):
        reference, hypothesis = references[id].split(), hypotheses[id].split()
        pairs = kaldialign.align(reference, hypothesis, GAP)
        wrong = sum(left != right for left, right in pairs)
        if wrong:
            widths = [max(len(left), len(right)) for left, right in pairs]
            rows = (
                [word.ljust(width) for word, width in zip(row, widths, strict=True)] for row in zip(*pairs, strict=True)
            )
            top, bottom = (" ".join(row).rstrip() for row in rows)
            blocks.append(f"{id} {wrong} / {len(reference)}\n  ref {top}\n  hyp {bottom}\n")
    return "\n".join(blocks)


def write_scores(
    out: str | Path,
    decoded: Mapping[str, Path],
    references: Mapping[str, Mapping[str, str]],
    options: ScoreOptions,
    speakers: Mapping[str, Mapping[str, str]] | None = None,
) -> None:
    """Scores `dev` and `test` at the weights with the fewest errors on `dev`; writes `wer.json` and `errors-<set>.txt`.

    Args:
        out: output folder.
        decoded: `dev` and `test` -> decoding folder.
        references: `dev` and `test` -> utterance id -> transcript.
        options: of the intervals.
        speakers: `dev` and `test` -> utterance id -> speaker; None leaves out what is told by speaker.

    `wer.json` holds further, as `test_as_kaldi`, the test set at the weight that is best for itself at penalty 0: the
    number of Kaldi's tables, which chooses nothing here.
    """
    hypotheses = {name: read_hypotheses(folder) for name, folder in decoded.items()}
    weights = choose(references["dev"], hypotheses["dev"])
    record: dict[str, dict[str, object]] = {}
    for name, texts in hypotheses.items():
        if weights not in texts:
            raise Refusal(
                "sets were decoded at other weights",
                where=decoded[name],
                expected=weights,
                do="decode both with the same settings",
            )
        errors = count_errors(references[name], texts[weights], options)
        io.write_text(
            Path(out) / f"errors-{name}.txt",
            f"{errors}\n\n{aligned_errors(references[name], texts[weights])}",
        )
        record[name] = _record(errors, weights) | {"mistakes": mistakes(references[name], texts[weights])}
        if speakers:
            record[name] |= {"speakers": by_speaker(references[name], texts[weights], speakers[name])}
    without = {pair: texts for pair, texts in hypotheses["test"].items() if pair[1] == 0}
    if without:
        own = choose(references["test"], without)
        record["test_as_kaldi"] = _record(count_errors(references["test"], without[own], options), own)
    io.write_json(Path(out) / "wer.json", record)


def _record(errors: WordErrors, weights: Weights) -> dict[str, object]:
    return {
        "text": str(errors),
        "wer": errors.rate,
        **asdict(errors),
        "lm_weight": weights[0],
        "penalty": weights[1],
    }
