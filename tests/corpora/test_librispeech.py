"""LibriSpeech: FLAC and Opus layouts, sets of subsets, held-out speakers, half downloaded folders; the real corpus."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("lhotse")
soundfile = pytest.importorskip("soundfile")

from kdasr import io  # noqa: E402
from kdasr.cli import corpus as verb  # noqa: E402
from kdasr.corpora import librispeech, locate, manifests  # noqa: E402
from kdasr.corpora.librispeech import LibrispeechOptions  # noqa: E402
from kdasr.refusal import Refusal  # noqa: E402

REAL = locate.look("mini_librispeech", None, lambda folder: (folder / "LibriSpeech" / "train-clean-5").is_dir())
OPTIONS = LibrispeechOptions(dev_speakers=2, short=3)
WOMEN, MEN = ("19", "26", "32", "39"), ("118", "163")


class TinyLibriSpeech:
    """Writes chapters into a corpus of LibriSpeech's layout."""

    def __init__(self, root: Path) -> None:
        self.root = root / "LibriSpeech"

    def chapter(self, subset: str, speaker: str, chapter: str, texts: list[str], suffix: str = ".flac") -> Path:
        folder = self.root / subset / speaker / chapter
        folder.mkdir(parents=True)
        ids = [f"{speaker}-{chapter}-{number:04}" for number in range(len(texts))]
        lines = [f"{id} {text}\n" for id, text in zip(ids, texts, strict=True)]
        (folder / f"{speaker}-{chapter}.trans.txt").write_text("".join(lines))
        for seed, id in enumerate(ids):
            samples = np.random.default_rng(seed).normal(0, 0.05, 8000)
            soundfile.write(
                folder / f"{id}{suffix}",
                samples,
                16000,
                **{".opus": {"format": "OGG", "subtype": "OPUS"}}.get(suffix, {}),
            )
        return folder

    def speakers(self) -> None:
        rows = [
            f"{name:5}| {sex} | train-clean-100  | 25.0 | N\n"
            for sex, names in zip("FM", (WOMEN, MEN), strict=True)
            for name in names
        ]
        (self.root / "SPEAKERS.TXT").write_text(";ID  |SEX| SUBSET | MINUTES | NAME\n" + "".join(rows))


@pytest.fixture(autouse=True)
def nowhere(monkeypatch, tmp_path):
    """No data beside the checkout, none in the environment."""
    monkeypatch.setattr(locate, "BESIDE", tmp_path / "beside")
    monkeypatch.delenv(locate.DATA, raising=False)


@pytest.fixture
def tiny(tmp_path) -> TinyLibriSpeech:
    """Four women and two men to train on, of two utterances each, and two test speakers."""
    corpus = TinyLibriSpeech(tmp_path / "mini")
    for place, speaker in enumerate((*WOMEN, *MEN)):
        corpus.chapter("train-clean-5", speaker, "1", ["IT WAS" + " SO" * place, "DON'T"])
    corpus.chapter("dev-clean-2", "84", "7", ["A TEST"])
    corpus.chapter("dev-clean-2", "85", "8", ["ANOTHER"])
    corpus.speakers()
    return corpus


def prepare(tmp_path: Path, corpus: TinyLibriSpeech, **options) -> dict[str, dict[str, str]]:
    """Set -> utterance id -> words, as written."""
    chosen = dataclasses.replace(OPTIONS, **options)
    librispeech.prepare(tmp_path / "out", chosen, corpus.root.parent)
    sets = sorted(path.parent for path in (tmp_path / "out").glob("*/info.json"))
    return {path.name: {cut.id: cut.supervisions[0].text for cut in manifests.load_cuts(path)} for path in sets}


def speakers(texts: dict[str, str]) -> set[str]:
    return {id.split("-")[0] for id in texts}


def test_the_sets(tiny, tmp_path):
    sets = prepare(tmp_path, tiny)
    assert set(sets) == {"train", "train_short", "dev", "test"}
    assert sets["test"] == {"84-7-0000": "A TEST", "85-8-0000": "ANOTHER"}
    assert len(sets["train"]) == 8 and len(sets["dev"]) == 4
    assert speakers(sets["train"]) | speakers(sets["dev"]) == {*WOMEN, *MEN}
    assert speakers(sets["train"]).isdisjoint(speakers(sets["dev"]))
    assert sets["train_short"] == {f"{name}-1-0001": "DON'T" for name in sorted(speakers(sets["train"]))[:3]}


