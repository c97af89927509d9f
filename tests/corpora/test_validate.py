"""Each kind of bad utterance is named with its reason; too many stop the work with one line."""

from __future__ import annotations

import numpy as np
import pytest

soundfile = pytest.importorskip("soundfile")

from kdasr.corpora import validate  # noqa: E402
from kdasr.corpora.validate import Found, Rules  # noqa: E402
from kdasr.refusal import Refusal  # noqa: E402

GOOD = np.random.default_rng(0).normal(0, 0.05, 1600)


@pytest.fixture
def rules(tmp_path):
    return Rules(rate=16000, max_clipped=0.01, rewritten=tmp_path / "audio")


@pytest.fixture
def found(tmp_path):
    """Writes a recording and names it."""

    def write(id="an1-fabc-b", samples=GOOD, rate=16000, text="YES"):
        path = tmp_path / f"{id}.wav"
        soundfile.write(path, samples, rate, subtype="FLOAT")
        return Found(id, "fabc", text, path)

    return write


def reason(rules, utterance):
    sounds, bad = validate.check([utterance], rules)
    assert len(sounds) + len(bad) == 1
    return bad.get(utterance.id)


def test_a_good_utterance_passes(rules, found):
    utterance = found()
    sounds, bad = validate.check([utterance], rules)
    sound = sounds[utterance.id]
    assert not bad and (sound.num_samples, sound.rate) == (1600, 16000) and sound.path.is_absolute()
    assert not rules.rewritten.exists()


def test_no_transcript(rules, found):
    assert reason(rules, found(text=None)) == "no transcript"


def test_an_empty_transcript(rules, found):
    assert reason(rules, found(text="  ")) == "the transcript is empty"


def test_no_audio(rules):
    assert reason(rules, Found("an1-fabc-b", "fabc", "YES", None)) == "no audio file"


def test_audio_of_no_samples(rules, found):
    assert reason(rules, found(samples=np.zeros(0))).startswith("the audio has 0 samples (")


def test_not_a_number(rules, found):
    samples = GOOD.copy()
    samples[[3, 700]] = np.nan, np.inf
    assert reason(rules, found(samples=samples)).startswith("the audio has 2 samples that are no numbers")


def test_clipped_audio(rules, found):
    samples = GOOD.copy()
    samples[:80] = 1.0
    assert reason(rules, found(samples=samples)).startswith(
        "the audio is clipped: 5.0% of samples at full scale, expected at most 1.0%"
    )


def test_a_few_samples_at_full_scale_are_no_clipping(rules, found):
    samples = GOOD.copy()
    samples[:10] = -1.0
    assert reason(rules, found(samples=samples)) is None


def test_another_sampling_rate(rules, found):
    assert reason(rules, found(rate=8000)).startswith("the sampling rate is 8000 Hz, expected 16000 (")


def test_stereo(rules, found):
    assert reason(rules, found(samples=np.stack([GOOD, GOOD], 1))).startswith("the audio has 2 channels, expected 1")


def test_a_truncated_file(rules, found):
    utterance = found()
    utterance.audio.write_bytes(utterance.audio.read_bytes()[:-400])
    assert reason(rules, utterance).startswith("the audio is truncated: expected 1600 samples, found 1500 (")


def test_raw_audio_is_rewritten_as_flac(rules, tmp_path):
    path = tmp_path / "an1-fabc-b.raw"
    samples = np.arange(-800, 800, dtype=np.int16)
    path.write_bytes(samples.astype(">i2").tobytes())
    sounds, _ = validate.check([Found("an1-fabc-b", "fabc", "YES", path)], rules)
    assert sounds["an1-fabc-b"].path == rules.rewritten / "an1-fabc-b.flac"
    np.testing.assert_array_equal(soundfile.read(sounds["an1-fabc-b"].path, dtype="int16")[0], samples)


def test_single_bad_utterances_are_set_aside_by_name(events):
    validate.set_aside({"an1": "no transcript", "an2": "no audio file"}, 100, 0.02, "an4", "an4.max_bad=N")
    assert events().count("set aside") == 2


@pytest.mark.parametrize(("num_bad", "total", "max_bad"), [(2, 100, 0.01), (1, 100, 0.0), (3, 100, 2), (2, 2, 5)])
def test_more_are_refused_in_one_line(num_bad, total, max_bad):
    bad = {f"an{number}": "no transcript" for number in range(num_bad)}
    with pytest.raises(Refusal) as refusal:
        validate.set_aside(bad, total, max_bad, "an4", "an4.max_bad=N")
    line = str(refusal.value)
    assert "\n" not in line
    assert line.startswith(f"an4: {num_bad} of {total} utterances are bad (expected at most")
    assert "an0: no transcript" in line and line.endswith("raise --set an4.max_bad=N")


def test_a_refusal_names_the_first_ones_and_counts_the_rest():
    with pytest.raises(Refusal, match=r"an4: no transcript; and 3 more\)"):
        validate.set_aside({f"an{number}": "no transcript" for number in range(8)}, 100, 1, "an4", "x")


def test_bad_txt_names_all(tmp_path):
    validate.write_bad(tmp_path, {"b": "no transcript", "a": "no audio file"})
    assert (tmp_path / "bad.txt").read_text() == "a\tno audio file\nb\tno transcript\n"


def test_another_count_than_the_complete_corpus_is_told(events):
    validate.expect_count("an4 train", 948, 947)
    assert "warning: an4 train: the complete corpus has 948, found 947" in events()
    validate.expect_count("an4 train", 948, 948)
    assert events() == ""
    with pytest.raises(Refusal, match="an4 train: nothing found"):
        validate.expect_count("an4 train", 948, 0)


def test_in_order_takes_each_once_by_speaker():
    found = [Found(id, speaker, "YES", None) for id, speaker in (("2", "a"), ("1", "b"), ("1", "b"), ("3", "a"))]
    assert [utterance.id for utterance in validate.in_order(found)] == ["2", "3", "1"]
