"""Noises made by seed, and their mixing with speech at a stated signal-to-noise ratio."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.fft import irfft, next_fast_len, rfftfreq

TALKERS = 6  # of babble
ACTIVE_DB = 30.0  # frames this far below the loudest are pauses and do not count as signal
FRAME = 0.02  # seconds


def white(length: int, rate: int, generator: np.random.Generator) -> np.ndarray:
    """`(length,)` float64 of equal power at all frequencies."""
    return generator.standard_normal(length)


def pink(length: int, rate: int, generator: np.random.Generator) -> np.ndarray:
    """`(length,)` float64 of equal power in all octaves above 20 Hz."""
    return _shaped(length, rate, generator, lambda hertz: np.maximum(hertz, 20.0) ** -0.5)


def babble(length: int, rate: int, generator: np.random.Generator) -> np.ndarray:
    """`(length,)` float64 like many talkers: speech-shaped noises, each with syllables, about 4 a second.

    Each has the long-term spectrum of speech: flat to 500 Hz, then falling by 9 dB an octave.
    """
    total = np.zeros(length)
    knots = max(2, int(np.ceil(length / rate * 8)) + 1)
    for _ in range(TALKERS):
        syllables = np.interp(np.linspace(0, knots - 1, length), np.arange(knots), generator.random(knots) ** 2)
        total += syllables * _shaped(length, rate, generator, lambda hertz: np.maximum(hertz / 500, 1.0) ** -1.5)
    return total


KINDS = {"white": white, "pink": pink, "babble": babble}


def mix(speech: np.ndarray, noise: np.ndarray, snr: float, rate: int) -> np.ndarray:
    """Adds noise to speech so that `10 log10(speech power / noise power)` is `snr`.

    Args:
        speech: `(N,)`; its power is that of its active frames, pauses do not count.
        noise: `(N,)`.
        snr: dB.
        rate: samples a second.
    """
    gain = np.sqrt(active_power(speech, rate) / (np.mean(noise**2) * 10 ** (snr / 10)))
    return np.asarray(speech + gain * noise)


def active_power(speech: np.ndarray, rate: int) -> float:
    """Mean power of the frames that lie within `ACTIVE_DB` of the loudest."""
    size = int(FRAME * rate)
    frames = speech[: len(speech) // size * size].reshape(-1, size)
    power = np.mean(frames.astype(np.float64) ** 2, axis=1)
    return float(power[power >= power.max() * 10 ** (-ACTIVE_DB / 10)].mean())


def _shaped(
    length: int, rate: int, generator: np.random.Generator, gain: Callable[[np.ndarray], np.ndarray]
) -> np.ndarray:
    size = next_fast_len(length, real=True)
    real, imaginary = generator.standard_normal((2, size // 2 + 1))
    return np.asarray(irfft((real + 1j * imaginary) * gain(rfftfreq(size, 1 / rate)), size)[:length])
