"""From recordings to words, by a folder of `kdasr bundle`: `Recogniser("exp/bundle").transcribe("a.wav").text`."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from kdasr import jobs, log
from kdasr.align.aligner import Aligner, AlignOptions
from kdasr.align.timing import NO_WORD, WORD, Interval, timing
from kdasr.corpora import audio
from kdasr.decode.bundle import read_bundle
from kdasr.decode.nbest import text_of
from kdasr.decode.prior import log_prior
from kdasr.decode.search import Searcher
from kdasr.decode.transcript import Passage, Transcript
from kdasr.features import cmvn, extractor_of
from kdasr.lang.graph import alignment_graph
from kdasr.refusal import Refusal

LOUDEST = 1e6  # full scale is 1
LOWEST_RATE = 4000  # Hz
LONGEST = 3600  # frames searched in one piece
SMOOTH = 31  # frames over which silence is averaged: a pause between words, no stop's closure
BLOCK = 10_000  # frames whose posteriors are in memory at once, while silences are looked for
TOGETHER = 20_000  # frames of pieces that are searched in one go


@dataclass
class _Sound:
    """A recording: its frames, the pieces that they are searched in, and what was found in each so far."""

    file: Path
    seconds: float
    frames: np.ndarray
    pieces: list[tuple[int, int]]  # first frame, and the one after the last
    found: list[Passage] = field(default_factory=list)


@dataclass(frozen=True)
class _Piece:
    sound: _Sound
    begin: int
    end: int


class Recogniser:
    """Transcribes recordings.

    Args:
        folder: made by `kdasr bundle`.

    Raises:
        Refusal: it is no such folder, or damaged; or k2 is not there.
    """

    def __init__(self, folder: str | Path) -> None:
        bundle = read_bundle(folder)
        self.lexicon, self._tree, self._ensemble = bundle.lexicon, bundle.tree, bundle.ensemble
        self._transition_scores = bundle.transition_scores
        self._searcher = Searcher(bundle.graph, len(self.lexicon.words), bundle.decode)
        self._prior = log_prior(getattr(self._ensemble, bundle.decode.prior), bundle.decode.prior_floor)
        info = self._ensemble.infos[0]
        self._extractor = extractor_of(info["extractor"])
        self._left, self._right = int(info["left"]), int(info["right"])

    @property
    def sampling_rate(self) -> int:
        """Of the training recordings, Hz; others are resampled to it."""
        return int(self._extractor.config.sampling_rate)

    def transcribe(self, file: str | Path, times: bool = False) -> Transcript:
        """What is said in a recording.

        Args:
            file: a path to audio of any rate, in a format that libsndfile reads: wav, flac, ogg, mp3, ...; channels are
                averaged.
            times: find when each word is spoken, too.

        Raises:
            Refusal: the file cannot be read, or is too short.
        """
        (found,) = self.transcribe_all([file], times)
        if isinstance(found, Refusal):
            raise found
        return found

    def transcribe_all(self, files: Iterable[str | Path], times: bool = False) -> Iterator[Transcript | Refusal]:
        """What is said in recordings, in their order; a refusal in the place of one that cannot be used.

        Several are searched at once, which takes less time than one after the other.
        """
        opened: deque[_Sound | Refusal] = deque()
        pieces: list[_Piece] = []
        for file in files:
            try:
                sound = self._open(Path(file))
            except Refusal as refusal:
                opened.append(refusal)
                continue
            opened.append(sound)
            pieces += [_Piece(sound, *piece) for piece in sound.pieces]
            while sum(piece.end - piece.begin for piece in pieces) >= TOGETHER:
                pieces = self._recognise(pieces, times)
            while opened and _is_done(opened[0]):
                yield _result(opened.popleft())
        while pieces:
            pieces = self._recognise(pieces, times)
        yield from map(_result, opened)

    def _open(self, file: Path) -> _Sound:
        try:
            samples, rate = audio.read(file)
        except (audio.UnreadableAudio, OSError) as error:
            raise Refusal(str(error), where=file, do="name a recording: wav, flac, ogg, mp3") from None
        if not (np.abs(samples) < LOUDEST).all():
            what = "samples that are no numbers, or far beyond full scale"
            raise Refusal(what, where=file, do="make the recording again")
        if rate < LOWEST_RATE:
            raise Refusal(
                "the rate is too low for speech", where=file, expected=f"{LOWEST_RATE} Hz or more", found=rate
            )
        seconds = samples.shape[1] / rate
        frames = self._features(audio.converted(samples, rate, self.sampling_rate))
        if not len(frames):
            found = f"{seconds:.4f} s"
            raise Refusal("the recording is shorter than a frame", where=file, found=found, do="leave it out")
        return _Sound(file, round(seconds, 4), frames, self._cut(frames))

    def _features(self, samples: np.ndarray) -> np.ndarray:
        config = self._extractor.config
        frames = self._extractor.extract(samples, self.sampling_rate).astype(config.dtype)
        if len(frames) and config.cmvn == "speaker":  # a recording is a speaker
            frames = cmvn.Stats.of(frames).apply(frames).astype(config.dtype)
        return frames

    def _cut(self, frames: np.ndarray) -> list[tuple[int, int]]:
        if len(frames) <= LONGEST:
            return [(0, len(frames))]
        pdfs, starts = self._tree.silence_pdfs(), range(0, len(frames), BLOCK)
        blocks = [self._log_posteriors(frames, begin, min(begin + BLOCK, len(frames))) for begin in starts]
        return cut_at_silences(np.concatenate([block[:, pdfs].exp().sum(1).numpy() for block in blocks]), LONGEST)

    def _log_posteriors(self, frames: np.ndarray, begin: int, end: int) -> torch.Tensor:
        """Of some frames, which see those around them: (end - begin, S) float32."""
        first = max(0, begin - self._left)
        found = self._ensemble.log_posteriors(frames[first : end + self._right])
        return found[begin - first : end - first]

    def _recognise(self, pieces: list[_Piece], times: bool) -> list[_Piece]:
        """Searches the first pieces, as many as go together; returns the others."""
        count, frames = 0, 0
        while count < len(pieces) and (not count or frames + pieces[count].end - pieces[count].begin <= TOGETHER):
            frames += pieces[count].end - pieces[count].begin
            count += 1
        some = pieces[:count]
        likelihoods = list(jobs.in_threads(self._log_likelihoods, some))
        decoded = self._searcher.decode([len(each) for each in likelihoods], lambda number: likelihoods[number])
        (rows,) = decoded.words.values()
        texts = ["" if row is None else text_of(self.lexicon.words, row) for row in rows]
        words = self._times(some, texts, likelihoods) if times else [()] * len(some)
        for piece, row, text, spoken in zip(some, rows, texts, words, strict=True):
            begin, end = (self._seconds(piece, edge) for edge in (piece.begin, piece.end))
            if row is None:
                log.event(f"{piece.sound.file}: nothing was recognised from {begin} to {end} s: no path")
            piece.sound.found.append(Passage(begin, end, text, spoken))
        return pieces[count:]

    def _log_likelihoods(self, piece: _Piece) -> torch.Tensor:
        return self._log_posteriors(piece.sound.frames, piece.begin, piece.end) - self._prior

    def _times(
        self, pieces: Sequence[_Piece], texts: Sequence[str], likelihoods: Sequence[torch.Tensor]
    ) -> list[tuple[Interval, ...]]:
        """When the words of each piece are spoken, by alignment with the nets."""
        spoken = [number for number, text in enumerate(texts) if text]
        if not spoken:
            return [()] * len(pieces)
        graphs = [alignment_graph(texts[number].split(), self.lexicon, self._tree) for number in spoken]
        aligner = Aligner(graphs, [len(likelihoods[number]) for number in spoken], AlignOptions())
        paths = aligner.align(lambda row, pdfs: likelihoods[spoken[row]][:, pdfs], self._transition_scores)
        found: list[tuple[Interval, ...]] = [()] * len(pieces)
        for number, path in zip(spoken, paths, strict=True):
            found[number] = tuple(self._intervals(pieces[number], texts[number], path))
        return found

    def _seconds(self, piece: _Piece, frame: float) -> float:
        """Where a frame begins; the last one may reach beyond the recording."""
        return min(round(frame * self._extractor.frame_shift, 4), piece.sound.seconds)

    def _intervals(self, piece: _Piece, text: str, path: np.ndarray | None) -> Iterator[Interval]:
        shift = self._extractor.frame_shift
        duration = (piece.end - piece.begin) * shift
        if path is None:  # rounding has torn the search's lattice: somewhere in the piece
            edges = np.linspace(0, duration, len(text.split()) + 1)
            words = [Interval(*each) for each in zip(text.split(), edges[:-1], edges[1:], strict=True)]
        else:
            words = timing(path, text, self.lexicon, self._tree, duration, shift)[WORD]
        for word, start, end in words:
            if word != NO_WORD:
                yield Interval(word, *(self._seconds(piece, piece.begin + edge / shift) for edge in (start, end)))


def _is_done(sound: _Sound | Refusal) -> bool:
    return isinstance(sound, Refusal) or len(sound.found) == len(sound.pieces)


def _result(sound: _Sound | Refusal) -> Transcript | Refusal:
    return sound if isinstance(sound, Refusal) else Transcript(sound.file, sound.seconds, tuple(sound.found))


def cut_at_silences(silence: np.ndarray, longest: int) -> list[tuple[int, int]]:
    """Pieces of at most `longest` frames, cut where silence is surest in the second half of what is allowed.

    Args:
        silence: probability of silence, (T,).
        longest: frames a piece.

    Returns:
        First frame of each, and the one after its last.
    """
    sure = np.convolve(silence, np.full(SMOOTH, 1 / SMOOTH), mode="same")
    edges = [0]
    while len(silence) - edges[-1] > longest:
        half = edges[-1] + longest // 2
        edges.append(half + int(sure[half : edges[-1] + longest].argmax()))
    return list(zip(edges, [*edges[1:], len(silence)], strict=True))
