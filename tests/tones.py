"""A language of tones: recordings that are made in no time and that any model learns."""

from __future__ import annotations

from pathlib import Path

import lhotse
import numpy as np
import soundfile

from kdasr import io

RATE = 16000
TONES = {"a": 400.0, "b": 800.0, "c": 1500.0, "d": 2500.0}  # phone: Hz
WORDS = {"ONE": "a b", "TWO": "c", "THREE": "b d", "FOUR": "d a c"}


def spoken(words: list[str], rng: np.random.Generator) -> tuple[np.ndarray, list[tuple[float, float]]]:
    """Samples (N,) float32 of words with pauses around them; when each begins and ends, seconds."""
    parts, times, now = [np.zeros(int(rng.integers(2000, 4000)))], [], 0
    for word in words:
        now = sum(map(len, parts))
        for phone in WORDS[word].split():
            length = int(rng.integers(1600, 2600))
            parts.append(0.3 * np.sin(2 * np.pi * TONES[phone] * rng.uniform(0.97, 1.03) * np.arange(length) / RATE))
        times.append((now / RATE, sum(map(len, parts)) / RATE))
        parts.append(np.zeros(int(rng.integers(2000, 4000))))
    samples = np.concatenate(parts)
    return (samples + rng.normal(scale=0.005, size=len(samples))).astype(np.float32), times


def write_cuts(folder: Path, count: int, seed: int) -> dict[str, str]:
    """Finished cuts of so many recordings, `audio/<id>.wav` beside them; their transcripts by id."""
    rng, texts, cuts = np.random.default_rng(seed), {}, []
    io.begin(folder, io.Made("corpus", {"seed": seed}))
    (folder / "audio").mkdir(exist_ok=True)
    for number in range(count):
        id, words = f"s{number % 3}-{number}", rng.choice(list(WORDS), int(rng.integers(2, 6))).tolist()
        path, texts[id] = folder / "audio" / f"{id}.wav", " ".join(words)
        soundfile.write(path, spoken(words, rng)[0], RATE)
        recording = lhotse.Recording.from_file(path, recording_id=id)
        supervision = lhotse.SupervisionSegment(id, id, 0.0, recording.duration, text=texts[id], speaker=id[:2])
        cuts.append(lhotse.MonoCut(id, 0.0, recording.duration, 0, recording=recording, supervisions=[supervision]))
    lhotse.CutSet.from_cuts(cuts).to_file(folder / "cuts.jsonl.gz")
    io.finish(folder)
    return texts


def write_lexicon(path: Path) -> Path:
    """The lexicon of all words."""
    path.write_text("".join(f"{word} {phones}\n" for word, phones in WORDS.items()))
    return path
