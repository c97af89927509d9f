"""CTM, TextGrid and lhotse cuts, each read back by another reader than the writer's."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("lhotse")

import lhotse
from lhotse.qa import validate

from kdasr import io
from kdasr.align.formats import FORMATS, expect_known, textgrid_text, write_timings
from kdasr.align.timing import Interval, timing
from kdasr.data.table import FrameTable, FrameTableWriter
from kdasr.lang.topology import equal_alignment, make_topology
from kdasr.lang.tree import Tree
from kdasr.refusal import Refusal
from tests import toy

LEXICON = toy.lexicon(2, 3)
TREE = Tree.monophone(make_topology(LEXICON))
SPOKEN = {  # cut: transcript, phones, start in the recording, duration
    "one": ("B TWO", "SIL p b t u", 0.0, 0.5),
    "two/a": ("A ZEBRA", "a SPN SIL", 1.25, 0.4046875),
}
COLUMNS = ("words", "phones", "states")


@pytest.fixture(scope="module")
def cuts() -> dict[str, lhotse.MonoCut]:
    made = {}
    for id, (text, _, start, duration) in SPOKEN.items():
        recording = lhotse.Recording(f"rec-{id}", [lhotse.AudioSource("file", [0], "x.wav")], 16000, 32000, 2.0)
        supervision = lhotse.SupervisionSegment(f"sup-{id}", recording.id, 0.0, duration, text=text, speaker="s")
        made[id] = lhotse.MonoCut(id, start, duration, 0, [supervision], recording=recording)
    return made


@pytest.fixture(scope="module")
def alignment(tmp_path_factory) -> FrameTable:
    folder = tmp_path_factory.mktemp("ali")
    io.begin(folder, io.Made("align", {}))
    writer = FrameTableWriter(folder)
    for id, (_, phones, _, duration) in SPOKEN.items():
        numbers = [LEXICON.phone_ids[phone] for phone in phones.split()]
        path = equal_alignment(numbers, TREE.table, TREE.topology, round(duration * 100))
        assert path is not None
        writer.add(id, "s", path)
    writer.close()
    io.finish(folder)
    return FrameTable(folder)


def write(out: Path, name: str, alignment: FrameTable, cuts: dict[str, lhotse.MonoCut]) -> Path:
    assert write_timings(out, name, alignment, cuts, LEXICON, TREE) == 2
    return out


def test_a_ctm_tells_the_transcript_in_order_of_time(tmp_path, alignment, cuts):
    out = write(tmp_path, "ctm", alignment, cuts)
    for name, expected in (("words", lambda id: SPOKEN[id][0]), ("phones", lambda id: SPOKEN[id][1])):
        rows = [line.split() for line in (out / f"{name}.ctm").read_text().splitlines()]
        assert all(len(row) == 5 and row[1] == "0" for row in rows)
        for id, (_, _, start, duration) in SPOKEN.items():
            own = [row for row in rows if row[0] == f"rec-{id}"]
            assert " ".join(row[4] for row in own) == expected(id)
            begins, ends = [float(row[2]) for row in own], [float(row[2]) + float(row[3]) for row in own]
            assert begins == sorted(begins) and begins[0] >= start and ends[-1] <= start + duration + 1e-4
            assert name == "words" or ends[-1] == pytest.approx(start + duration, abs=1e-4)


def test_lhotse_reads_a_ctm(tmp_path, alignment, cuts):
    write(tmp_path, "ctm", alignment, cuts)
    supervisions = [
        lhotse.SupervisionSegment(f"sup-{id}", f"rec-{id}", start, duration)
        for id, (_, _, start, duration) in SPOKEN.items()
    ]
    read = lhotse.SupervisionSet.from_segments(supervisions).with_alignment_from_ctm(tmp_path / "words.ctm")
    for id, (text, *_) in SPOKEN.items():
        assert " ".join(item.symbol for item in read[f"sup-{id}"].alignment["word"]) == text


def parsed(text: str) -> tuple[float, dict[str, list[Interval]]]:
    """Duration and tiers of a TextGrid: keys and values in the order of the text, whatever stands between."""
    values = re.findall(r'^ *(xmin|xmax|name|text|size|class) = (?:"((?:[^"]|"")*)"|([\d.]+)) *$', text, re.MULTILINE)
    pairs = [(key, quoted.replace('""', '"') if not number else float(number)) for key, quoted, number in values]
    duration, name = dict(pairs[:2])["xmax"], ""
    tiers: dict[str, list[Interval]] = {}
    spans: list[float] = []
    for key, value in pairs[3:]:
        if key == "name":
            name = str(value)
            tiers[name] = []
        elif key in ("xmin", "xmax"):
            spans.append(float(value))
        elif key == "text":
            tiers[name].append(Interval(str(value), *spans[-2:]))
    return float(duration), tiers


def test_a_textgrid_holds_three_tiers_that_tile_the_cut(tmp_path, alignment, cuts):
    out = write(tmp_path, "textgrid", alignment, cuts)
    assert sorted(path.name for path in out.glob("*.TextGrid")) == ["one.TextGrid", "two%2Fa.TextGrid"]
    for id, path in zip(SPOKEN, ("one.TextGrid", "two%2Fa.TextGrid"), strict=True):
        text, phones, _, duration = SPOKEN[id]
        found, tiers = parsed((out / path).read_text())
        assert found == duration and tuple(tiers) == COLUMNS
        assert " ".join(interval.symbol for interval in tiers["words"] if interval.symbol) == text
        assert " ".join(interval.symbol for interval in tiers["phones"]) == phones
        for intervals in tiers.values():
            assert intervals[0].begin == 0 and intervals[-1].end == pytest.approx(duration, abs=1e-6)
            assert all(one.end == other.begin for one, other in itertools.pairwise(intervals))


def test_a_textgrid_s_sizes_and_quotes_are_praat_s():
    intervals = [Interval('say "x"', 0.0, 0.1), Interval("", 0.1, 0.25)]
    text = textgrid_text(0.25, {"word": intervals, "phone": intervals[:1], "state": []})
    assert text.startswith(
        'File type = "ooTextFile"\nObject class = "TextGrid"\n\nxmin = 0\nxmax = 0.25\ntiers? <exists>'
    )
    assert (
        re.findall(r"intervals: size = (\d+)", text) == ["2", "1", "0"] and '            text = "say ""x"""\n' in text
    )
    assert parsed(text)[1]["words"] == intervals


