"""Features and word pieces: lhotse cuts with filterbanks attached, and a sentencepiece model of the transcripts."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path

import click
from lhotse import CutSet, Fbank, FbankConfig, NumpyFilesWriter
from lhotse.cut import Cut
from options import Settings, run, settings
from sentencepiece import SentencePieceProcessor, SentencePieceTrainer

from kdasr import io

SETS = ("train", "dev", "test")


def train_pieces(texts: Iterable[str], size: int, model: Path) -> None:
    """Trains word pieces: `<blk>` is number 0, each letter a piece."""
    special = {"unk_id": 0, "unk_piece": "<blk>", "bos_id": -1, "eos_id": -1}
    place, texts = str(model.with_suffix("")), iter(texts)
    SentencePieceTrainer.train(
        sentence_iterator=texts, model_prefix=place, vocab_size=size, model_type="bpe", minloglevel=2, **special
    )


def load_pieces(data: Path) -> SentencePieceProcessor:
    """The word pieces of a data folder."""
    io.read_info(data, "ctc-data")
    return SentencePieceProcessor(model_file=str(data / "pieces.model"))


def load_cuts(data: Path, name: str) -> CutSet:
    """The cuts of a set, with features."""
    return CutSet.from_file(data / f"{name}.jsonl.gz")


def names(pieces: SentencePieceProcessor) -> list[str]:
    """Every piece, blank first: the labels of the nets' outputs."""
    return [pieces.id_to_piece(number) for number in range(pieces.get_piece_size())]


def text(cut: Cut) -> str:
    """The transcript."""
    return " ".join(supervision.text for supervision in cut.supervisions)


@click.command()
@settings
@click.option("--manifests", type=Path, required=True, help="Folder of `kdasr corpus an4`.")
def main(data: Path, manifests: Path, conf: str, changes: tuple[str, ...], overwrite: bool) -> None:
    """Write cuts with their features, <set>.jsonl.gz, and word pieces."""
    options = Settings(conf, changes).data
    inputs = {name: io.fingerprint(manifests / name, "corpus") for name in SETS}
    if not io.begin(data, io.Made("ctc-data", options, inputs), overwrite):
        return
    logging.disable(logging.INFO)
    found = {name: CutSet.from_file(manifests / name / "cuts.jsonl.gz") for name in SETS}
    train_pieces(map(text, found["train"]), options.pieces, data / "pieces.model")
    extractor = Fbank(FbankConfig(num_mel_bins=options.bins))
    for name, cuts in found.items():
        cuts = cuts.compute_and_store_features(extractor, data / "features" / name, storage_type=NumpyFilesWriter)
        cuts.to_file(data / f"{name}.jsonl.gz")
    io.finish(data)


if __name__ == "__main__":
    run(main)
