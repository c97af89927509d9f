"""How a study decodes its cells: what it hangs on, and what is refused before anything is trained."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("kaldialign")

from kdasr import io
from kdasr.decode.search import DecodeOptions
from kdasr.decode.study import Decoding
from kdasr.refusal import Refusal


def made(folder: Path, verb: str, inputs: dict[str, str] | None = None, **facts: object) -> Path:
    io.begin(folder, io.Made(verb, {}, inputs or {}))
    io.finish(folder, **facts)
    return folder


@pytest.fixture
def decoding(tmp_path) -> Decoding:
    lang = made(tmp_path / "lang", "lang")
    graph = made(tmp_path / "graph", "graph", {"lang": io.fingerprint(lang)}, labelling="tied")
    return Decoding(graph, lang, {"dev": tmp_path / "feats"}, {"dev": {"b": "TWO", "a": "ONE"}}, DecodeOptions())


def test_a_graph_of_the_states_of_the_alignment_is_taken(decoding, tmp_path):
    decoding.expect(made(tmp_path / "ali", "align", topology="tied"))


def test_a_graph_of_other_states_or_of_another_language_is_refused(decoding, tmp_path):
    ali = made(tmp_path / "ali", "align", topology="other")
    told = "ali: labelling of graph and alignment does not match .expected tied, found other.; name the graph of the"
    with pytest.raises(Refusal, match=told):
        decoding.expect(ali)
    (tmp_path / "words").mkdir()
    (tmp_path / "words" / "words.txt").write_text("A 1\n")
    io.begin(tmp_path / "second", io.Made("lang", {}))
    (tmp_path / "second" / "words.txt").write_text("A 1\n")
    io.finish(tmp_path / "second")
    with pytest.raises(Refusal, match="language of the graph does not match .*; name the lang folder that the graph"):
        replace(decoding, lang=tmp_path / "second").expect(ali)


def test_word_errors_hang_on_graph_transcripts_and_search_but_not_on_memory_or_order(decoding):
    before = decoding.inputs()
    assert before.keys() == {"graph", "dev_transcripts", "decode"}
    same = replace(decoding, references={"dev": {"a": "ONE", "b": "TWO"}}, options=DecodeOptions(memory=1.0))
    assert same.inputs() == before
    assert replace(decoding, options=DecodeOptions(search_beam=11.0)).inputs()["decode"] != before["decode"]
    other = replace(decoding, references={"dev": {"a": "ONE", "b": "TOO"}}).inputs()
    assert other["dev_transcripts"] != before["dev_transcripts"] and other["decode"] == before["decode"]


def test_every_set_of_a_cell_is_decoded_by_the_cell_s_models_below_its_folder(decoding, tmp_path):
    counter = decoding.of(tmp_path / "cell" / "decode", (tmp_path / "model",), "geometric", False)
    job = counter.work["dev"]
    assert job.folder == tmp_path / "cell" / "decode" / "dev" and job.features == tmp_path / "feats"
    assert (job.models, job.mean, job.kind) == ((tmp_path / "model",), "geometric", "dnn")
