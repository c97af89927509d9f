"""The table of a set: the extractor's frames in the cuts' order, whatever the jobs; bad audio set aside."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

pytest.importorskip("lhotse")
pytest.importorskip("kaldi_native_fbank")
soundfile = pytest.importorskip("soundfile")

from lhotse import CutSet  # noqa: E402
from lhotse.qa import validate as lhotse_validate  # noqa: E402

from kdasr import io  # noqa: E402
from kdasr.cli import features as verb  # noqa: E402
from kdasr.corpora import manifests  # noqa: E402
from kdasr.corpora.validate import Found, Sound  # noqa: E402
from kdasr.data.table import FrameTable  # noqa: E402
from kdasr.features import compute  # noqa: E402
from kdasr.features.fbank import Fbank, FbankOptions  # noqa: E402
from kdasr.features.mfcc import Mfcc  # noqa: E402
from kdasr.refusal import Refusal  # noqa: E402

RATE = 16000


@pytest.fixture
def cuts(tmp_path):
    """Seven utterances of two speakers; `cuts.audio(number)` is a recording."""
    folder = tmp_path / "cuts"
    io.begin(folder, io.Made("corpus toy", {}))
    listed = []
    for number in range(7):
        path = tmp_path / f"u{number}.wav"
        samples = np.random.default_rng(number).normal(0, 0.1, 3000 + 500 * number)
        soundfile.write(path, samples, RATE, subtype="FLOAT")
        found = Found(f"u{number}", "ab"[number % 2], "YES", path)
        listed.append(manifests.make_cut(found, Sound(path, len(samples), RATE, io.file_hash(path))))
    manifests.save_cuts(folder, listed)
    io.finish(folder)
    return folder


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
    monkeypatch.setattr(compute, "PART", 3)
    monkeypatch.setattr(compute, "SECONDS_A_PROCESS", 0.1)


@pytest.mark.parametrize(("extractor", "dtype"), [(Fbank(), np.float16), (Mfcc(), np.float32)])
def test_the_table_holds_the_extractors_frames_in_order(tmp_path, cuts, extractor, dtype):
    compute.compute(tmp_path / "out", extractor, cuts)
    table = FrameTable(tmp_path / "out")
    assert [(utterance.id, utterance.speaker) for utterance in table.utterances] == [
        (f"u{number}", "ab"[number % 2]) for number in range(7)
    ]
    for cut in manifests.load_cuts(cuts):
        frames = table.frames(cut.id)
        assert frames.dtype == dtype and len(frames) == (cut.num_samples + 80) // 160
        np.testing.assert_array_equal(frames, extractor.extract(cut.load_audio(), RATE).astype(dtype))
    info = table.info
    assert (info["dim"], info["frame_shift"], info["num_utterances"], info["num_bad"]) == (
        table.dim,
        0.01,
        7,
        0,
    )
    made = {"type": extractor.name} | {k: v for k, v in info["options"].items() if k != "dtype"}
    assert info["extractor"] == made and made["sampling_rate"] == RATE and "max_bad" not in made
    assert info["num_frames"] == len(table) and (tmp_path / "out" / "bad.txt").read_text() == ""
    assert not (tmp_path / "out" / "parts").exists()


def test_filterbanks_normalised_by_speaker(tmp_path, cuts):
    compute.compute(tmp_path / "raw", Fbank(), cuts)
    compute.compute(tmp_path / "out", Fbank(FbankOptions(cmvn="speaker")), cuts)
    raw, table = FrameTable(tmp_path / "raw"), FrameTable(tmp_path / "out")
    for speaker in "ab":
        said = [np.concatenate([it.frames(u) for u in it.utterances if u.speaker == speaker]) for it in (raw, table)]
        before, after = (frames.astype(np.float64) for frames in said)
        np.testing.assert_allclose(after.mean(0), 0, atol=1e-3)
        np.testing.assert_allclose(after, (before - before.mean(0)) / before.std(0), atol=5e-3)  # float16 tables
    with pytest.raises(ValueError, match="cmvn must be one of global, speaker, found utterance"):
        FbankOptions(cmvn="utterance")


def test_parallel_is_serial_wherever_it_lies(tmp_path, cuts):
    compute.compute(tmp_path / "one", Fbank(), cuts, num_jobs=1)
    compute.compute(tmp_path / "elsewhere" / "two", Fbank(), cuts, num_jobs=2)
    assert io.fingerprint(tmp_path / "one") == io.fingerprint(tmp_path / "elsewhere" / "two")


def test_an_interrupted_run_goes_on_with_the_next_part(tmp_path, cuts, monkeypatch):
    compute.compute(tmp_path / "whole", Fbank(), cuts)
    extract = Fbank.extract
    calls: list[int] = []

    def dies_at_the_fifth(self, samples, rate):
        calls.append(len(calls))
        if len(calls) == 5:
            raise KeyboardInterrupt
        return extract(self, samples, rate)

    monkeypatch.setattr(Fbank, "extract", dies_at_the_fifth)
    with pytest.raises(KeyboardInterrupt):
        compute.compute(tmp_path / "out", Fbank(), cuts)
    assert not (tmp_path / "out" / "info.json").exists()
    compute.compute(tmp_path / "out", Fbank(), cuts)
    assert len(calls) == 5 + 4  # the first part, three cuts, was whole
    assert io.fingerprint(tmp_path / "out") == io.fingerprint(tmp_path / "whole")
    compute.compute(tmp_path / "out", Fbank(), cuts)
    assert len(calls) == 9  # up to date


def test_lhotse_reads_the_table(tmp_path, cuts):
    compute.compute(tmp_path / "out", Fbank(), cuts)
    attached = CutSet.from_file(tmp_path / "out" / compute.ATTACHED / manifests.CUTS)
    lhotse_validate(attached, read_data=True)
    table = FrameTable(tmp_path / "out")
    for cut in attached:
        found = cut.load_features()
        assert found.dtype == np.float32
        np.testing.assert_array_equal(found, table.frames(cut.id))
    cut = attached[0].truncate(offset=0.05, duration=0.1, preserve_id=True)
    np.testing.assert_array_equal(cut.load_features(), table.frames(cut.id)[5:15])


def test_parts_and_perturbed_cuts_are_loaded_by_lhotse(cuts):
    cut = manifests.load_cuts(cuts)[6]
    part = cut.truncate(offset=0.05, duration=0.2)
    np.testing.assert_array_equal(compute._samples(part)[0], cut.load_audio()[:, 800:4000])
    faster = cut.perturb_volume(0.5)
    np.testing.assert_allclose(compute._samples(faster)[0], cut.load_audio() * 0.5, atol=1e-6)


def damage_nan(path):
    samples = soundfile.read(path)[0]
    samples[7] = np.nan
    soundfile.write(path, samples, RATE, subtype="FLOAT")


def damage_stereo(path):
    samples = soundfile.read(path)[0]
    soundfile.write(path, np.stack([samples, samples], 1), RATE, subtype="FLOAT")


def damage_rate(path):
    soundfile.write(path, soundfile.read(path)[0][::2], RATE // 2, subtype="FLOAT")


DAMAGES = {
    "nan": (damage_nan, "the audio has 1 samples that are no numbers"),
    "stereo": (damage_stereo, "the audio has 2 channels, expected 1"),
    "8 kHz": (damage_rate, "the sampling rate is 8000 Hz, expected 16000"),
    "empty": (lambda path: soundfile.write(path, np.zeros(0), RATE), "the audio has 0 samples"),
    "truncated": (
        lambda path: path.write_bytes(path.read_bytes()[:-4000]),
        "the audio is truncated: expected 5000 samples, found 4000",
    ),
    "another": (
        lambda path: soundfile.write(path, np.zeros(4000), RATE),
        "the audio has 4000 samples, the manifest says 5000",
    ),
    "no audio": (lambda path: path.write_text("no audio"), "the audio cannot be read"),
    "absent": (lambda path: path.unlink(), "no such audio file"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_audio_that_went_bad_is_set_aside_by_name(tmp_path, cuts, damage, capsys):
    spoil, reason = DAMAGES[damage]
    spoil(tmp_path / "u4.wav")
    options = FbankOptions(max_bad=1)
    compute.compute(tmp_path / "out", Fbank(options), cuts)
    bad = (tmp_path / "out" / "bad.txt").read_text()
    assert bad.startswith(f"u4\t{reason}") and bad.count("\n") == 1
    table = FrameTable(tmp_path / "out")
    assert [utterance.id for utterance in table.utterances] == ["u0", "u1", "u2", "u3", "u5", "u6"]
    assert table.info["num_bad"] == 1 and "set aside u4" in capsys.readouterr().err


def test_too_many_are_refused_and_repaired_audio_is_read_again(tmp_path, cuts):
    compute.compute(tmp_path / "whole", Fbank(), cuts)
    kept = (tmp_path / "u4.wav").read_bytes()
    (tmp_path / "u4.wav").unlink()
    with pytest.raises(Refusal, match=r"1 of 7 utterances are bad \(expected at most 0, found u4: .*fbank\.max_bad=N$"):
        compute.compute(tmp_path / "out", Fbank(), cuts)
    (tmp_path / "u4.wav").write_bytes(kept)
    compute.compute(tmp_path / "out", Fbank(), cuts)
    assert io.fingerprint(tmp_path / "out") == io.fingerprint(tmp_path / "whole")


def test_a_set_of_another_rate_is_refused_as_a_whole(tmp_path, cuts):
    eight = Fbank(FbankOptions(sampling_rate=8000))
    with pytest.raises(
        Refusal, match=r"rate is another \(expected 8000, found 16000\); add --set fbank\.sampling_rate=16000"
    ):
        compute.compute(tmp_path / "out", eight, cuts)


def test_other_options_are_refused(tmp_path, cuts):
    compute.compute(tmp_path / "out", Fbank(), cuts)
    other = Fbank(dataclasses.replace(FbankOptions(), num_bins=30))
    with pytest.raises(Refusal, match=r"made with another options\.num_bins \(expected 30, found 40\)"):
        compute.compute(tmp_path / "out", other, cuts)


def test_a_truncated_shard_is_refused(tmp_path, cuts):
    compute.compute(tmp_path / "out", Fbank(), cuts)
    shard = tmp_path / "out" / "frames-000.npy"
    shard.write_bytes(shard.read_bytes()[:-10])
    with pytest.raises(Refusal, match=r"frames-000\.npy: truncated array \(expected \d+ bytes for shape \(\d+, 40\)"):
        FrameTable(tmp_path / "out")


def test_a_folder_without_cuts_is_refused(tmp_path, cuts):
    (cuts / manifests.CUTS).unlink()
    with pytest.raises(Refusal, match=r"no cuts \(expected cuts\.jsonl\.gz\)"):
        compute.compute(tmp_path / "out", Fbank(), cuts)


def test_the_verb(tmp_path, cuts):
    arguments = [str(tmp_path / "out"), "--type", "mfcc", "--cuts", str(cuts), "--set", "mfcc.num_ceps=10"]
    verb.command.main(arguments, standalone_mode=False)
    assert FrameTable(tmp_path / "out").dim == 10


def test_the_verb_refuses_a_wrong_path(tmp_path):
    with pytest.raises(Refusal, match="nowhere: no such folder; run the stage that makes it"):
        verb.command.main([str(tmp_path / "out"), "--cuts", str(tmp_path / "nowhere")], standalone_mode=False)