def test_dev_has_women_and_men_by_their_share_and_without_the_list_any(tiny, tmp_path):
    assert len(speakers(prepare(tmp_path, tiny)["dev"]) & set(WOMEN)) == 1
    names = {*WOMEN, *MEN}
    assert set(librispeech.choose_dev(names, 3, tiny.root / "SPEAKERS.TXT")) & set(MEN)
    without = librispeech.choose_dev(names, 3, tiny.root / "none")
    assert len(without) == 3 and without == librispeech.choose_dev(names, 3, tiny.root / "none either")


def test_dev_may_be_subsets_and_further_sets_are_made_where_they_have_some(tiny, tmp_path):
    tiny.chapter("dev-clean", "90", "1", ["ONE"])
    tiny.chapter("test-other", "91", "1", ["TWO"])
    sets = prepare(tmp_path, tiny, train=("train-clean-5",), dev=("dev-clean",), test_other=("test-other",))
    assert (
        sets["dev"] == {"90-1-0000": "ONE"} and sets["test_other"] == {"91-1-0000": "TWO"} and len(sets["train"]) == 12
    )
    assert "dev_other" not in sets


def test_several_subsets_are_one_set(tiny, tmp_path):
    tiny.chapter("train-clean-100", "200", "1", ["ONE", "TWO"])
    sets = prepare(
        tmp_path, tiny, train=("train-clean-5", "train-clean-100"), dev=("dev-clean-2",), test=("dev-clean-2",)
    )
    assert len(sets["train"]) == 14 and sets["dev"] == sets["test"]


def test_opus_gives_the_samples_that_a_conversion_to_flac_would_give(tiny, tmp_path):
    folder = tiny.chapter("dev-2spk", "77", "1", ["ONE", "TWO"], ".opus")
    sets = prepare(tmp_path, tiny, test=("dev-2spk",))
    assert list(sets["test"]) == ["77-1-0000", "77-1-0001"]
    for cut in manifests.load_cuts(tmp_path / "out" / "test"):
        assert cut.recording.sources[0].source.endswith(".opus")
        expected, rate = soundfile.read(folder / f"{cut.id}.opus", dtype="int16")
        assert rate == cut.sampling_rate and cut.num_samples == len(expected)
        np.testing.assert_allclose(cut.load_audio()[0] * 32768, expected, atol=1)


def test_two_speakers_stand_in_for_an_absent_dev_clean_2(tiny, tmp_path, events):
    (tiny.root / "dev-clean-2").rename(tiny.root / "dev-2spk")
    assert len(prepare(tmp_path, tiny)["test"]) == 2
    assert "dev-clean-2 is not there, dev-2spk stands in for it" in events()
    assert "dev-2spk" in io.read_info(tmp_path / "out" / "test")["inputs"]


@pytest.mark.parametrize("deeper", [".", "LibriSpeech", "above"])
def test_the_corpus_may_be_named_by_any_of_its_folders(tiny, tmp_path, deeper):
    root = tiny.root.parent
    if deeper == "above":
        root = root.rename(tmp_path / "mini_librispeech").parent
    librispeech.prepare(tmp_path / "out", OPTIONS, root / deeper if deeper != "above" else root)
    assert io.read_info(tmp_path / "out" / "train")["num_utterances"] == 8


def test_each_subset_is_looked_for_by_the_name_of_its_corpus(tiny, tmp_path, monkeypatch):
    monkeypatch.setenv(locate.DATA, str(tmp_path / "data"))
    (tmp_path / "data").mkdir()
    tiny.root.parent.rename(tmp_path / "data" / "mini_librispeech")
    full = TinyLibriSpeech(tmp_path / "data" / "librispeech")
    full.chapter("dev-clean", "90", "1", ["ONE"])
    librispeech.prepare(tmp_path / "out", LibrispeechOptions(dev=("dev-clean",)), None)
    assert io.read_info(tmp_path / "out" / "dev")["num_utterances"] == 1


def test_a_subset_that_is_nowhere_is_told_with_its_archive(tiny, tmp_path, monkeypatch):
    told = r"--corpus .*mini: not the subset train-clean-100 of LibriSpeech \(found other files\)"
    with pytest.raises(Refusal, match=told):
        prepare(tmp_path, tiny, train=("train-clean-100",))
    monkeypatch.setitem(
        librispeech.SUBSETS,
        "dev-clean-2",
        dataclasses.replace(librispeech.SUBSETS["dev-clean-2"], home=locate.Home((tmp_path / "none.tar.gz").as_uri())),
    )
    told = "subset dev-clean-2 of LibriSpeech is in none of its four places: .*none.tar.gz .*; unpack "
    with pytest.raises(Refusal, match=told):
        librispeech.prepare(tmp_path / "out", LibrispeechOptions(train=("dev-clean-2",)), None)
    with pytest.raises(Refusal, match="subset dev-2spk is not there and has no public archive; name another subset"):
        librispeech.prepare(tmp_path / "out", LibrispeechOptions(train=("dev-2spk",)), None)


