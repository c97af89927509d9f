"""`kdasr --for NAME=A,B`: calls of one process that stand for many."""

import pytest

from kdasr.cli import main, repeat
from kdasr.refusal import Refusal


def test_without_it_the_call_is_itself():
    assert repeat.calls(["align", "out", "--for", "x"]) == [["align", "out", "--for", "x"]]
    assert repeat.calls([]) == [[]]


def test_every_combination_the_last_fastest():
    line = ["--for", "set=dev,test", "--for=type=fbank,mfcc", "features", "data/{type}/{set}", "--type", "{type}"]
    assert repeat.calls(line) == [
        ["features", f"data/{type}/{name}", "--type", type] for name in ("dev", "test") for type in ("fbank", "mfcc")
    ]


def test_other_braces_and_other_values_stay():
    line = ["--for", "a={b},{a}", "--for", "b=1", "verb", "{a}{a}/{c}", "--set", "mono={beam: {b}}"]
    assert repeat.calls(line) == [
        ["verb", "{b}{b}/{c}", "--set", "mono={beam: 1}"],
        ["verb", "{a}{a}/{c}", "--set", "mono={beam: 1}"],
    ]


@pytest.mark.parametrize("text", ["set", "set=", "=dev", "set=dev,,test", "set=dev,dev", "a-b=1", ""])
def test_what_is_no_name_with_values_is_refused(text):
    with pytest.raises(Refusal, match="--for .*: not a name and its values .expected NAME=A,B with values that"):
        repeat.calls(["--for", text, "features", "{set}"])


def test_a_name_of_no_argument_is_refused():
    with pytest.raises(
        Refusal, match=r"--for set: no argument says where .expected \{set\}, found align data/\{sets\}"
    ):
        repeat.calls(["--for", "set=dev", "align", "data/{sets}"])
    with pytest.raises(Refusal, match=r"expected \{set\}, found nothing"):
        repeat.calls(["--for", "set=dev"])


def test_a_name_given_twice_is_refused():
    with pytest.raises(Refusal, match="--for set=test: a name given twice; join its values by commas"):
        repeat.calls(["--for", "set=dev", "--for", "set=test", "align", "{set}"])


def test_the_first_failure_ends_it_and_is_named(tmp_path, capsys):
    with pytest.raises(SystemExit) as end:
        main(
            [
                "--for",
                "set=one,two",
                "accuracy",
                f"{tmp_path}/out",
                "--model",
                "none",
                "--images",
                f"{tmp_path}/{{set}}",
            ]
        )
    lines = capsys.readouterr().err.splitlines()
    assert end.value.code == 1 and len(lines) == 1 and f"{tmp_path}/one: no such folder" in lines[0]


def test_wrong_usage_keeps_its_exit_status():
    with pytest.raises(SystemExit) as end:
        main(["--for", "set=one,two", "features", "{set}", "--nope"])
    assert end.value.code == 2


def test_every_call_is_made(capsys):
    main(["--for", "verb=align,mono", "{verb}", "--help"])
    shown = capsys.readouterr().out
    assert "kdasr align" in shown and "kdasr mono" in shown
