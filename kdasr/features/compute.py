"""Features of a set of cuts, in parallel parts, packed into one frame table.

Parts are of a fixed number of cuts, whatever the number of processes, so the table is the same; a part that
is whole when the work is killed is not done again.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
from lhotse import Features, MonoCut

from kdasr import io, jobs, log
from kdasr.corpora import audio, manifests, validate
from kdasr.data.table import FrameTableWriter
from kdasr.features import cmvn
from kdasr.features.extractor import KaldiExtractor
from kdasr.features.reader import TableReader
from kdasr.refusal import Refusal

PART = 100  # cuts
SECONDS_A_PROCESS = 600  # of audio; with less a process costs more to start than it saves
ATTACHED = "lhotse"  # folder of the cuts with features attached; it names places: no part of the fingerprint


def compute(
    out: Path, extractor: KaldiExtractor, cuts_folder: Path, num_jobs: int = 1, overwrite: bool = False
) -> None:
    """Writes the features of all cuts of a folder.

    Args:
        out: the frame table, `(T, dim)` of the options' dtype, utterances in the cuts' order; `bad.txt`; and
            `lhotse/cuts.jsonl.gz`, the cuts with these features attached (see `kdasr.features.reader`).
        extractor: computes them.
        cuts_folder: made by `kdasr corpus`, or a lhotse file of cuts.
        num_jobs: processes at most.
        overwrite: make again what other options or cuts made.

    Raises:
        Refusal: more than `max_bad` utterances are bad.
    """
    made = io.Made(
        f"features {extractor.name}",
        validate.shaping(extractor.config),
        {"cuts": io.fingerprint(cuts_folder, "corpus")},
    )
    if not io.begin(out, made, overwrite):
        return
    cuts = manifests.load_cuts(cuts_folder)
    _expect_rate(cuts, extractor, cuts_folder)
    begins = range(0, len(cuts), PART)
    parts = [(extractor, cuts[begin : begin + PART], out / "parts" / f"{begin:08d}") for begin in begins]
    worthwhile = int(sum(cut.duration for cut in cuts) / SECONDS_A_PROCESS)
    jobs.run(compute_part, parts, min(num_jobs, max(1, worthwhile)), threads=1, title=str(out))
    by_speaker = getattr(extractor.config, "cmvn", "global") == "speaker"
    lengths, bad = _pack(out, [stem for _, _, stem in parts], by_speaker)
    validate.set_aside(bad, len(cuts), extractor.config.max_bad, cuts_folder, f"{_section(extractor)}.max_bad=N")
    validate.write_bad(out, bad)
    _attach(out, extractor, cuts, lengths)
    shutil.rmtree(out / "parts", ignore_errors=True)
    shaping = {name: value for name, value in made.options.items() if name != "dtype"}
    facts = {
        "type": extractor.name,
        "extractor": {"type": extractor.name, **shaping},  # in which a model's features must agree
        "dim": extractor.feature_dim(extractor.config.sampling_rate),
        "frame_shift": extractor.frame_shift,
        "num_frames": sum(lengths.values()),
        "num_utterances": len(lengths),
        "num_bad": len(bad),
    }
    io.finish(out, **facts)
    log.event(f"{out}: {facts['num_frames']} frames of {len(lengths)} utterances, {len(bad)} set aside")


def compute_part(arguments: tuple[KaldiExtractor, Sequence[MonoCut], Path]) -> None:
    """Writes one part: `<stem>.npy` with all its frames, then `<stem>.json` with utterances and bad ones."""
    extractor, cuts, stem = arguments
    done = stem.with_suffix(".json")
    if done.exists() and not io.read_json(done)["bad"]:  # bad ones get another chance
        return
    utterances, frames, bad = [], [], {}
    for cut in log.progress(cuts, stem.name):
        found = _features(extractor, cut)
        if isinstance(found, str):
            bad[cut.id] = found
            continue
        frames.append(found)
        utterances.append([cut.id, manifests.speaker_of(cut), len(found)])
    empty = np.empty((0, extractor.feature_dim(extractor.config.sampling_rate)), extractor.config.dtype)
    io.save_array(stem.with_suffix(".npy"), np.concatenate([empty, *frames]))
    io.write_json(done, {"utterances": utterances, "bad": bad})


def _section(extractor: KaldiExtractor) -> str:
    return str(extractor.name).removeprefix("kdasr-")


def _expect_rate(cuts: Sequence[MonoCut], extractor: KaldiExtractor, where: Path) -> None:
    """Refuses a set recorded at another rate as a whole; single utterances are set aside later."""
    wanted = extractor.config.sampling_rate
    rates = sorted({cut.sampling_rate for cut in cuts})
    if rates and wanted not in rates:
        do = f"add --set {_section(extractor)}.sampling_rate={rates[0]} (to every set), or resample the corpus"
        raise Refusal("the cuts' sampling rate is another", where=where, expected=wanted, found=rates[0], do=do)


def _features(extractor: KaldiExtractor, cut: MonoCut) -> np.ndarray | str:
    """The features of a cut, or why there are none."""
    try:
        samples, rate = _samples(cut)
    except Exception as error:  # lhotse hands on whatever its backends raise
        return " ".join(str(error).split())[:300]
    if fault := validate.fault_of(samples, rate, extractor.config.sampling_rate):
        return fault
    if samples.shape[1] != cut.num_samples:
        return f"the audio has {samples.shape[1]} samples, the manifest says {cut.num_samples}"
    frames = extractor.extract(samples, rate).astype(extractor.config.dtype)
    return frames if len(frames) else f"the audio is shorter than a frame: {samples.shape[1]} samples"


def _samples(cut: MonoCut) -> tuple[np.ndarray, int]:
    """`(C, N)` samples and their rate: whole recordings by our own reader, parts and altered ones by lhotse.

    Where a file is shorter than its manifest says, lhotse mirrors up to half a second.
    """
    recording = cut.recording
    whole = cut.start == 0 and cut.num_samples == recording.num_samples and len(recording.sources) == 1
    if not whole or recording.transforms or recording.sources[0].type != "file":
        return cut.load_audio(), cut.sampling_rate
    return audio.read(Path(recording.sources[0].source))


def _pack(out: Path, stems: Sequence[Path], by_speaker: bool) -> tuple[dict[str, int], dict[str, str]]:
    """Joins the parts to the table; returns utterance -> number of frames, and the bad ones -> reason."""
    writer = FrameTableWriter(out)
    stats = cmvn.total((speaker, frames) for _, speaker, frames in _parts(stems)) if by_speaker else {}
    lengths: dict[str, int] = {}
    for id, speaker, frames in _parts(stems):
        writer.add(id, speaker, stats[speaker].apply(frames).astype(frames.dtype) if by_speaker else frames)
        lengths[id] = len(frames)
    writer.close()
    bad = [io.read_json(stem.with_suffix(".json"))["bad"] for stem in stems]
    return lengths, {id: reason for part in bad for id, reason in part.items()}


def _parts(stems: Sequence[Path]) -> Iterator[tuple[str, str, np.ndarray]]:
    """Id, speaker and frames of every utterance of the parts."""
    for stem in stems:
        part, frames = io.read_json(stem.with_suffix(".json")), io.map_array(stem.with_suffix(".npy"))
        begin = 0
        for id, speaker, num_frames in part["utterances"]:
            yield id, speaker, frames[begin : begin + num_frames]
            begin += num_frames


def _attach(out: Path, extractor: KaldiExtractor, cuts: Sequence[MonoCut], lengths: Mapping[str, int]) -> None:
    """Writes the cuts with their features attached."""
    attached = [cut for cut in cuts if cut.id in lengths]
    for cut in attached:
        cut.features = Features(
            type=extractor.name,
            num_frames=lengths[cut.id],
            num_features=extractor.feature_dim(cut.sampling_rate),
            frame_shift=extractor.frame_shift,
            sampling_rate=cut.sampling_rate,
            start=cut.start,
            duration=cut.duration,
            storage_type=TableReader.name,
            storage_path=str(out.absolute()),
            storage_key=cut.id,
            recording_id=cut.recording_id,
            channels=cut.channel,
        )
    (out / ATTACHED).mkdir(exist_ok=True)
    manifests.save_cuts(out / ATTACHED, attached)
