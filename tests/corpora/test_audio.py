"""All file kinds give the same samples; damaged files are told apart from whole ones."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

soundfile = pytest.importorskip("soundfile")

from kdasr.corpora import audio  # noqa: E402

SAMPLES = np.array([0, 1, -1, 256, -257, 12345, -32768, 32767] * 500, np.int16)


def sphere(
    path: Path, samples: np.ndarray, order: str = "01", promised: int | None = None, coding: str = "pcm"
) -> Path:
    """A NIST SPHERE file as the public archive holds them: 1024 bytes of header, then 16-bit samples."""
    fields = (
        "NIST_1A\n   1024\n"
        "database_id -s3 AN4\n"
        "channel_count -i 1\n"
        f"sample_count -i {len(samples) if promised is None else promised}\n"
        "sample_rate -i 16000\n"
        "sample_n_bytes -i 2\n"
        f"sample_byte_format -s2 {order}\n"
        "sample_sig_bits -i 16\n"
        f"sample_coding -s{len(coding)} {coding}\n"
        "end_head\n"
    )
    data = samples.astype("<i2" if order == "01" else ">i2").tobytes()
    path.write_bytes(fields.encode().ljust(1024) + data)
    return path


def write(path: Path, kind: str) -> Path:
    if kind == "sph-little":
        return sphere(path.with_suffix(".sph"), SAMPLES, "01")
    if kind == "sph-big":
        return sphere(path.with_suffix(".sph"), SAMPLES, "10")
    path = path.with_suffix(f".{kind}")
    if kind == "raw":
        path.write_bytes(SAMPLES.astype(">i2").tobytes())
    else:
        soundfile.write(path, SAMPLES, 16000, subtype="PCM_16")
    return path


@pytest.mark.parametrize("kind", ["sph-little", "sph-big", "raw", "wav", "flac"])
def test_every_kind_of_file_gives_the_same_samples(tmp_path, kind):
    samples, rate = audio.read(write(tmp_path / "an1-fabc-b", kind))
    assert rate == 16000
    assert samples.dtype == np.float32
    np.testing.assert_array_equal(samples, SAMPLES[None].astype(np.float32) / 32768)


def test_flac_written_reads_back_bit_for_bit(tmp_path):
    audio.write_flac(tmp_path / "x.part", SAMPLES.astype(np.float32) / 32768, 16000)
    (tmp_path / "x.part").rename(tmp_path / "x.flac")
    np.testing.assert_array_equal(audio.read(tmp_path / "x.flac")[0][0] * 32768, SAMPLES)


@pytest.mark.parametrize("kind", ["sph-little", "raw", "wav", "flac"])
def test_a_truncated_file_is_unreadable(tmp_path, kind):
    path = write(tmp_path / "an1-fabc-b", kind)
    path.write_bytes(path.read_bytes()[:-1001])
    with pytest.raises(audio.UnreadableAudio, match="truncated|cannot be read"):
        audio.read(path)


def test_a_truncated_wav_says_how_much_is_missing(tmp_path):
    path = write(tmp_path / "an1-fabc-b", "wav")
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(audio.UnreadableAudio, match="expected 4000 samples, found 3500"):
        audio.read(path)


def test_a_wav_of_unknown_length_is_read_whole(tmp_path):
    path = write(tmp_path / "an1-fabc-b", "wav")
    data = bytearray(path.read_bytes())
    struct.pack_into("<I", data, data.find(b"data") + 4, 0xFFFFFFFF)
    path.write_bytes(data)
    assert audio.read(path)[0].shape == (1, 4000)


def test_a_file_of_another_kind_is_unreadable(tmp_path):
    path = tmp_path / "an1-fabc-b.wav"
    path.write_text("this is no audio")
    with pytest.raises(audio.UnreadableAudio, match="the audio cannot be read"):
        audio.read(path)


def test_a_compressed_sphere_file_is_unreadable_not_noise(tmp_path):
    path = sphere(tmp_path / "an1-fabc-b.sph", SAMPLES, coding="pcm,embedded-shorten-v2.00")
    with pytest.raises(audio.UnreadableAudio, match="the audio cannot be read"):
        audio.read(path)


def test_opus_is_read_whole_and_a_file_without_its_last_page_is_unreadable(tmp_path):
    """libsndfile takes a file that was cut short for a shorter one."""
    path, samples = tmp_path / "x.opus", 0.3 * np.sin(np.arange(40000) * 2 * np.pi * 440 / 16000)
    soundfile.write(path, samples, 16000, format="OGG", subtype="OPUS")
    read, rate = audio.read(path)
    assert read.shape == (1, 40000) and rate == 16000
    assert np.corrcoef(read[0], samples)[0, 1] > 0.99
    for missing in (1, 200, 3000):
        path.with_name("cut.opus").write_bytes(path.read_bytes()[:-missing])
        with pytest.raises(audio.UnreadableAudio, match="truncated|cannot be read"):
            audio.read(path.with_name("cut.opus"))


def test_an_absent_file_is_unreadable(tmp_path):
    with pytest.raises(audio.UnreadableAudio, match="no such audio file"):
        audio.read(tmp_path / "an1-fabc-b.wav")


def chunk(name: bytes, content: bytes) -> bytes:
    return name + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)


def test_a_title_that_says_data_is_no_promise(tmp_path):
    """A .wav whose header has a chunk of text before its samples."""
    sound = tmp_path / "plain.wav"
    soundfile.write(sound, np.zeros(1000), 16000)
    whole = sound.read_bytes()
    titled = whole[:36] + chunk(b"LIST", b"INFO" + chunk(b"INAM", b"weather data collection")) + whole[36:]
    (tmp_path / "titled.wav").write_bytes(titled[:4] + struct.pack("<I", len(titled) - 8) + titled[8:])
    assert audio.read(tmp_path / "titled.wav")[0].shape == (1, 1000)
    (tmp_path / "cut.wav").write_bytes((tmp_path / "titled.wav").read_bytes()[:-100])
    with pytest.raises(audio.UnreadableAudio, match="truncated"):
        audio.read(tmp_path / "cut.wav")


def test_a_stream_promises_nothing(tmp_path):
    """What SoX writes into a pipe: a size that cannot be."""
    sound = tmp_path / "pipe.wav"
    soundfile.write(sound, np.zeros(1000), 16000)
    whole = sound.read_bytes()
    place = whole.index(b"data") + 4
    sizes = [struct.pack("<I", size) for size in (0x7FFFF024, 0x7FFFF000)]
    sound.write_bytes(whole[:4] + sizes[0] + whole[8:place] + sizes[1] + whole[place + 4 :])
    assert audio.read(sound)[0].shape == (1, 1000)


@pytest.mark.parametrize("name", ["a.ogg", "A.OGG"])
def test_an_ogg_that_was_cut_short_is_no_shorter_one(tmp_path, name):
    soundfile.write(tmp_path / name, np.random.default_rng(0).normal(scale=0.1, size=48000), 16000, format="OGG")
    assert audio.read(tmp_path / name)[0].shape[1] == 48000
    (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:-2000])
    with pytest.raises(audio.UnreadableAudio, match="truncated"):
        audio.read(tmp_path / name)
