"""Trains a CTC net on lhotse cuts; on cuts with soft targets attached, with the distillation loss too."""

from __future__ import annotations

import time
from pathlib import Path

import click
import torch
from data import load_cuts, load_pieces, names
from lhotse import CutSet
from lhotse.dataset import (
    DynamicBucketingSampler,
    GlobalMVN,
    K2SpeechRecognitionDataset,
    SimpleCutSampler,
    SpecAugment,
)
from model import SUBSAMPLING, Net
from options import NetOptions, Settings, TrainOptions, run, settings
from sentencepiece import SentencePieceProcessor
from torch import Tensor
from torch.utils.data import DataLoader, Sampler

from kdasr import io, log
from kdasr.distill.loss import soft_loss
from kdasr.exchange.cuts import CutTargets
from kdasr.train.precision import compute_dtype

SHIFT = 0.01 * SUBSAMPLING  # seconds between two outputs
VERB, MODEL = "ctc-train", "model.safetensors"
if Sampler.__init__.__defaults__ is None:  # torch 1.13 wants an argument that lhotse no longer gives
    Sampler.__init__.__defaults__ = (None,)


def training_batches(cuts: CutSet, options: TrainOptions, seed: int) -> DataLoader:
    """Shuffled batches of cuts of similar length. No time warp: it would move frames away from their soft targets."""
    sampler = DynamicBucketingSampler(cuts, max_duration=options.max_duration, shuffle=True, num_buckets=10, seed=seed)
    masks = SpecAugment(time_warp_factor=None, features_mask_size=15, num_frame_masks=4, frames_mask_size=30)
    dataset = K2SpeechRecognitionDataset(return_cuts=True, input_transforms=[masks])
    return DataLoader(dataset, sampler=sampler, batch_size=None)


def plain_batches(cuts: CutSet) -> DataLoader:
    """Batches of all cuts in their order."""
    sampler = SimpleCutSampler(cuts, max_duration=100.0)
    return DataLoader(K2SpeechRecognitionDataset(return_cuts=True), sampler=sampler, batch_size=None)


def load_net(folder: Path) -> Net:
    """A trained net."""
    io.read_info(folder, VERB)
    tensors, options = io.load_tensors(folder / MODEL)
    net = Net(options["bins"], options["pieces"], NetOptions(**options["net"]))
    net.load_state_dict(tensors)
    return net.eval()


def ctc_loss(logits: Tensor, lengths: Tensor, texts: list[str], pieces: SentencePieceProcessor) -> Tensor:
    """CTC of the transcripts, nats a frame."""
    labels = [torch.tensor(pieces.encode(each)) for each in texts]
    sizes = torch.tensor([len(row) for row in labels])
    log_p = logits.log_softmax(2).transpose(0, 1)
    total = torch.nn.functional.ctc_loss(log_p, torch.cat(labels), lengths, sizes, reduction="sum", zero_infinity=True)
    return total / lengths.sum()


@torch.no_grad()
def dev_loss(net: Net, batches: DataLoader, pieces: SentencePieceProcessor) -> float:
    """CTC of cuts, nats a frame."""
    net.eval()
    total, count = 0.0, 0
    for batch in batches:
        logits, lengths = net(batch["inputs"], batch["supervisions"]["num_frames"])
        loss, frames = ctc_loss(logits, lengths, batch["supervisions"]["text"], pieces), int(lengths.sum())
        total, count = total + frames * float(loss), count + frames
    net.train()
    return total / count


@click.command()
@settings
@click.option("--start", type=Path, help="Net to go on from; default: none, of train.start_epochs.")
@click.option("--attached", type=Path, help="Folder of `kdasr attach`: train on its cuts and their soft targets.")
@click.option("--seed", type=int, required=True)
@click.argument("out", type=Path)
def main(
    out: Path,
    data: Path,
    start: Path | None,
    attached: Path | None,
    seed: int,
    conf: str,
    changes: tuple[str, ...],
    overwrite: bool,
) -> None:
    """Train a net into OUT."""
    chosen = Settings(conf, changes)
    options, distill, bins = chosen.train, chosen.distill, chosen.data.bins
    epochs = options.epochs if start else options.start_epochs
    made_with = {"train": options, "net": chosen.net, "seed": seed, **({"distill": distill} if attached else {})}
    inputs = {"data": io.fingerprint(data, "ctc-data")}
    inputs |= {"start": io.fingerprint(start, VERB)} if start else {}
    inputs |= {"attached": io.fingerprint(attached, "attach")} if attached else {}
    if not io.begin(out, io.Made(VERB, made_with, inputs), overwrite):
        return
    torch.manual_seed(seed)
    torch.set_num_threads(1)
    pieces = load_pieces(data)
    cuts = CutSet.from_file(attached / "cuts.jsonl.gz") if attached else load_cuts(data, "train")
    targets = CutTargets(names(pieces), SHIFT, distill.temperature) if attached else None
    batches, dev = training_batches(cuts, options, seed), plain_batches(load_cuts(data, "dev"))
    net = load_net(start).train() if start else Net(bins, pieces.get_piece_size(), chosen.net)
    net.input = GlobalMVN.from_cuts(cuts)
    optimizer = torch.optim.AdamW(net.parameters(), options.learning_rate)
    steps = 1 + epochs * sum(1 for _ in batches.sampler)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, options.learning_rate, steps, pct_start=0.2)
    precision, metrics = compute_dtype("auto", torch.device("cpu")), log.Metrics(out)
    for epoch in range(epochs):
        begin, losses = time.perf_counter(), []
        batches.sampler.set_epoch(epoch)
        for batch in batches:
            spoken = batch["supervisions"]
            with torch.autocast("cpu", precision, enabled=precision != torch.float32):
                logits, lengths = net(batch["inputs"], spoken["num_frames"])
            loss = ctc_loss(logits.float(), lengths, spoken["text"], pieces)
            if targets:
                frames, soft = targets.match(spoken["cut"], logits, lengths)
                loss = distill.hard_weight * loss + soft_loss(frames, soft, distill)
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(net.parameters(), 5.0)
            optimizer.step()
            if schedule.last_epoch < steps - 1:  # an epoch may have a batch more than the first
                schedule.step()
            losses.append(float(loss))
        seconds, mean, found = time.perf_counter() - begin, sum(losses) / len(losses), dev_loss(net, dev, pieces)
        metrics.write(epoch, {"loss": mean, "dev_loss": found, "seconds": seconds})
        log.event(f"{out}: epoch {epoch + 1} of {epochs}: loss {mean:.4f}, dev {found:.4f}, {seconds:.1f} s")
    metrics.close()
    built = {"bins": bins, "pieces": pieces.get_piece_size(), "net": io.plain(chosen.net)}
    io.save_tensors(out / MODEL, net.state_dict(), built)
    io.finish(out)


if __name__ == "__main__":
    run(main)
