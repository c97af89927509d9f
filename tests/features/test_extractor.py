"""Filterbanks and cepstra are kaldi-native-fbank's own, frame by frame; their defaults are listed here."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

pytest.importorskip("lhotse")
knf = pytest.importorskip("kaldi_native_fbank")

from lhotse.features.base import FeatureExtractor, get_extractor_type  # noqa: E402
from lhotse.utils import compute_num_frames_from_samples  # noqa: E402

from kdasr import features  # noqa: E402
from kdasr.features import extractor as module  # noqa: E402
from kdasr.features.fbank import Fbank, FbankOptions  # noqa: E402
from kdasr.features.mfcc import Mfcc, MfccOptions  # noqa: E402
from kdasr.refusal import Refusal  # noqa: E402

FRAMES = {
    "sampling_rate": 16000,
    "frame_length_ms": 25.0,
    "frame_shift_ms": 10.0,
    "preemphasis": 0.97,
    "window": "povey",
    "remove_dc_offset": True,
    "low_freq": 20.0,
    "high_freq": 0.0,
    "sample_scale": 32768.0,
    "max_bad": 0.01,
}

FBANK = [
    [17.7720, 15.4760, 20.8915],
    [11.5238, 14.4910, 20.2604],
    [16.1122, 19.7064, 20.9286],
]  # frames 0, 25, 49; filters 0, 10, 39
MFCC = [
    [95.3632, -13.0400, -21.3817],
    [91.7904, -19.2818, -11.4728],
    [97.8627, -7.9211, -7.0119],
]  # coefficients 0, 1, 12


def speech_like(num_samples: int = 8000, seed: int = 0) -> np.ndarray:
    """Two gliding tones in noise, `(N,)` float32 of -1..1, in 16-bit steps."""
    time = np.arange(num_samples) / 16000
    tones = 0.2 * np.sin(2 * np.pi * (200 + 300 * time) * time) + 0.1 * np.sin(2 * np.pi * 2500 * time)
    noisy = tones + np.random.default_rng(seed).normal(0, 0.01, num_samples)
    return np.asarray(np.round(noisy * 32768) / 32768, np.float32)


def reference(kind: str, samples: np.ndarray, rate: int = 16000, feed: int = 160) -> np.ndarray:
    """kaldi-native-fbank as it is meant to be used: fed piece by piece, on Kaldi's sample scale."""
    options = knf.FbankOptions() if kind == "fbank" else knf.MfccOptions()
    options.frame_opts.dither = 0
    options.frame_opts.snip_edges = False
    options.frame_opts.samp_freq = rate
    if kind == "fbank":
        options.mel_opts.num_bins = 40
    else:
        options.use_energy = False
    computer = (knf.OnlineFbank if kind == "fbank" else knf.OnlineMfcc)(options)
    for begin in range(0, len(samples), feed):
        computer.accept_waveform(rate, (samples[begin : begin + feed] * 32768).tolist())
    computer.input_finished()
    return np.stack([computer.get_frame(frame).copy() for frame in range(computer.num_frames_ready)])


def test_defaults():
    assert dataclasses.asdict(FbankOptions()) == {**FRAMES, "num_bins": 40, "dtype": "float16", "cmvn": "global"}
    assert dataclasses.asdict(MfccOptions()) == {
        **FRAMES,
        "num_ceps": 13,
        "num_bins": 23,
        "cepstral_lifter": 22.0,
        "use_energy": False,
        "dtype": "float32",
    }


@pytest.mark.parametrize(("kind", "dim"), [("fbank", 40), ("mfcc", 13)])
def test_every_frame_is_kaldi_native_fbanks(kind, dim):
    samples = speech_like()
    found = features.extractor_type(kind)().extract(samples, 16000)
    assert found.shape == (50, dim) and found.dtype == np.float32
    np.testing.assert_array_equal(found, reference(kind, samples))


@pytest.mark.parametrize("kind", ["fbank", "mfcc"])
def test_every_frame_is_kaldi_native_fbanks_at_8_khz(kind):
    cls = features.extractor_type(kind)
    found = cls(cls.config_type(sampling_rate=8000)).extract(speech_like(), 8000)
    np.testing.assert_array_equal(found, reference(kind, speech_like(), 8000))


