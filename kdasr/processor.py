"""What this machine's processor can do, and what its libraries have to be told of it."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

CPUINFO = Path("/proc/cpuinfo")


@cache
def description() -> dict[str, str]:
    """The first processor's lines of /proc/cpuinfo, such as `vendor_id` and `flags`; empty on another system."""
    if not CPUINFO.exists():
        return {}
    first = CPUINFO.read_text(encoding="utf-8").split("\n\n")[0]
    pairs = (line.partition(":") for line in first.splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}


def has(flag: str) -> bool:
    """Whether the processor has an instruction set, by Linux's name of it: `avx2`, `avx512_bf16`, `amx_bf16`."""
    return flag in description().get("flags", "").split()


def choose_matrix_products() -> None:
    """Lets MKL use AVX2 on AMD's processors, where the MKL 2020.0 of torch 1.13 takes its slowest code by itself.

    Products of 512 x 512 float32 matrices on one Zen 3 core: 84 instead of 22 GFLOP/s. MKL reads the variable at its
    first product, processes started later inherit it, newer versions of MKL ignore it. A value set by the user stays.
    """
    if description().get("vendor_id") == "AuthenticAMD" and has("avx2"):
        os.environ.setdefault("MKL_DEBUG_CPU_TYPE", "5")
