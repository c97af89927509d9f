"""Connected digits spoken by eSpeak NG in many voices, in noise: a corpus that needs no data.

A speaker is a voice variant with an English accent; training, development and test share no variant.
The same options and the same eSpeak NG give the same samples bit for bit, whatever the number of processes.
"""

from __future__ import annotations

import math
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.signal import resample_poly

from kdasr import io, jobs, log
from kdasr.corpora import audio, espeak, manifests, noise, validate
from kdasr.corpora.validate import Found
from kdasr.refusal import Refusal

RATE = 16000  # samples a second
WORDS = ("ZERO", "ONE", "TWO", "THREE", "FOUR", "FIVE", "SIX", "SEVEN", "EIGHT", "NINE")
ACCENTS = (
    "en-us",
    "en",  # Great Britain
    "en-gb-x-rp",
    "en-gb-scotland",
    "en-029",
    "en-gb-x-gbclan",
    "en-us-nyc",
    "en-gb-x-gbcwmd",
)
# Variants of each set: namesakes share a set, robots and whisperers are left out. Accents go round in turn.
VOICES = {
    "train": (
        *("Alex", "Andrea", "Andy", "Denis", "Diogo", "Gene", "Gene2", "Henrique"),
        *("Jacky", "Lee", "Michael", "Nguyen", "Reed", "RicishayMax", "adam", "anika"),
        *("aunty", "benjamin", "caleb", "ed", "edward", "edward2", "f1", "f2"),
        *("f5", "grandpa", "gustave", "ian", "john", "kaukovalta", "m1", "m2"),
        *("m4", "m6", "m8", "marcelo", "max", "michel", "paul", "pedro"),
        *("quincy", "robert", "sandro", "steph", "steph2", "steph3", "travis", "zac"),
    ),
    "dev": ("Hugo", "antonio", "boris", "f4", "grandma", "m5", "m7", "rob"),
    "test": ("Annie", "Mario", "belinda", "david", "f3", "linda", "m3", "miguel", "norbert", "victor"),
}
LEXICON = """\
ZERO Z IH R OW
ZERO Z IY R OW
ONE W AH N
TWO T UW
THREE TH R IY
FOUR F AO R
FOUR F AO
FIVE F AY V
SIX S IH K S
SEVEN S EH V AH N
EIGHT EY T
NINE N AY N
"""


@dataclass(frozen=True)
class DigitsOptions:
    """Options of the digits.

    Attributes:
        seed: of words, manners of speaking and noise.
        train_per_voice: utterances of each of the 48 training voices (about 1 h in all).
        dev_per_voice: of each of the 8 development voices (about 0.2 h).
        test_per_voice: of each of the 10 test voices (about 0.2 h).
        min_digits: fewest digits an utterance.
        max_digits: most.
        min_rate: slowest, words a minute.
        max_rate: fastest.
        pitch_spread: most that pitch and its range depart from 50, of 100.
        snrs: signal-to-noise ratios, dB; each utterance has one of them.
        noises: kinds of noise (white, pink, babble); each utterance has one of them.
        max_bad: utterances that may be set aside: a share below 1, a count from 1 on.
    """

    seed: int = 1
    train_per_voice: int = 37
    dev_per_voice: int = 45
    test_per_voice: int = 35
    min_digits: int = 2
    max_digits: int = 7
    min_rate: int = 130
    max_rate: int = 230
    pitch_spread: int = 20
    snrs: tuple[float, ...] = (0.0, 5.0, 10.0, 15.0, 20.0)
    noises: tuple[str, ...] = ("white", "pink", "babble")
    max_bad: float = 0.0

    def __post_init__(self) -> None:
        if not 1 <= self.min_digits <= self.max_digits:
            raise ValueError(f"min_digits {self.min_digits} and max_digits {self.max_digits} are in no order")
        if not 80 <= self.min_rate <= self.max_rate <= 450:
            raise ValueError("min_rate and max_rate must lie in order between 80 and 450")
        if unknown := set(self.noises) - set(noise.KINDS):
            raise ValueError(f"unknown noise {sorted(unknown)[0]!r}, known: {', '.join(noise.KINDS)}")

    def per_voice(self, name: str) -> int:
        """Utterances of each voice of a set."""
        return {"train": self.train_per_voice, "dev": self.dev_per_voice, "test": self.test_per_voice}[name]


def prepare(out: Path, options: DigitsOptions, corpus: Path | None, num_jobs: int = 1, overwrite: bool = False) -> None:
    """Writes `train`, `dev`, `test`, each with its recordings, and the lexicon; see `corpora.prepare`."""
    if corpus is not None:
        raise Refusal("digits is spoken, not read", where=f"--corpus {corpus}", do="leave --corpus out")
    made = io.Made("corpus digits", validate.shaping(options), espeak.fingerprints())
    rules = validate.Rules(RATE, 1.0, out)
    manifests.write(
        out,
        made,
        tuple(VOICES),
        lambda: speak_all(out, options, num_jobs),
        rules,
        options.max_bad,
        num_jobs,
        overwrite,
    )
    manifests.write_language(out, made, lambda: {"lexicon.txt": LEXICON}, overwrite)


