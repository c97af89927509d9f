"""Word errors by the definition, weights from the development set alone, intervals that hold the rate."""

from __future__ import annotations

import json
import random

import pytest

pytest.importorskip("kaldialign")

from kdasr import io
from kdasr.decode.score import (
    ScoreOptions,
    WordErrors,
    aligned_errors,
    by_speaker,
    choose,
    count_errors,
    mistakes,
    utterance_errors,
    write_scores,
)
from kdasr.refusal import Refusal


def fewest_errors(reference: list[str], hypothesis: list[str]) -> int:
    """Levenshtein's distance by its definition."""
    row = list(range(len(hypothesis) + 1))
    for number, word in enumerate(reference, start=1):
        diagonal, row[0] = row[0], number
        for place, other in enumerate(hypothesis, start=1):
            diagonal, row[place] = row[place], min(row[place] + 1, row[place - 1] + 1, diagonal + (word != other))
    return row[-1]


def test_errors_of_each_utterance_in_the_order_of_the_references():
    references, hypotheses = {"b": "A B C", "a": "A", "c": ""}, {"a": "A", "c": "D D", "b": "A X"}
    assert utterance_errors(references, hypotheses) == ([2, 0, 2], [3, 1, 0])
    assert sum(utterance_errors(references, hypotheses)[0]) == count_errors(references, hypotheses).errors
    with pytest.raises(Refusal, match="references and hypotheses are of different utterances .found c"):
        utterance_errors(references, {"a": "", "b": ""})


def test_errors_are_the_fewest_and_their_kinds_add_up():
    random.seed(0)
    pairs = [[" ".join(random.choices("ABCD", k=random.randint(0, 7))) for _ in range(2)] for _ in range(60)]
    references = {str(number): pair[0] for number, pair in enumerate(pairs)}
    hypotheses = {str(number): pair[1] for number, pair in enumerate(pairs)}
    found = count_errors(references, hypotheses)
    assert found.errors == sum(fewest_errors(one.split(), other.split()) for one, other in pairs)
    assert found.words == sum(len(one.split()) for one, _ in pairs)
    assert found.insertions - found.deletions == sum(len(other.split()) - len(one.split()) for one, other in pairs)


def test_the_line_is_kaldi_s():
    assert str(WordErrors(773, 17, 2, 32)) == "%WER 6.60 [ 51 / 773, 17 ins, 2 del, 32 sub ]"
    assert str(WordErrors(100, 0, 0, 9, 5.0, 13.125)).endswith("[ 9 / 100, 0 ins, 0 del, 9 sub ] (95 %: 5.00 to 13.12)")


def test_kinds_of_errors():
    found = count_errors({"a": "A B C", "b": "A", "c": ""}, {"a": "A X", "b": "A B", "c": ""})
    assert (found.words, found.insertions, found.deletions, found.substitutions) == (4, 1, 1, 1)
    assert found.rate == pytest.approx(75) and (found.low, found.high) == (0, 0)
    assert count_errors({"a": ""}, {"a": "A"}).rate == 100  # no words to divide by


def test_the_interval_holds_the_rate_and_is_the_same_twice():
    random.seed(1)
    references = {str(number): "A B C D" for number in range(80)}
    hypotheses = {id: "A B C D" if random.random() < 0.7 else "A X C" for id in references}
    found = count_errors(references, hypotheses, ScoreOptions(bootstrap_samples=500))
    assert 0 < found.low < found.rate < found.high < 100 and found.high - found.low < 20
    assert found == count_errors(references, hypotheses, ScoreOptions(bootstrap_samples=500))
    fewer = {id: references[id] for id in list(references)[:10]}
    wide = count_errors(fewer, {id: hypotheses[id] for id in fewer}, ScoreOptions(bootstrap_samples=500))
    assert wide.high - wide.low > found.high - found.low


def test_sets_of_other_utterances_are_refused():
    told = "references and hypotheses are of different utterances .found b, c.; score the set that was decoded"
    with pytest.raises(Refusal, match=told):
        count_errors({"a": "A", "b": "B"}, {"a": "A", "c": "B"})


def test_the_fewest_errors_choose_and_of_equals_the_middle_one():
    references = {"a": "A B C"}
    texts = {(5.0, 0.0): "A", (6.0, 0.0): "A B", (7.0, 0.0): "X B C", (7.0, 0.5): "A C", (8.0, 0.0): ""}
    hypotheses = {weights: {"a": text} for weights, text in texts.items()}
    assert choose(references, hypotheses) == (7.0, 0.0)  # three have one error
    assert choose(references, dict(reversed(hypotheses.items()))) == (7.0, 0.0)  # the file's order is no matter
    assert choose(references, hypotheses | {(9.0, 1.0): {"a": "A B C"}}) == (9.0, 1.0)


