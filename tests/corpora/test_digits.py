"""Digits: the same bits each time and in any order, the promised voices, words and ratios."""

from __future__ import annotations

import dataclasses
import sys

import numpy as np
import pytest

pytest.importorskip("lhotse")
pytest.importorskip("soundfile")
pytest.importorskip("scipy")

from kdasr import io
from kdasr.corpora import audio, digits, espeak, manifests
from kdasr.corpora.digits import DigitsOptions
from kdasr.refusal import Refusal

SMALL = DigitsOptions(train_per_voice=1, dev_per_voice=1, test_per_voice=1)


@pytest.fixture
def few(monkeypatch):
    """Two training voices, one for each other set."""
    monkeypatch.setattr(digits, "VOICES", {"train": ("f1", "m1"), "dev": ("f4",), "test": ("f3",)})


@pytest.fixture
def spoken():
    pytest.importorskip("espeakng_loader")


def test_enough_voices_and_none_in_two_sets():
    counts = {name: len(variants) for name, variants in digits.VOICES.items()}
    assert counts == {"train": 48, "dev": 8, "test": 10}
    everyone = [variant for variants in digits.VOICES.values() for variant in variants]
    assert len(set(everyone)) == len(everyone)
    assert len({voice.accent for voice in digits.voices("test")}) == len(digits.ACCENTS)


def test_plans_cover_what_the_options_promise():
    plans = [
        digits.make_plan(DigitsOptions(), voice, number) for voice in digits.voices("train") for number in range(37)
    ]
    assert {len(plan.words) for plan in plans} == set(range(2, 8))
    assert {word for plan in plans for word in plan.words} == set(digits.WORDS)
    assert {plan.snr for plan in plans} == {0.0, 5.0, 10.0, 15.0, 20.0}
    assert {plan.noise for plan in plans} == {"white", "pink", "babble"}
    rates, pitches = ({getattr(plan.manner, name) for plan in plans} for name in ("rate", "pitch"))
    assert (min(rates), max(rates), min(pitches), max(pitches)) == (130, 230, 30, 70)


@pytest.mark.parametrize(("name", "hours"), [("train", 0.9), ("test", 0.18)])
def test_there_is_enough_speech_to_train_and_to_test(spoken, name, hours):
    """By two utterances of each voice: 0.98 and 0.22 h; all of them are 1.01 and 0.20."""
    options, voices = DigitsOptions(), digits.voices(name)
    plans = [digits.make_plan(options, voice, number) for voice in voices for number in range(2)]
    seconds = np.mean([len(digits.render(plan)) / digits.RATE for plan in plans])
    assert seconds * len(voices) * options.per_voice(name) / 3600 > hours


def test_a_plan_depends_on_seed_voice_and_number_alone():
    voice, other = digits.voices("train")[:2]
    plan = digits.make_plan(DigitsOptions(), voice, 3)
    assert plan == digits.make_plan(DigitsOptions(train_per_voice=5, test_per_voice=2), voice, 3)
    assert plan != digits.make_plan(DigitsOptions(seed=2), voice, 3)
    assert (
        plan.words != digits.make_plan(DigitsOptions(), other, 3).words
        or plan.seed != digits.make_plan(DigitsOptions(), other, 3).seed
    )


def test_every_word_is_in_the_lexicon():
    assert {line.split()[0] for line in digits.LEXICON.splitlines()} == set(digits.WORDS)


def test_samples_are_the_same_in_any_order(spoken):
    """eSpeak NG keeps random state from sentence to sentence; voices with breath and echo showed it most."""
    voices = [digits.Voice("train", "en", variant) for variant in ("f2", "f5", "m8", "Alex")]
    plans = [digits.make_plan(SMALL, voice, 0) for voice in voices]
    first = [digits.render(plan) for plan in plans]
    again = [digits.render(plan) for plan in reversed(plans)][::-1]
    for one, two in zip(first, again, strict=True):
        np.testing.assert_array_equal(one, two)
    assert not np.array_equal(first[0][:8000], first[1][:8000])


def test_samples_have_the_ratio_and_are_not_clipped(spoken):
    plan = digits.make_plan(SMALL, digits.Voice("train", "en", "m1"), 0)
    loud = digits.render(dataclasses.replace(plan, level=0.0, snr=0.0))
    assert 0.98 < np.abs(loud).max() < audio.FULL_SCALE
    clean = digits.render(dataclasses.replace(plan, snr=100.0))
    noisy = digits.render(dataclasses.replace(plan, snr=10.0))
    assert len(clean) == len(noisy)
    power = 10 ** (plan.level / 10)
    assert 10 * np.log10(power / np.mean((noisy - clean) ** 2)) == pytest.approx(10.0, abs=0.05)
    assert np.abs(clean[: round(plan.before * digits.RATE)]).max() < 1e-4  # noise alone before the speech


def test_more_words_take_longer(spoken):
    manner = espeak.Manner("en-us", "m1")
    short, long = (len(espeak.speak(text, manner)[0]) for text in ("one", "one two three four"))
    assert long > 2 * short > 0


def test_parallel_is_serial_and_an_interrupted_run_goes_on(spoken, few, tmp_path, monkeypatch):
    digits.prepare(tmp_path / "one", SMALL, None, num_jobs=1)
    write = audio.write_flac

    def dies_at_dev(path, samples, rate):
        if path.name.startswith("f4-"):
            path.write_bytes(b"half a file")
            raise KeyboardInterrupt
        write(path, samples, rate)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(audio, "write_flac", dies_at_dev)
        digits.prepare(tmp_path / "two", SMALL, None, num_jobs=1)
    digits.prepare(tmp_path / "two", SMALL, None, num_jobs=2)
    for name in ("train", "dev", "test"):
        cuts = manifests.load_cuts(tmp_path / "one" / name)
        assert [cut.id for cut in cuts] == [cut.id for cut in manifests.load_cuts(tmp_path / "two" / name)]
        for cut in cuts:
            path = f"{name}/audio/{cut.supervisions[0].speaker}/{cut.id}.flac"
            assert io.file_hash(tmp_path / "one" / path) == io.file_hash(tmp_path / "two" / path) == cut.audio_hash
            assert cut.snr in SMALL.snrs and cut.noise in SMALL.noises
    assert io.fingerprint(tmp_path / "one" / "lexicon") == io.fingerprint(tmp_path / "two" / "lexicon")


def test_a_missing_variant_is_refused(spoken):
    with pytest.raises(Refusal, match="no voice variant 'nobody'"):
        espeak.speak("one", espeak.Manner("en-us", "nobody"))


def test_a_missing_accent_is_refused(spoken):
    with pytest.raises(Refusal, match=r"eSpeak NG cannot speak as en-mars\+m1"):
        espeak.speak("one", espeak.Manner("en-mars", "m1"))


def test_without_espeak_the_line_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "espeakng_loader", None)
    with pytest.raises(Refusal, match=r"eSpeak NG is not installed; pip install 'kdasr\[digits\]'"):
        espeak.paths()


def test_a_corpus_folder_makes_no_sense(tmp_path):
    with pytest.raises(Refusal, match="digits is spoken, not read"):
        digits.prepare(tmp_path / "out", SMALL, tmp_path)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"min_digits": 8}, "min_digits 8 and max_digits 7 are in no order"),
        ({"max_rate": 500}, "between 80 and 450"),
        ({"noises": ("rain",)}, "unknown noise 'rain', known: white, pink, babble"),
    ],
)
def test_options_are_checked(wrong, message):
    with pytest.raises(ValueError, match=message):
        DigitsOptions(**wrong)
