"""What filterbank and MFCC extractors share: framing options, and frames out of kaldi-native-fbank.

kaldi-native-fbank takes an utterance in a call or a few, at about 40 hours of audio a CPU minute; it is the
reference itself, so no second implementation has to be proven equal to it.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

import kaldi_native_fbank as knf
import numpy as np
from lhotse.features.base import FeatureExtractor

from kdasr.refusal import Refusal

O = TypeVar("O", bound="FrameOptions")  # noqa: E741

DTYPES = ("float16", "float32")
PIECE = 1 << 20  # samples that kaldi-native-fbank takes at once, as a list of Python's
WINDOWS = ("povey", "hamming", "hanning", "rectangular", "blackman")


@dataclass(frozen=True)
class FrameOptions:
    """Options of framing, of the mel filters and of the table, the same for all feature types.

    Frames follow lhotse's law (`snip_edges` false, Kaldi's default is true): one frame each `frame_shift_ms`,
    rounded to the nearest, centred, edges mirrored. No dither (Kaldi's is 1), so all is repeatable.

    Attributes:
        sampling_rate: of the audio, Hz; other audio is refused.
        frame_length_ms: window, milliseconds.
        frame_shift_ms: hop, milliseconds.
        preemphasis: coefficient.
        window: povey, hamming, hanning, rectangular or blackman.
        remove_dc_offset: subtract each frame's mean.
        low_freq: lower edge of the lowest mel filter, Hz.
        high_freq: upper edge of the highest, Hz; 0 or below counts from half the sampling rate.
        sample_scale: samples of -1..1 are multiplied by it; 32768 gives Kaldi's numbers.
        dtype: of the table, float16 or float32.
        max_bad: utterances that may be set aside: a share below 1, a count from 1 on.
    """

    sampling_rate: int = 16000
    frame_length_ms: float = 25.0
    frame_shift_ms: float = 10.0
    preemphasis: float = 0.97
    window: str = "povey"
    remove_dc_offset: bool = True
    low_freq: float = 20.0
    high_freq: float = 0.0
    sample_scale: float = 32768.0
    dtype: str = "float32"
    max_bad: float = 0.01

    def __post_init__(self) -> None:
        if self.dtype not in DTYPES:
            raise ValueError(f"dtype must be one of {', '.join(DTYPES)}, found {self.dtype}")
        if self.window not in WINDOWS:
            raise ValueError(f"window must be one of {', '.join(WINDOWS)}, found {self.window}")

    def frame_opts(self) -> Any:
        """kaldi-native-fbank's framing options."""
        opts = knf.FrameExtractionOptions()
        opts.samp_freq, opts.dither, opts.snip_edges = self.sampling_rate, 0.0, False
        opts.frame_length_ms, opts.frame_shift_ms = self.frame_length_ms, self.frame_shift_ms
        opts.preemph_coeff, opts.window_type = self.preemphasis, self.window
        opts.remove_dc_offset = self.remove_dc_offset
        return opts

    def mel_opts(self, num_bins: int) -> Any:
        """kaldi-native-fbank's options of the mel filters (HTK's mel scale, as Kaldi has it)."""
        opts = knf.MelBanksOptions()
        opts.num_bins, opts.low_freq, opts.high_freq = num_bins, self.low_freq, self.high_freq
        return opts

    def to_dict(self) -> dict[str, Any]:
        """As lhotse stores them."""
        return asdict(self)

    @classmethod
    def from_dict(cls: type[O], data: dict[str, Any]) -> O:
        """From what `to_dict` gave."""
        return cls(**data)


class KaldiExtractor(FeatureExtractor):  # type: ignore[misc]
    """A lhotse extractor whose frames kaldi-native-fbank computes."""

    config: Any

    @abstractmethod
    def make(self) -> Any:
        """kaldi-native-fbank's computer, new for each utterance."""

    @property
    def frame_shift(self) -> float:
        """Seconds between frames."""
        return float(self.config.frame_shift_ms) / 1000

    def extract(self, samples: Any, sampling_rate: int) -> np.ndarray:
        """Features of one utterance.

        Args:
            samples: `(N,)` or `(1, N)`, -1..1, array or tensor.
            sampling_rate: Hz.

        Returns:
            `(T, dim)` float32, T = N / (samples a frame shift), rounded to the nearest.

        Raises:
            Refusal: another sampling rate than the options', or several channels.
        """
        samples = np.asarray(samples, np.float32)
        if sampling_rate != self.config.sampling_rate:
            raise Refusal(
                "other sampling rate",
                expected=self.config.sampling_rate,
                found=sampling_rate,
                do="set sampling_rate",
            )
        if samples.ndim > 1 and samples.shape[0] != 1:
            raise Refusal("several channels", expected="(1, N)", found=samples.shape)
        computer, scaled = self.make(), samples.reshape(-1) * np.float32(self.config.sample_scale)
        for begin in range(0, len(scaled), PIECE):
            computer.accept_waveform(sampling_rate, scaled[begin : begin + PIECE].tolist())
        computer.input_finished()
        frames = [computer.get_frame(index) for index in range(computer.num_frames_ready)]
        return np.array(frames, np.float32).reshape(len(frames), self.feature_dim(sampling_rate))
