"""Mel-frequency cepstra: the GMM's input."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import kaldi_native_fbank as knf
from lhotse.features.base import register_extractor

from kdasr.features.extractor import FrameOptions, KaldiExtractor


@dataclass(frozen=True)
class MfccOptions(FrameOptions):
    """Options of the cepstra; Kaldi's defaults, and `use_energy` false as in its recipes.

    Attributes:
        num_ceps: coefficients, the zeroth among them.
        num_bins: mel filters.
        cepstral_lifter: coefficients are scaled up by a sine of this period.
        use_energy: the logarithm of the frame's energy in place of the zeroth coefficient.
    """

    num_ceps: int = 13
    num_bins: int = 23
    cepstral_lifter: float = 22.0
    use_energy: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.num_ceps > self.num_bins:
            raise ValueError(f"num_ceps {self.num_ceps} is more than num_bins {self.num_bins}")


@register_extractor
class Mfcc(KaldiExtractor):
    """Lhotse extractor of cepstra; `config` is `MfccOptions`."""

    name = "kdasr-mfcc"
    config_type = MfccOptions

    def make(self) -> Any:
        """kaldi-native-fbank's computer."""
        opts = knf.MfccOptions()
        opts.frame_opts, opts.mel_opts = self.config.frame_opts(), self.config.mel_opts(self.config.num_bins)
        opts.num_ceps, opts.cepstral_lifter = self.config.num_ceps, self.config.cepstral_lifter
        opts.use_energy, opts.raw_energy, opts.energy_floor = self.config.use_energy, True, 0.0
        return knf.OnlineMfcc(opts)

    def feature_dim(self, sampling_rate: int) -> int:
        """Numbers a frame."""
        return int(self.config.num_ceps)
