"""Soft targets on lhotse cuts: attached, read by lhotse, matched with a net's outputs, refused when they do not fit."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

pytest.importorskip("lhotse")

from lhotse import CutSet, MonoCut
from lhotse.array import TemporalArray
from lhotse.cut import MixedCut, MixTrack, PaddingCut
from lhotse.dataset.collation import collate_custom_field
from lhotse.qa import validate
from lhotse.testing.dummies import dummy_recording, dummy_supervision
from lhotse.utils import fastcopy

from kdasr.cli import main
from kdasr.corpora import manifests
from kdasr.distill.ensemble import combine
from kdasr.distill.loss import DistillOptions
from kdasr.distill.store import StoreOptions
from kdasr.distill.writer import write_soft_targets
from kdasr.exchange.cuts import FIELD, CutTargets, attach
from kdasr.refusal import Refusal

LABELS = ["<blk>", "A", "B", "C"]
SHIFT = 0.04
SECONDS = {"long": 1.0, "short": 0.53, "odd": 0.61}  # 25 frames; 14, rounded up; 16, rounded up
FRAMES = {"long": 25, "short": 14, "odd": 16}


def cut_of(id: str, seconds: float) -> MonoCut:
    recording = dummy_recording(0, duration=seconds)
    return MonoCut(id, 0.0, seconds, 0, [dummy_supervision(0, duration=seconds)], recording=recording)


def logits(seed: int, frames: int) -> torch.Tensor:
    return torch.randn(2, frames, len(LABELS), generator=torch.Generator().manual_seed(seed))


TEACHERS = {id: logits(number, FRAMES[id]) for number, id in enumerate(SECONDS)}


def expected(id: str) -> torch.Tensor:
    return combine(TEACHERS[id], 2.0, "arithmetic").exp()


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("soft") / "targets"
    whole = StoreOptions(keep=4, mass=1.0, bits=16)
    write_soft_targets(path, TEACHERS.items(), LABELS, SHIFT, DistillOptions(2.0), whole)
    return path


@pytest.fixture(scope="module")
def cuts(folder) -> dict[str, MonoCut]:
    return {cut.id: cut for cut in attach([cut_of(id, seconds) for id, seconds in SECONDS.items()], folder)}


def outputs(*counts: int) -> torch.Tensor:
    return torch.randn(len(counts), max(counts), len(LABELS))


def close(found: torch.Tensor, wanted: torch.Tensor) -> None:
    torch.testing.assert_close(found, wanted, atol=1e-4, rtol=2e-3)


def test_lhotse_reads_them_as_a_temporal_array(cuts, tmp_path):
    path = tmp_path / "cuts.jsonl.gz"
    CutSet.from_cuts(cuts.values()).to_file(path)
    read = {cut.id: cut for cut in CutSet.from_file(path)}
    for id in SECONDS:
        assert isinstance(read[id].soft_targets, TemporalArray)
        close(torch.from_numpy(read[id].load_soft_targets())[: FRAMES[id] - 1], expected(id)[: FRAMES[id] - 1])
    part = read["long"].truncate(offset=0.4, duration=0.2)
    close(torch.from_numpy(part.load_soft_targets()), expected("long")[10:15])
    padded, lengths = collate_custom_field(CutSet.from_cuts([read["long"], part]), FIELD, pad_value=0.0)
    assert padded.shape == (2, 25, 4) and lengths.tolist() == [25, 5]


def test_lhotse_checks_a_batch_without_a_warning_for_each_cut(cuts, caplog):
    """Frames of a subsampled net seldom end with the cut, and lhotse warns of any other duration, in every batch."""
    cut = fastcopy(cuts["short"], supervisions=[dummy_supervision(0, duration=0.53)])
    validate(cut)
    assert caplog.text == ""
    validate(fastcopy(cut, custom={"other": cut.soft_targets}))
    assert "possibly mismatched duration" in caplog.text


def test_they_are_matched_with_a_batch_frame_by_frame(cuts):
    z = outputs(25, 14, 16)
    frames, soft = CutTargets(LABELS, SHIFT, 2.0).match(cuts.values(), z, torch.tensor([25, 14, 16]))
    assert torch.equal(frames, torch.cat([z[0], z[1, :14], z[2, :16]]))
    close(soft.dense(), torch.cat([expected(id) for id in SECONDS]))


def test_a_part_of_a_cut_has_its_own_frames(cuts):
    part = cuts["long"].truncate(offset=0.4, duration=0.2)
    _, soft = CutTargets(None, SHIFT, 2.0).match([part], outputs(5), [5])
    close(soft.dense(), expected("long")[10:15])
    _, soft = CutTargets(None, SHIFT, 2.0).match([part], outputs(6), [6])  # its end rounded up
    close(soft.dense(), expected("long")[10:16])


def test_noise_mixed_in_and_padding_change_nothing(cuts):
    mixed = cuts["long"].mix(cut_of("noise", 1.0), snr=10)
    padded = cuts["short"].pad(duration=2.0)
    _, soft = CutTargets(LABELS, SHIFT, 2.0).match([mixed, padded], outputs(25, 14), [25, 14])
    close(soft.dense(), torch.cat([expected("long"), expected("short")]))


def test_a_change_of_volume_changes_nothing(cuts):
    _, soft = CutTargets(LABELS, SHIFT, 2.0).match([cuts["long"].perturb_volume(2.0)], outputs(25), [25])
    close(soft.dense(), expected("long"))


def test_soft_targets_of_cuts_at_another_speed_belong_to_those(tmp_path):
    slow = cut_of("slow", 1.0).perturb_speed(0.9)
    write_soft_targets(tmp_path / "soft", [(slow.id, logits(7, 28))], LABELS, SHIFT)
    _, soft = CutTargets(LABELS, SHIFT, 2.0).match(attach([slow], tmp_path / "soft"), outputs(28), [28])
    assert len(soft) == 28


@pytest.mark.parametrize(
    ("change", "counts", "message"),
    [
        (
            lambda c: c["long"].perturb_speed(0.9),
            28,
            r"changed in speed or tempo .*expected a recording of 1 s, found 1.11",
        ),
        (lambda c: c["long"].perturb_tempo(1.1), 23, r"changed in speed or tempo"),
        (
            lambda c: c["long"].append(c["short"]),
            38,
            r"mixed cut .*expected one cut with soft targets.*found 2 of them",
        ),
        (lambda c: cut_of("silent", 0.4).append(c["long"]), 35, r"mixed cut .*begins 0.4 s late"),
        (lambda c: cut_of("new", 1.0), 25, r"cut 'new' has no soft targets.*kdasr attach"),
        (
            lambda c: c["long"].move_to_memory(audio_format="no audio is loaded", load_audio=False),
            25,
            r"has no soft targets .found a copy of them, in memory or Shar.; attach",
        ),
        (
            lambda c: c["long"],
            24,
            r"not the frames of its soft targets .*expected 25 frames from frame 0 of 25, found 24",
        ),
        (lambda c: c["long"].truncate(duration=0.4), 13, r"not the frames of its soft targets .*expected 10 frames"),
    ],
)
def test_cuts_that_do_not_fit_are_refused(cuts, change, counts, message):
    with pytest.raises(Refusal, match=message):
        CutTargets(LABELS, SHIFT, 2.0).match([change(cuts)], outputs(counts), [counts])


@pytest.mark.parametrize(
    ("targets", "size", "message"),
    [
        (
            CutTargets(LABELS, 0.02, 2.0),
            4,
            r"frame shifts of soft targets and net differ .*expected 0.02 s, found 0.04 s",
        ),
        (CutTargets(LABELS, SHIFT, 2.0), 5, r"number of outputs and of labels"),
        (
            CutTargets(["<blk>", "A", "C", "B"], SHIFT, 2.0),
            4,
            r"names of outputs and of labels.*one label set, in one order",
        ),
        (CutTargets(LABELS, SHIFT, 1.0), 4, r"the temperature of the soft targets"),
    ],
)
def test_nets_that_do_not_fit_are_refused(cuts, targets, size, message):
    with pytest.raises(Refusal, match=message):
        targets.match([cuts["long"]], torch.randn(1, 25, size), [25])


def test_a_batch_of_two_folders_is_refused(cuts, tmp_path):
    write_soft_targets(tmp_path / "soft", [("more", logits(9, 25))], LABELS, SHIFT)
    more = attach([cut_of("more", 1.0)], tmp_path / "soft")
    with pytest.raises(Refusal, match="a batch of several folders"):
        CutTargets(LABELS, SHIFT, 2.0).match([cuts["long"], *more], outputs(25, 25), [25, 25])


def test_the_verb_attaches_to_a_manifest_and_leaves_out_what_has_none(folder, tmp_path, capsys):
    everything = CutSet.from_cuts([*(cut_of(id, seconds) for id, seconds in SECONDS.items()), cut_of("untaught", 1.0)])
    everything.to_file(tmp_path / "all.jsonl.gz")
    main(["attach", str(tmp_path / "out"), "--soft-targets", str(folder), "--cuts", str(tmp_path / "all.jsonl.gz")])
    assert "1 cuts left out" in capsys.readouterr().err
    read = manifests.load_cuts(tmp_path / "out" / "cuts.jsonl.gz")
    assert [cut.id for cut in read] == list(SECONDS)
    _, soft = CutTargets(LABELS, SHIFT, 2.0).match(read, outputs(25, 14, 16), [25, 14, 16])
    close(soft.dense(), torch.cat([expected(id) for id in SECONDS]))


@pytest.mark.parametrize(
    ("cuts", "message"),
    [
        ([cut_of("other", 1.0)], r"no cut has soft targets .*found 1 cuts of other ids"),
        ([cut_of("long", 2.0)], r"soft targets of 'long' and its cut differ in length .*expected 2 s, found 25 frames"),
    ],
)
def test_soft_targets_of_other_cuts_are_not_attached(folder, cuts, message):
    with pytest.raises(Refusal, match=message):
        attach(cuts, folder)


@pytest.mark.parametrize(("seconds", "subsampled"), [(1.00, 23), (1.01, 24), (1.02, 24), (1.03, 24)])
def test_nets_that_do_not_pad_lack_frames_of_cuts_and_of_parts(tmp_path, seconds, subsampled):
    """Of T frames they give ((T - 7) // 2 + 1) // 2."""
    write_soft_targets(tmp_path / "soft", [("long", logits(7, subsampled))], LABELS, SHIFT)
    (cut,) = attach([cut_of("long", seconds)], tmp_path / "soft")
    _, soft = CutTargets(LABELS, SHIFT, 2.0).match([cut], outputs(subsampled), [subsampled])
    whole = soft.dense()
    for hundredths in (40, 41, 42, 43):
        part, count = cut.truncate(offset=0.4, duration=hundredths / 100), ((hundredths - 7) // 2 + 1) // 2
        _, soft = CutTargets(LABELS, SHIFT, 2.0).match([part], outputs(count), [count])
        close(soft.dense(), whole[10 : 10 + count])


def test_soft_targets_made_again_in_their_place_are_those_that_are_read(tmp_path):
    """One process may write, attach and train, and begin anew: a notebook."""
    folder = tmp_path / "soft"
    for seed in (7, 8):
        inputs = {"seed": str(seed)}
        whole = StoreOptions(keep=4, mass=1.0, bits=16)
        said = [("long", logits(seed, 25))]
        write_soft_targets(folder, said, LABELS, SHIFT, DistillOptions(2.0), whole, inputs=inputs, overwrite=True)
        (cut,) = attach([cut_of("long", 1.0)], folder)
        wanted = combine(logits(seed, 25), 2.0, "arithmetic").exp()
        close(torch.from_numpy(cut.load_soft_targets()), wanted)
        close(CutTargets(LABELS, SHIFT, 2.0).match([cut], outputs(25), [25])[1].dense(), wanted)


def test_a_folder_that_was_moved_is_told_and_attached_anew(tmp_path, capsys):
    write_soft_targets(tmp_path / "soft", [("long", logits(7, 25))], LABELS, SHIFT)
    CutSet.from_cuts([cut_of("long", 1.0)]).to_file(tmp_path / "cuts.jsonl.gz")

    def verb(folder: str, *more: str) -> None:
        place = ["--soft-targets", str(tmp_path / folder), "--cuts", str(tmp_path / "cuts.jsonl.gz")]
        main(["attach", str(tmp_path / "out"), *place, *more])

    verb("soft")
    (tmp_path / "soft").rename(tmp_path / "moved")
    cuts = manifests.load_cuts(tmp_path / "out" / "cuts.jsonl.gz")
    with pytest.raises(Refusal, match=r"soft: no soft targets here; make them there, or attach them anew"):
        CutTargets(LABELS, SHIFT, 2.0).match(cuts, outputs(25), [25])
    with pytest.raises(SystemExit):
        verb("moved")
    assert "made with another options.soft_targets" in capsys.readouterr().err
    verb("moved", "--overwrite")
    cuts = manifests.load_cuts(tmp_path / "out" / "cuts.jsonl.gz")
    assert len(CutTargets(LABELS, SHIFT, 2.0).match(cuts, outputs(25), [25])[1]) == 25


def test_what_is_no_cut_of_one_recording_is_not_attached(folder):
    mixed = MixedCut("long", [MixTrack(cut_of("long", 1.0)), MixTrack(cut_of("noise", 1.0))])
    for cut in (mixed, PaddingCut("long", 1.0, 16000, -10.0, num_samples=16000)):
        told = rf"{type(cut).__name__} 'long' .expected a cut of one recording.; attach to the cuts that it is made of"
        with pytest.raises(Refusal, match=told):
            attach([cut], folder)


def test_lengths_beyond_the_outputs_are_told(cuts):
    with pytest.raises(Refusal, match=r"longer than the net's outputs .expected lengths of 14 at most.*, found 25"):
        CutTargets(LABELS, SHIFT, 2.0).match([cuts["long"], cuts["short"]], outputs(14, 14), [25, 14])