def test_errors_are_shown_word_under_word():
    text = aligned_errors({"u2": "GO ON NOW", "u1": "YES", "u3": "NO"}, {"u2": "GO UPON", "u1": "YES", "u3": "OH NO"})
    assert text == "u2 2 / 3\n  ref GO ON   NOW\n  hyp GO UPON *\n\nu3 1 / 1\n  ref *  NO\n  hyp OH NO\n"
    assert aligned_errors({"u": "YES"}, {"u": "YES"}) == ""


REFERENCES = {"dev": {"d1": "A B", "d2": "C"}, "test": {"t1": "A B", "t2": "C D"}}


def decoded(folder, name: str, texts: dict[tuple[float, float], dict[str, str]]):
    out = folder / name
    io.begin(out, io.Made("decode", {}))
    lines = [{"lm_weight": lm, "penalty": penalty, "text": text} for (lm, penalty), text in texts.items()]
    io.write_text(out / "hypotheses.jsonl", "".join(json.dumps(line) + "\n" for line in lines))
    io.finish(out)
    return out


def test_dev_chooses_and_the_test_set_never_does(tmp_path):
    dev = {(7.0, 0.0): {"d1": "A", "d2": ""}, (8.0, 0.5): {"d1": "A B", "d2": ""}, (9.0, 0.0): {"d1": "", "d2": ""}}
    test = {
        (7.0, 0.0): {"t1": "A B", "t2": "C X"},
        (8.0, 0.5): {"t1": "A", "t2": ""},
        (9.0, 0.0): {"t1": "A B", "t2": "X"},
    }
    folders = {"dev": decoded(tmp_path, "dev", dev), "test": decoded(tmp_path, "test", test)}
    write_scores(tmp_path / "score", folders, REFERENCES, ScoreOptions(bootstrap_samples=50))
    record = io.read_json(tmp_path / "score" / "wer.json")
    assert (record["dev"]["lm_weight"], record["dev"]["penalty"]) == (8.0, 0.5)
    assert (record["test"]["lm_weight"], record["test"]["penalty"]) == (8.0, 0.5)
    assert (
        record["test"]["text"].startswith("%WER 75.00 [ 3 / 4, 0 ins, 3 del, 0 sub ]") and record["test"]["wer"] == 75
    )
    as_kaldi = record["test_as_kaldi"]  # the best of the test set itself at penalty 0: a number beside, no choice
    assert (as_kaldi["lm_weight"], as_kaldi["penalty"], as_kaldi["wer"]) == (7.0, 0.0, 25)
    assert record["test"]["mistakes"] == [["B", "*", 1], ["C", "*", 1], ["D", "*", 1]]
    assert "speakers" not in record["test"]
    shown = (tmp_path / "score" / "errors-test.txt").read_text()
    assert shown.startswith(record["test"]["text"] + "\n\nt1 1 / 2\n  ref A B\n  hyp A *\n")


def test_sets_decoded_at_other_weights_are_refused(tmp_path):
    folders = {
        "dev": decoded(tmp_path, "dev", {(7.0, 0.0): {"d1": "A B", "d2": "C"}}),
        "test": decoded(tmp_path, "test", {(8.0, 0.0): {"t1": "A B", "t2": "C D"}}),
    }
    told = r"test: sets were decoded at other weights .expected \(7.0, 0.0\).; decode both with the same settings"
    with pytest.raises(Refusal, match=told):
        write_scores(tmp_path / "score", folders, REFERENCES, ScoreOptions())


def test_options_out_of_range():
    with pytest.raises(ValueError, match="bootstrap_samples must be at least 1, found 0"):
        ScoreOptions(bootstrap_samples=0)


def test_errors_are_told_by_speaker():
    references, hypotheses = {"a1": "A B", "a2": "C", "b1": "D"}, {"a1": "A X", "a2": "C", "b1": "D E F"}
    found = by_speaker(references, hypotheses, {"a1": "ann", "a2": "ann", "b1": "bob", "c1": "cy"})
    assert found == {"ann": {"errors": 1, "words": 3}, "bob": {"errors": 2, "words": 1}}


def test_the_most_frequent_mistakes_come_first():
    references = {"1": "A B", "2": "A", "3": "C"}
    assert mistakes(references, {"1": "X B", "2": "X", "3": "C D"}) == [("A", "X", 2), ("*", "D", 1)]
    many = {str(number): f"W{number}" for number in range(50)}
    assert len(mistakes(many, dict.fromkeys(many, "X"))) == 20