def test_lhotse_cuts_carry_alignments_of_the_recording_s_time(tmp_path, alignment, cuts):
    out = write(tmp_path, "lhotse", alignment, cuts)
    read = lhotse.CutSet.from_file(out / "cuts.jsonl.gz")
    validate(read)
    for cut in read:
        text, phones, start, duration = SPOKEN[cut.id]
        (supervision,) = cut.supervisions
        assert supervision.text == text and set(supervision.alignment) == {"word", "phone", "state"}
        assert " ".join(item.symbol for item in supervision.alignment["phone"]) == phones
        for items in supervision.alignment.values():
            assert items[0].start == start and sum(item.duration for item in items) == pytest.approx(duration, abs=1e-6)
            assert all(one.end == pytest.approx(other.start, abs=1e-6) for one, other in itertools.pairwise(items))
        words = [word for word in cut.trim_to_alignments("word") if word.supervisions[0].text]
        assert [word.supervisions[0].text for word in words] == text.split()
        assert all(cut.start <= word.start and word.end <= cut.end + 1e-6 for word in words)


def test_a_cut_without_silence_has_no_empty_word(alignment, cuts, tmp_path):
    path = np.asarray(alignment.frames("two/a"))
    found = timing(path, "A ZEBRA", LEXICON, TREE, 0.4046875)["word"]
    assert [interval.symbol for interval in found] == ["A", "ZEBRA", ""]


def test_an_alignment_of_other_cuts_is_refused(tmp_path, alignment, cuts):
    with pytest.raises(Refusal, match="an aligned utterance has no cut .found two/a.; name the cuts that were aligned"):
        write_timings(tmp_path, "ctm", alignment, {"one": cuts["one"]}, LEXICON, TREE)
    assert not list(tmp_path.iterdir())  # nothing half-written


def test_an_unknown_format_is_refused():
    with pytest.raises(Refusal, match="unknown format 'text-grid'; did you mean 'textgrid'?"):
        expect_known(["ctm", "text-grid"])
    expect_known(FORMATS)
