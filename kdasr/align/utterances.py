"""Which utterances can be aligned; the others are named with the reason, and are many or few enough."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from kdasr import log
from kdasr.data.table import FrameTable
from kdasr.lang.lexicon import Lexicon
from kdasr.lang.topology import Topology
from kdasr.refusal import Refusal

NO_PATH = "no path found"
NOT_FINITE = "its frames hold NaN or infinity"


def alignable(
    features: FrameTable, texts: Mapping[str, str], lexicon: Lexicon, topology: Topology
) -> tuple[list[str], dict[str, str]]:
    """The utterances of a table that have a transcript, those that cannot have a path set apart.

    Args:
        features: whose utterances are looked at; those without a transcript are counted in the log and left out.
        texts: utterance id -> transcript.
        lexicon: pronunciations of their words.
        topology: states of the phones.

    Returns:
        Ids that can be aligned, and id -> reason of those that cannot: no words, fewer frames than
        states, or frames that are no numbers.

    Raises:
        Refusal: no utterance has both features and transcript.
    """
    with_text = [utterance for utterance in features.utterances if utterance.id in texts]
    if not with_text:
        raise Refusal(
            "no utterance has both features and transcript", where=features.folder, do="name cuts of the same set"
        )
    without = len(features.utterances) - len(with_text)
    if without:
        log.event(f"{features.folder}: {without} utterances have no transcript in the cuts and are left out")
    bad: dict[str, str] = {}
    for utterance in with_text:
        fewest = fewest_frames(texts[utterance.id], lexicon, topology)
        if not fewest:
            bad[utterance.id] = "empty transcript"
        elif utterance.num_frames < fewest:
            bad[utterance.id] = f"{utterance.num_frames} frames, its words need {fewest}"
        elif not features.finite(utterance):
            bad[utterance.id] = NOT_FINITE
    return [utterance.id for utterance in with_text if utterance.id not in bad], bad


def fewest_frames(text: str, lexicon: Lexicon, topology: Topology) -> int:
    """The frames that the words of a transcript take at least, in their shortest pronunciations without silence."""
    return sum(
        min(
            sum(topology.minimum_frames(lexicon.phone_ids[phone]) for phone in variant)
            for variant in lexicon.pronunciations[word]
        )
        for word in lexicon.known(text)
    )


def check_bad(bad: Mapping[str, str], total: int, max_bad: float, where: str | Path) -> None:
    """Logs the utterances that did not align, each with its reason.

    Args:
        bad: id -> reason.
        total: utterances in all.
        max_bad: share of them that may be bad.
        where: folder that the messages name.

    Raises:
        Refusal: more than `max_bad` are bad, or all.
    """
    named = [f"{id} ({reason})" for id, reason in sorted(bad.items())]
    if named:
        log.event(f"{where}: {len(bad)} of {total} utterances did not align: {', '.join(named)}")
    if len(bad) > max_bad * total or len(bad) == total:
        raise Refusal(
            f"{len(bad)} of {total} utterances did not align",
            where=where,
            expected=f"at most {max_bad:.0%}",
            found=", ".join(named[:5]),
            do="check that audio and transcripts belong together, or allow more: --set align.max_bad=SHARE --overwrite",
        )


def expect_rate(cuts: Sequence[Any], rate: int, where: str | Path) -> None:
    """Refuses lhotse's cuts of another sampling rate, Hz, than that of the audio which a model was trained on."""
    for cut in cuts:
        if cut.sampling_rate != rate:
            what, found = "cuts of another sampling rate than the model's", f"{cut.sampling_rate} of {cut.id}"
            raise Refusal(what, where=where, expected=rate, found=found, do="resample them (lhotse: cuts.resample)")


def expect_one_supervision(cuts: Sequence[Any], where: str | Path) -> None:
    """Refuses lhotse's cuts with none or several: times are told of one."""
    for cut in cuts:
        if len(cut.supervisions) != 1:
            what, found = "a cut with no or several supervisions", f"{len(cut.supervisions)} of {cut.id}"
            do = "make a cut of each supervision (lhotse: cuts.trim_to_supervisions)"
            raise Refusal(what, where=where, expected=1, found=found, do=do)
