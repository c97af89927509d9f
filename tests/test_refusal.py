"""A refusal is one line: what, where, expected, found, what to do."""

import pickle
from pathlib import Path

from kdasr.refusal import Refusal, unknown_name


def test_the_line_holds_all_five_parts_in_order():
    refusal = Refusal("two channels", where=Path("a.wav"), expected=1, found=2, do="mix them down")
    assert str(refusal) == "a.wav: two channels (expected 1, found 2); mix them down"


def test_parts_may_be_left_out():
    assert str(Refusal("no words")) == "no words"
    assert str(Refusal("no words", found=0)) == "no words (found 0)"
    assert str(Refusal("no words", where="x", do="go")) == "x: no words; go"


def test_nothing_is_lost_on_the_way_back_from_a_process():
    refusal = Refusal("what", where=Path("w"), expected={"a": 1}, found=[2], do="do")
    again = pickle.loads(pickle.dumps(refusal))
    assert type(again) is Refusal and str(again) == str(refusal)
    assert (again.what, again.where, again.expected, again.found, again.do) == ("what", Path("w"), {"a": 1}, [2], "do")


def test_an_unknown_name_is_answered_with_the_nearest_or_with_all():
    assert str(unknown_name("verb", "algin", ["align", "train"])) == "unknown verb 'algin'; did you mean 'align'?"
    line = "x.yaml: unknown verb 'zzz'; known: align, train"
    assert str(unknown_name("verb", "zzz", ["train", "align"], "x.yaml")) == line
