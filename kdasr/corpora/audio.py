"""Reading recordings: what libsndfile reads, NIST .sph, and the big-endian .raw of the public AN4 archive."""

from __future__ import annotations

import struct
from io import BytesIO
from pathlib import Path

import numpy as np
import soundfile
from scipy.signal import resample_poly

FULL_SCALE = 32767 / 32768  # of 16 bits; samples are -1..1
STREAMED = 0x7FFFF000  # bytes that a .wav promises whose writer could not know their number
LHOTSE_READS = (".flac", ".opus", ".wav")  # others are rewritten as FLAC
SUFFIXES = (*LHOTSE_READS, ".sph", ".raw")
COMMON = (".flac", ".mp3", ".ogg", ".opus", ".wav")  # what recordings come in, where no corpus says it


class UnreadableAudio(Exception):
    """A recording that cannot be read whole; its text says why."""


def read(path: Path, raw_rate: int = 16000) -> tuple[np.ndarray, int]:
    """Reads a whole recording.

    Args:
        path: a file of one of `SUFFIXES`, or of another format that libsndfile reads and can seek in.
        raw_rate: samples a second of a `.raw` file (16-bit big-endian, one channel), which has no header.

    Returns:
        samples: `(C, N)` float32, full scale at -1 and 1.
        rate: samples a second.

    Raises:
        UnreadableAudio: the file is absent, damaged or shorter than its header says.
    """
    if not path.exists():
        raise UnreadableAudio("no such audio file")
    if path.suffix == ".raw":
        return _read_raw(path), raw_rate
    try:
        with soundfile.SoundFile(path) as file:
            promised, rate = max(file.frames, _promised(path)), file.samplerate
            samples = file.read(dtype="float32", always_2d=True).T
    except (soundfile.LibsndfileError, ValueError, struct.error) as error:
        raise UnreadableAudio(f"the audio cannot be read: {error}") from None
    if samples.shape[1] < promised:
        raise UnreadableAudio(f"the audio is truncated: expected {promised} samples, found {samples.shape[1]}")
    if path.suffix.lower() in (".ogg", ".opus") and not _ends(path):
        raise UnreadableAudio("the audio is truncated: its end is missing")
    return samples, rate


def converted(samples: np.ndarray, rate: int, wanted: int) -> np.ndarray:
    """The mean of the channels at another rate.

    Args:
        samples: `(C, N)` float32.
        rate: of them, Hz.
        wanted: Hz.

    Returns:
        `(N wanted / rate,)` float32, rounded up.
    """
    mono = samples.mean(0)
    return mono if rate == wanted or not len(mono) else resample_poly(mono, wanted, rate).astype(np.float32)


def write_flac(path: Path, samples: np.ndarray, rate: int) -> None:
    """Writes 16-bit FLAC from `(N,)` samples of -1..1 (a caller's temporary path may end in anything)."""
    whole = BytesIO()  # libsndfile says nothing when the disk is too full for its last block
    soundfile.write(whole, samples, rate, format="FLAC", subtype="PCM_16")
    path.write_bytes(whole.getbuffer())


def _read_raw(path: Path) -> np.ndarray:
    data = path.read_bytes()
    if len(data) % 2:
        raise UnreadableAudio(f"the audio is truncated: expected an even number of bytes, found {len(data)}")
    return np.frombuffer(data, ">i2")[None].astype(np.float32) / 32768


def _promised(path: Path) -> int:
    """Samples that a .wav or .sph header promises, or 0; libsndfile passes over missing ones in silence."""
    with open(path, "rb") as file:
        head = file.read(4096)
    if path.suffix == ".sph":
        lines = (line.split() for line in head.decode("latin-1").splitlines())
        return next((int(line[2]) for line in lines if line[:1] == ["sample_count"] and len(line) == 3), 0)
    place, frame_bytes = 12, 0
    while head[:4] == b"RIFF" and place + 8 <= len(head):
        name, size = struct.unpack_from("<4sI", head, place)
        if name == b"fmt ":
            frame_bytes = struct.unpack_from("<H", head, place + 20)[0]
        if name == b"data":
            return size // frame_bytes if frame_bytes and size < STREAMED else 0
        place += 8 + size + size % 2
    return 0


def _ends(path: Path) -> bool:
    """Whether an Ogg file has its last page, whole; libsndfile takes a file that was cut short for a shorter one.

    A page (RFC 3533, section 6) has 27 bytes of header: at 5 the flags (4: end of the stream), at 26 the number of its
    segments, whose sizes follow, a byte each, and then they themselves.
    """
    data = path.read_bytes()
    page = data[max(0, data.rfind(b"OggS")) :]
    sizes = page[27 : 27 + page[26]] if len(page) > 26 else b""
    return bool(sizes) and bool(page[5] & 4) and len(page) >= 27 + page[26] + sum(sizes)