@dataclass(frozen=True)
class Voice:
    """One speaker: set, accent and variant."""

    set: str
    accent: str
    variant: str

    @property
    def speaker(self) -> str:
        """Its name in ids and manifests."""
        return f"{self.variant}-{self.accent}".lower()


def voices(name: str) -> list[Voice]:
    """The voices of a set."""
    return [Voice(name, ACCENTS[number % len(ACCENTS)], variant) for number, variant in enumerate(VOICES[name])]


def speak_all(out: Path, options: DigitsOptions, num_jobs: int) -> dict[str, list[Found]]:
    """Makes all recordings, `out/<set>/audio/<speaker>/<id>.flac`; those that exist are whole and stay."""
    log.event("digits: eSpeak NG speaks")
    everyone = [voice for name in VOICES for voice in voices(name)]
    spoken = jobs.run(_speak_voice, [(out, options, voice) for voice in everyone], num_jobs, title="voices")
    return {
        name: [found for voice, part in zip(everyone, spoken, strict=True) if voice.set == name for found in part]
        for name in VOICES
    }


def _speak_voice(arguments: tuple[Path, DigitsOptions, Voice]) -> list[Found]:
    out, options, voice = arguments
    found = []
    for number in range(options.per_voice(voice.set)):
        plan = make_plan(options, voice, number)
        id = f"{voice.speaker}-{number:03d}"
        path = out / voice.set / "audio" / voice.speaker / f"{id}.flac"
        if not path.exists():
            with io.atomic(path) as part:
                audio.write_flac(part, render(plan), RATE)
        about: dict[str, str | float] = {"snr": plan.snr, "noise": plan.noise}
        found.append(Found(id, voice.speaker, " ".join(plan.words), path, about))
    return found


@dataclass(frozen=True)
class Plan:
    """All that makes one recording.

    Attributes:
        words: what is said.
        comma: whether a short pause follows each word.
        manner: voice, rate and pitch.
        before: seconds of noise alone at the beginning.
        after: seconds of noise alone at the end.
        level: of the speech, dB of full scale (mean power of its active frames).
        noise: kind.
        snr: dB.
        seed: of the noise.
    """

    words: tuple[str, ...]
    comma: bool
    manner: espeak.Manner
    before: float
    after: float
    level: float
    noise: str
    snr: float
    seed: tuple[int, ...]


def make_plan(options: DigitsOptions, voice: Voice, number: int) -> Plan:
    """Draws the plan of a voice's utterance; it depends on nothing else, so others do not shift it."""
    seed = (options.seed, zlib.crc32(voice.speaker.encode()), number)
    draw = np.random.default_rng(seed)
    length = int(draw.integers(options.min_digits, options.max_digits + 1))
    spread = options.pitch_spread
    manner = espeak.Manner(
        voice.accent,
        voice.variant,
        rate=int(draw.integers(options.min_rate, options.max_rate + 1)),
        pitch=int(draw.integers(50 - spread, 50 + spread + 1)),
        range=int(draw.integers(50 - spread, 50 + spread + 1)),
        seed=int(draw.integers(1, 2**31)),
    )
    return Plan(
        words=tuple(WORDS[digit] for digit in draw.integers(0, len(WORDS), length)),
        comma=bool(draw.random() < 0.25),
        manner=manner,
        before=float(draw.uniform(0.1, 0.4)),
        after=float(draw.uniform(0.1, 0.4)),
        level=float(draw.uniform(-32, -22)),
        noise=options.noises[int(draw.integers(len(options.noises)))],
        snr=float(options.snrs[int(draw.integers(len(options.snrs)))]),
        seed=(*seed, 1),
    )


def render(plan: Plan) -> np.ndarray:
    """The samples of a plan, `(N,)` float64 at 16 kHz: speech at its level plus noise, never clipped."""
    text = (", " if plan.comma else " ").join(plan.words).lower()
    spoken, rate = espeak.speak(text, plan.manner)
    common = math.gcd(rate, RATE)
    speech = resample_poly(_trim(spoken).astype(np.float64), RATE // common, rate // common)
    speech *= 10 ** (plan.level / 20) / np.sqrt(noise.active_power(speech, RATE))
    speech = np.pad(speech, (round(plan.before * RATE), round(plan.after * RATE)))
    disturbance = noise.KINDS[plan.noise](len(speech), RATE, np.random.default_rng(plan.seed))
    mixed = noise.mix(speech, disturbance, plan.snr, RATE)
    return mixed * min(1.0, 0.99 / float(np.abs(mixed).max()))


def _trim(samples: np.ndarray) -> np.ndarray:
    """Without eSpeak's own digital silence at both ends."""
    loud = np.flatnonzero(samples)
    return samples[loud[0] : loud[-1] + 1] if len(loud) else samples
