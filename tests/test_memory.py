"""The peak of a process's memory, with and without Linux's own record of it."""

import subprocess
import sys
from pathlib import Path

import pytest

from kdasr import memory

PEAK = "from kdasr import memory; block = bytearray({size} << 20); del block; print(memory.peak())"


def peak_of(size: int, before: str = "") -> float:
    code = before + PEAK.format(size=size)
    return float(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout)


@pytest.mark.parametrize("before", ["", "from kdasr import memory; memory.STATUS = memory.Path('nowhere');"])
def test_the_peak_is_kept_after_the_memory_is_given_back(before):
    assert peak_of(500, before) - max(peak_of(0, before), 0) == pytest.approx(500 / 1024, abs=0.1 + 0.4 * bool(before))


def test_what_the_starting_process_holds_is_not_counted():
    block = bytearray(300 << 20)
    block[:: 1 << 12] = b"x" * (300 << 8)
    assert peak_of(0) < 0.25 or not Path("/proc/self/status").exists()


def test_the_largest_worker_is_kept(monkeypatch):
    monkeypatch.setattr(memory, "_workers", 0.0)
    for peak in (0.5, 1.5, 1.0):
        memory.note_worker(peak)
    assert memory.peak_of_workers() == 1.5


def test_what_is_available_is_linux_s_estimate_within_a_container_s_limit(tmp_path, monkeypatch):
    (tmp_path / "meminfo").write_text("MemTotal:       24684840 kB\nMemAvailable:    2048 kB\n")
    monkeypatch.setattr(memory, "MACHINE", tmp_path / "meminfo")
    monkeypatch.setattr(memory, "CGROUPS", [(tmp_path / "max", tmp_path / "current")])
    assert memory.available() == 2 << 20
    (tmp_path / "current").write_text("1000\n")
    for limit, found in (("max", 2 << 20), ("5000\n", 4000), ("500", 0), (str(1 << 60), 2 << 20)):
        (tmp_path / "max").write_text(limit)
        assert memory.available() == found
    monkeypatch.setattr(memory, "MACHINE", tmp_path / "nowhere")
    assert memory.available() == 4 << 30
