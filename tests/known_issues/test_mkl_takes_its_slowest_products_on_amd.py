"""MKL 2020.0 of torch 1.13 multiplies at a quarter of an AMD processor's speed unless it is told to use AVX2."""

import os
import subprocess
import sys

import pytest

from kdasr import processor

ZEN = "processor\t: 0\nvendor_id\t: AuthenticAMD\nflags\t\t: fpu sse2 avx avx2\n\nprocessor\t: 1\nflags\t: amx_bf16\n"


@pytest.fixture
def cpuinfo(tmp_path, monkeypatch):
    """A processor of the given description; its variables are undone at the end."""

    def write(text):
        path = tmp_path / "cpuinfo"
        path.write_text(text, encoding="utf-8")
        monkeypatch.setattr(processor, "CPUINFO", path)
        processor.description.cache_clear()

    monkeypatch.setenv("MKL_DEBUG_CPU_TYPE", "undone at the end")
    monkeypatch.delenv("MKL_DEBUG_CPU_TYPE")
    yield write
    processor.description.cache_clear()


@pytest.mark.parametrize(
    "text, chosen",
    [
        (ZEN, "5"),
        (ZEN.replace("AuthenticAMD", "GenuineIntel"), None),
        (ZEN.replace(" avx2", ""), None),
        ("", None),
    ],
    ids=["zen", "intel", "without avx2", "unknown"],
)
def test_avx2_is_chosen_on_amd_alone(cpuinfo, text, chosen):
    cpuinfo(text)
    processor.choose_matrix_products()
    assert os.environ.get("MKL_DEBUG_CPU_TYPE") == chosen


def test_a_value_of_the_user_stays(cpuinfo, monkeypatch):
    cpuinfo(ZEN)
    monkeypatch.setenv("MKL_DEBUG_CPU_TYPE", "4")
    processor.choose_matrix_products()
    assert os.environ["MKL_DEBUG_CPU_TYPE"] == "4"


def test_a_flag_is_a_whole_word_of_the_first_processor(cpuinfo):
    cpuinfo(ZEN)
    assert processor.has("avx2") and not processor.has("avx5") and not processor.has("amx_bf16")


@pytest.mark.skipif(
    processor.description().get("vendor_id") != "AuthenticAMD" or not processor.has("avx2"), reason="no AMD processor"
)
def test_importing_kdasr_chooses_it_before_the_first_product():
    environment = {name: value for name, value in os.environ.items() if name != "MKL_DEBUG_CPU_TYPE"}
    code = "import os, kdasr; print(os.environ['MKL_DEBUG_CPU_TYPE'])"
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "5\n"
