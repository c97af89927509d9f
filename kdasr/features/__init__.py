"""Features: lhotse extractors over kaldi-native-fbank, written to frame tables; normalisation and deltas."""

from __future__ import annotations

import importlib
from typing import Any

from kdasr.refusal import unknown_name

TYPES = {  # name, also of the options' section: the extractor
    "fbank": "kdasr.features.fbank:Fbank",
    "mfcc": "kdasr.features.mfcc:Mfcc",
}


def extractor_type(name: str) -> Any:
    """The extractor class of a feature type. Raises Refusal for an unknown name."""
    if name not in TYPES:
        raise unknown_name("feature type", name, TYPES)
    module, _, cls = TYPES[name].partition(":")
    return getattr(importlib.import_module(module), cls)


def extractor_of(record: dict[str, Any]) -> Any:
    """The extractor that a model's or table's record `extractor` tells of."""
    cls = extractor_type(record["type"].removeprefix("kdasr-"))
    return cls(cls.config_type(**{name: value for name, value in record.items() if name != "type"}))