@pytest.mark.parametrize(
    ("lost", "told"),
    [
        ("19-1-0001.flac", r"1 of 12 transcripts and 0 of 11 recordings alone, the first 19-1-0001"),
        ("163-1.trans.txt", r"0 of 10 transcripts and 2 of 12 recordings alone, the first 163-1-0000"),
    ],
)
def test_a_half_downloaded_subset_is_counted_and_the_first_gap_named(tiny, tmp_path, lost, told):
    (path,) = tiny.root.rglob(lost)
    path.unlink()
    with pytest.raises(
        Refusal, match=rf"train-clean-5: the subset is half downloaded \(expected .*, found {told}\); unpack"
    ):
        prepare(tmp_path, tiny)
    assert not (tmp_path / "out" / "train" / "cuts.jsonl.gz").exists()


def test_a_recording_cut_short_is_set_aside_by_name(tiny, tmp_path, events):
    tiny.chapter("train-clean-5", "500", "1", ["ONE", "TWO"], ".opus")
    path = next(tiny.root.rglob("500-1-0001.opus"))
    path.write_bytes(path.read_bytes()[:-3])
    sets = prepare(tmp_path, tiny, max_bad=1)
    assert len(sets["train"] | sets["dev"]) == 13
    assert "librispeech: set aside 500-1-0001: the audio " in events()


def test_speakers_of_train_are_in_no_other_set(tiny, tmp_path):
    tiny.chapter("dev-2spk", "19", "9", ["ONE"])
    with pytest.raises(Refusal, match=r"speakers of train are in test too \(found 19\); name other subsets"):
        prepare(tmp_path, tiny, dev=("dev-clean-2",), test=("dev-2spk",))


def test_more_speakers_held_out_than_there_are(tiny, tmp_path):
    told = r"too few speakers to hold out some for development \(expected more than 6, found 6\); lower --set"
    with pytest.raises(Refusal, match=told):
        prepare(tmp_path, tiny, dev_speakers=6)


def test_again_is_up_to_date_and_a_changed_corpus_is_noticed(tiny, tmp_path, events):
    prepare(tmp_path, tiny)
    events()
    prepare(tmp_path, tiny)
    assert events().count("up to date") == 4
    tiny.chapter("train-clean-5", "19", "2", ["MORE"])
    with pytest.raises(Refusal, match=r"made with another inputs\.train-clean-5 .* add --overwrite"):
        prepare(tmp_path, tiny)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"train": ("train-clean-6",)}, "unknown subset 'train-clean-6', known: train-clean-5, dev-clean-2"),
        ({"train": ()}, "train, test, and dev or dev_speakers must name something"),
        ({"test": ()}, "train, test, and dev or dev_speakers must name something"),
        ({"dev_speakers": 0}, "train, test, and dev or dev_speakers must name something"),
        ({"short": 0}, "short must be at least 1, found 0"),
    ],
)
def test_options_out_of_range(options, told):
    with pytest.raises(ValueError, match=told):
        LibrispeechOptions(**options)


def test_the_verb(tiny, tmp_path):
    settings = ["--set", "librispeech.dev_speakers=2", "--set", "librispeech.short=3"]
    arguments = ["librispeech", str(tmp_path / "out"), "--corpus", str(tiny.root.parent), *settings]
    verb.command.main(arguments, standalone_mode=False)
    assert io.read_info(tmp_path / "out" / "dev")["num_speakers"] == 2


@pytest.mark.skipif(REAL is None, reason="Mini LibriSpeech is not at hand")
def test_the_real_corpus_is_complete_and_its_development_speakers_fixed_for_good():
    """Golden: other speakers change every number that was ever chosen on dev."""
    assert REAL is not None
    root = REAL / "LibriSpeech"
    folders = {"train-clean-5": root / "train-clean-5", "dev-clean-2": root / "dev-2spk"}
    sets = librispeech.find(folders, LibrispeechOptions(), root / "SPEAKERS.TXT")
    assert {name: len(sets[name]) for name in ("train", "train_short", "dev", "test")} == {
        "train": 1357,
        "train_short": 500,
        "dev": 162,
        "test": 248,
    }
    assert {found.speaker for found in sets["dev"]} == {"2416", "3664", "3947"}  # women 2416 and 3947, man 3664
    assert sum(len((found.text or "").split()) for found in sets["test"]) == 8080
