"""Deltas equal a naive loop over Kaldi's definition, and kaldi-native-fbank's own."""

from __future__ import annotations

import numpy as np
import pytest

from kdasr.features import deltas

FRAMES = np.random.default_rng(0).normal(0, 10, (30, 4)).astype(np.float32)


def naive(frames, order, window):
    """Kaldi's DeltaFeatures: weights of an order from those of the one below, time clamped."""
    scales = [np.array([1.0])]
    for _ in range(order):
        before, offset = scales[-1], len(scales[-1]) // 2
        now = np.zeros(len(before) + 2 * window)
        for j in range(-window, window + 1):
            for k in range(-offset, offset + 1):
                now[j + k + offset + window] += j * before[k + offset]
        scales.append(now / sum(j * j for j in range(-window, window + 1)))
    out = np.zeros((len(frames), frames.shape[1] * (order + 1)))
    for t in range(len(frames)):
        for level, weights in enumerate(scales):
            for j in range(len(weights)):
                source = min(max(t + j - len(weights) // 2, 0), len(frames) - 1)
                out[t, level * frames.shape[1] : (level + 1) * frames.shape[1]] += weights[j] * frames[source]
    return out


@pytest.mark.parametrize(("order", "window"), [(2, 2), (1, 3), (3, 1), (0, 2)])
def test_equal_to_the_naive_loop(order, window):
    found = deltas.add_deltas(FRAMES, order, window)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, naive(FRAMES, order, window), atol=1e-5)


def test_equal_to_kaldi_native_fbank():
    knf = pytest.importorskip("kaldi_native_fbank")
    if not hasattr(knf, "compute_deltas"):
        pytest.skip("this kaldi-native-fbank has no deltas")
    options = knf.DeltaOptions()
    options.order, options.window = 2, 2
    np.testing.assert_allclose(deltas.add_deltas(FRAMES), knf.compute_deltas(options, FRAMES), atol=1e-5)


def test_a_straight_line_has_its_slope_and_no_acceleration():
    frames = np.arange(20, dtype=np.float32)[:, None] * 3
    found = deltas.add_deltas(frames)[4:-4]
    np.testing.assert_allclose(found[:, 1], 3, atol=1e-5)
    np.testing.assert_allclose(found[:, 2], 0, atol=1e-5)


def test_short_utterances():
    assert deltas.add_deltas(FRAMES[:0]).shape == (0, 12)
    np.testing.assert_allclose(deltas.add_deltas(FRAMES[:1])[:, 4:], 0, atol=1e-5)
