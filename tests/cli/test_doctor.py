"""`kdasr doctor`: what it shows, what is wrong, and its exit status."""

from __future__ import annotations

import contextlib
import importlib
import shutil
from types import SimpleNamespace

import pytest

from kdasr.cli import doctor as module
from kdasr.cli import main


def examined(capsys: pytest.CaptureFixture[str], status: int) -> dict[str, str]:
    """Line by what it is about; the mark stands before."""
    if status:
        with pytest.raises(SystemExit) as end:
            main(["doctor"])
        assert end.value.code == status
    else:
        main(["doctor"])
    lines = capsys.readouterr().out.splitlines()
    assert all(line[:6] in ("ok    ", "wrong ") for line in lines)
    return {line[6:28].split("  ")[0].strip(): line for line in lines}


def leave(monkeypatch: pytest.MonkeyPatch, gib: int) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=gib << 30))


@pytest.fixture
def room(monkeypatch):
    leave(monkeypatch, 20)


@pytest.mark.usefixtures("room")
def test_a_sound_machine_is_well(capsys):
    for name in ("k2", "lhotse", "kaldifst"):
        pytest.importorskip(name)
    found = examined(capsys, 0)
    assert not [line for line in found.values() if line.startswith("wrong")]
    assert {"python", "cores", "memory", "disk", "torch", "k2", "lhotse", "extra onnx", "corpus an4"} <= found.keys()
    assert "20.0 GiB free" in found["disk"]


@pytest.mark.usefixtures("room")
@pytest.mark.parametrize("error", [ImportError("No module named 'kaldilm'"), ValueError("numpy.dtype size changed")])
def test_a_library_that_is_not_there_or_broken_is_wrong_and_the_way_out_is_told(capsys, monkeypatch, error):
    whole = importlib.import_module

    def missing(name: str, *rest: object) -> object:
        if name == "kaldilm":
            raise error
        return whole(name)

    monkeypatch.setattr("importlib.import_module", missing)
    line = examined(capsys, 1)["kaldilm"]
    assert line.startswith("wrong") and line.endswith(f"{error}; run local/setup.sh")


def test_a_full_disk_is_wrong(capsys, monkeypatch):
    leave(monkeypatch, 1)
    assert examined(capsys, 1)["disk"].endswith("recipes want 8 GiB")


def test_an_extra_that_is_not_there_is_no_fault(capsys, monkeypatch, room):
    monkeypatch.setattr(module, "EXTRAS", {"none": "no-such-package"})
    with contextlib.suppress(SystemExit):  # where speech is not installed
        main(["doctor"])
    assert "pip install 'kdasr[none]'" in capsys.readouterr().out
