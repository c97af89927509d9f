"""Noise has the spectrum that its name says and the level that the ratio says."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("scipy")
from kdasr.corpora import noise

RATE = 16000


def band_power(samples, low, high):
    spectrum = np.abs(np.fft.rfft(samples)) ** 2
    hertz = np.fft.rfftfreq(len(samples), 1 / RATE)
    return spectrum[(hertz >= low) & (hertz < high)].sum()


def octave_slope(kind):
    """Power of 2-4 kHz over that of 1-2 kHz, dB."""
    samples = noise.KINDS[kind](RATE * 20, RATE, np.random.default_rng(1))
    return 10 * np.log10(band_power(samples, 2000, 4000) / band_power(samples, 1000, 2000))


def test_spectra():
    assert octave_slope("white") == pytest.approx(3.0, abs=0.2)  # twice the bandwidth
    assert octave_slope("pink") == pytest.approx(0.0, abs=0.2)
    assert octave_slope("babble") == pytest.approx(3.0 - 9.0, abs=0.3)


def test_babble_comes_and_goes_and_pink_does_not():
    def variation(kind):
        samples = noise.KINDS[kind](RATE * 20, RATE, np.random.default_rng(1))
        power = (samples.reshape(-1, RATE // 10) ** 2).mean(1)
        return power.std() / power.mean()

    assert variation("babble") > 2 * variation("white")


@pytest.mark.parametrize("snr", [0.0, 10.0, 20.0])
def test_the_ratio_is_that_of_the_active_speech(snr):
    speech = np.zeros(RATE)
    speech[3200:6400] = np.sin(np.arange(3200) * 0.3)  # whole frames, power 1/2
    disturbance = noise.white(RATE, RATE, np.random.default_rng(0))
    added = noise.mix(speech, disturbance, snr, RATE) - speech
    assert 10 * np.log10(0.5 / np.mean(added**2)) == pytest.approx(snr, abs=0.02)


@pytest.mark.parametrize("kind", noise.KINDS)
def test_the_same_seed_gives_the_same_noise(kind):
    one, two, other = (noise.KINDS[kind](1001, RATE, np.random.default_rng(seed)) for seed in (3, 3, 4))
    assert np.array_equal(one, two) and len(one) == 1001
    assert not np.array_equal(one, other)
