"""Copies of cuts at other speeds, pitch and all (Ko et al., "Audio Augmentation for Speech Recognition", 2015)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lhotse import MonoCut

from kdasr import io
from kdasr.corpora import manifests
from kdasr.refusal import Refusal

SLOWEST, FASTEST = 0.5, 2.0


def at_speed(cut: MonoCut, speed: float) -> MonoCut:
    """A cut at another speed: `<id>_sp<speed>`, of the speaker `sp<speed>-<speaker>`; at speed 1 the cut itself."""
    if speed == 1:
        return cut
    copy = cut.perturb_speed(speed)
    for supervision in copy.supervisions:
        supervision.speaker = f"sp{speed:g}-{supervision.speaker or cut.id}"
    return copy


def perturb(out: Path, cuts: Path, speeds: Sequence[float], overwrite: bool = False) -> None:
    """Writes the cuts of a folder or a lhotse file at each of the speeds, as one set; audio is changed when it is read.

    Args:
        out: the output, a folder like those of `kdasr corpus`.
        cuts: the cuts.
        speeds: 1 leaves a cut as it is, below 1 it is slower.
        overwrite: as `io.begin`'s.

    Raises:
        Refusal: no speed, one twice, or one that is not within 0.5 to 2.
    """
    if not speeds or len(set(speeds)) < len(speeds) or not all(SLOWEST <= speed <= FASTEST for speed in speeds):
        found = ", ".join(f"{speed:g}" for speed in speeds)
        raise Refusal("no such speeds", where="--speed", expected=f"{SLOWEST:g} to {FASTEST:g}, each once", found=found)
    made = io.Made("corpus perturbed", {"speed": list(speeds)}, {"cuts": io.fingerprint(cuts, "corpus")})
    if io.begin(out, made, overwrite):
        given = manifests.load_cuts(cuts)
        manifests.finish_set(out, [at_speed(cut, speed) for speed in speeds for cut in given], {})