def test_golden_values():
    """Made by `reference` with kaldi-native-fbank 1.23.0: a version that computes otherwise shows here."""
    fbank, mfcc = (features.extractor_type(kind)().extract(speech_like(), 16000) for kind in ("fbank", "mfcc"))
    np.testing.assert_allclose(fbank[[0, 25, 49]][:, [0, 10, 39]], FBANK, rtol=0, atol=2e-3)
    np.testing.assert_allclose(mfcc[[0, 25, 49]][:, [0, 1, 12]], MFCC, rtol=0, atol=1e-2)


def test_a_pure_tone_is_loudest_in_its_own_filter():
    time = np.arange(16000) / 16000
    found = Fbank().extract((0.3 * np.sin(2 * np.pi * 1000 * time)).astype(np.float32), 16000)
    edges = np.linspace(1127 * np.log(1 + 20 / 700), 1127 * np.log(1 + 8000 / 700), 42)
    centre = int(np.argmin(np.abs(edges[1:-1] - 1127 * np.log(1 + 1000 / 700))))
    assert (found[5:-5].argmax(1) == centre).all()


@pytest.mark.parametrize("num_samples", [1, 79, 80, 81, 239, 240, 400, 16000, 16079, 16080, 16001])
def test_the_number_of_frames_is_lhotses(num_samples):
    for extractor in (Fbank(), Mfcc()):
        found = extractor.extract(speech_like(num_samples), 16000)
        expected = compute_num_frames_from_samples(num_samples, extractor.frame_shift, 16000)
        assert found.shape == (expected, extractor.feature_dim(16000))


def test_one_channel_in_two_dimensions_is_the_same():
    samples = speech_like()
    np.testing.assert_array_equal(Fbank().extract(samples[None], 16000), Fbank().extract(samples, 16000))


def test_scale_1_shifts_log_power_by_a_constant():
    shift = Fbank().extract(speech_like(), 16000) - Fbank(FbankOptions(sample_scale=1.0)).extract(speech_like(), 16000)
    np.testing.assert_allclose(shift, 2 * np.log(32768), atol=2e-3)


def test_float16_rounds_by_less_than_a_hundredth():
    exact = Fbank().extract(speech_like(), 16000)
    assert exact.min() > 5 and exact.max() < 32
    assert np.abs(exact.astype(np.float16) - exact).max() <= 2**-7


def test_lhotse_knows_and_stores_them():
    for cls, config in ((Fbank, FbankOptions(num_bins=30)), (Mfcc, MfccOptions(num_ceps=10))):
        assert get_extractor_type(cls.name) is cls
        again = FeatureExtractor.from_dict(cls(config).to_dict())
        assert isinstance(again, cls) and again.config == config


def test_other_audio_is_refused():
    with pytest.raises(Refusal, match=r"other sampling rate \(expected 16000, found 8000\)"):
        Fbank().extract(speech_like(), 8000)
    with pytest.raises(Refusal, match=r"several channels \(expected \(1, N\), found \(2, 8000\)\)"):
        Fbank().extract(np.stack([speech_like()] * 2), 16000)


def test_an_unknown_type_is_refused():
    with pytest.raises(Refusal, match=r"unknown feature type 'fbanks'; did you mean 'fbank'\?"):
        features.extractor_type("fbanks")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (lambda: FbankOptions(dtype="int8"), "dtype must be one of float16, float32"),
        (lambda: MfccOptions(window="square"), "window must be one of povey"),
        (lambda: MfccOptions(num_ceps=30), "num_ceps 30 is more than num_bins 23"),
    ],
)
def test_options_are_checked(options, message):
    with pytest.raises(ValueError, match=message):
        options()


@pytest.mark.parametrize("cls", [Fbank, Mfcc])
def test_a_recording_in_pieces_has_the_frames_of_the_whole(cls, monkeypatch):
    samples = np.random.default_rng(0).uniform(-0.5, 0.5, 20_011).astype(np.float32)
    whole = cls().extract(samples, 16000)
    for piece in (160, 777, 20_010):
        monkeypatch.setattr(module, "PIECE", piece)
        assert np.array_equal(cls().extract(samples, 16000), whole), piece
