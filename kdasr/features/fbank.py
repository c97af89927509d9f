"""Log-mel filterbanks: the DNN's input (section 4 of the paper: 40 coefficients, 10 ms apart)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import kaldi_native_fbank as knf
from lhotse.features.base import register_extractor

from kdasr.features.extractor import FrameOptions, KaldiExtractor

CMVN = ("global", "speaker")


@dataclass(frozen=True)
class FbankOptions(FrameOptions):
    """Options of the filterbanks.

    Attributes:
        num_bins: mel filters (section 4: 40; Kaldi's default 23).
        dtype: of the table, float16 or float32. On Kaldi's scale speech lies between 0 and 28, where
            float16 rounds by at most 0.008: a four-hundredth of a coefficient's deviation.
        cmvn: global (a net normalises by its training set's mean and deviation, so that one file alone gives what the
            whole set gives) or speaker (the table holds frames of mean 0 and deviation 1 for each speaker of the set).
    """

    num_bins: int = 40
    dtype: str = "float16"
    cmvn: str = "global"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.cmvn not in CMVN:
            raise ValueError(f"cmvn must be one of {', '.join(CMVN)}, found {self.cmvn}")


@register_extractor
class Fbank(KaldiExtractor):
    """Lhotse extractor of log-mel filterbanks; `config` is `FbankOptions`."""

    name = "kdasr-fbank"
    config_type = FbankOptions

    def make(self) -> Any:
        """kaldi-native-fbank's computer: natural logarithm of power, no energy coefficient."""
        opts = knf.FbankOptions()
        opts.frame_opts, opts.mel_opts = self.config.frame_opts(), self.config.mel_opts(self.config.num_bins)
        opts.use_energy, opts.use_log_fbank, opts.use_power = False, True, True
        return knf.OnlineFbank(opts)

    def feature_dim(self, sampling_rate: int) -> int:
        """Numbers a frame."""
        return int(self.config.num_bins)
