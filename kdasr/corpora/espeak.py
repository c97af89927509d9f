"""Text to samples, the same bits each time, by eSpeak NG of `espeakng-loader` (extra `digits`).

The library keeps random state between sentences, even across its own Terminate; so it is unloaded and loaded
anew for each, with its seed set. eSpeak NG is under GPL-3 and is no part of kdasr: it only makes data.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kdasr import io
from kdasr.refusal import Refusal

SYNCHRONOUS, UTF8, BY_CHARACTER = (
    2,
    1,
    1,
)  # AUDIO_OUTPUT_SYNCHRONOUS, espeakCHARS_UTF8, POS_CHARACTER of speak_lib.h
RATE, PITCH, RANGE = 1, 3, 4  # espeakRATE, espeakPITCH, espeakRANGE
Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)


@dataclass(frozen=True)
class Manner:
    """How a sentence is spoken.

    Attributes:
        accent: a language of eSpeak NG, e.g. en-us.
        variant: a voice variant of its `voices/!v`.
        rate: words a minute, 80 to 450.
        pitch: 0 to 100, relative to the variant's.
        range: of pitch, 0 (monotone) to 100.
        seed: of breath and roughness.
    """

    accent: str
    variant: str
    rate: int = 175
    pitch: int = 50
    range: int = 50
    seed: int = 0


def speak(text: str, manner: Manner) -> tuple[np.ndarray, int]:
    """Speaks a sentence.

    Returns:
        samples: `(N,)` float32, -1..1.
        rate: samples a second (22050).

    Raises:
        Refusal: the package is not installed, or has no such accent or variant.
    """
    pieces: list[np.ndarray] = []

    def take(samples: Any, count: int, _: Any) -> int:
        if samples and count > 0:
            pieces.append(np.ctypeslib.as_array(samples, (count,)).copy())
        return 0

    library, data = paths()
    if not (data / "voices" / "!v" / manner.variant).exists():
        raise Refusal(f"no voice variant {manner.variant!r}", where=data)
    callback = Callback(take)  # lives as long as the library may call it: ctypes keeps no reference
    with _loaded(library) as espeak:
        rate = _start(espeak, data, callback, manner)
        content = text.encode()
        espeak.espeak_Synth(content, ctypes.c_size_t(len(content) + 1), 0, BY_CHARACTER, 0, UTF8, None, None)
        espeak.espeak_Synchronize()
        espeak.espeak_Terminate()
    samples = np.concatenate([np.zeros(0, np.int16), *pieces])
    return samples.astype(np.float32) / 32768, rate


def paths() -> tuple[Path, Path]:
    """The library and its data folder. Raises Refusal when the package is not installed."""
    try:
        import espeakng_loader
    except ImportError:
        raise Refusal("eSpeak NG is not installed", where="corpus digits", do="pip install 'kdasr[digits]'") from None
    return Path(espeakng_loader.get_library_path()), Path(espeakng_loader.get_data_path())


def fingerprints() -> dict[str, str]:
    """Content hashes of the library and of its phonemes: another version speaks otherwise."""
    library, data = paths()
    return {"espeak-ng": io.file_hash(library), "phonemes": io.file_hash(data / "phondata")}


@contextmanager
def _loaded(library: Path) -> Iterator[Any]:
    espeak = ctypes.CDLL(str(library))
    try:
        yield espeak
    finally:
        ctypes.CDLL(None).dlclose(ctypes.c_void_p(espeak._handle))


def _start(espeak: Any, data: Path, callback: Callable[..., int], manner: Manner) -> int:
    rate = int(espeak.espeak_Initialize(SYNCHRONOUS, 0, str(data).encode(), 0))
    espeak.espeak_SetSynthCallback(callback)
    ctypes.CDLL(None).srand(ctypes.c_uint(manner.seed))
    espeak.espeak_ng_SetRandSeed(ctypes.c_long(manner.seed))
    if rate <= 0 or espeak.espeak_SetVoiceByName(f"{manner.accent}+{manner.variant}".encode()) != 0:
        raise Refusal(f"eSpeak NG cannot speak as {manner.accent}+{manner.variant}", where=data)
    for parameter, value in ((RATE, manner.rate), (PITCH, manner.pitch), (RANGE, manner.range)):
        espeak.espeak_SetParameter(parameter, value, 0)
    return rate
