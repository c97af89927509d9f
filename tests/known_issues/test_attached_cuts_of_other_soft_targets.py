"""Soft targets made anew in their folder left the attached cuts' fingerprint as it was, and students stood as done."""

from __future__ import annotations

import pytest
import torch

from kdasr import io
from kdasr.distill.writer import write_soft_targets


def test_they_count_as_another_input(tmp_path):
    lhotse = pytest.importorskip("lhotse")
    from kdasr.exchange.cuts import attach_folder
    from tests.exchange.test_cuts import LABELS, SHIFT, cut_of

    lhotse.CutSet.from_cuts([cut_of("long", 1.0)]).to_file(tmp_path / "cuts.jsonl.gz")
    prints = []
    for seed in (0, 1, 1):
        logits = torch.randn(2, 25, len(LABELS), generator=torch.Generator().manual_seed(seed))
        soft = tmp_path / "soft"
        write_soft_targets(soft, [("long", logits)], LABELS, SHIFT, teachers={"net": str(seed)}, overwrite=True)
        attach_folder(tmp_path / "out", soft, tmp_path / "cuts.jsonl.gz", overwrite=True)
        prints.append(io.fingerprint(tmp_path / "out"))
    assert prints[0] != prints[1] == prints[2]
