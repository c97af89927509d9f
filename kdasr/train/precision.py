"""Arithmetic of training: bfloat16 where the processor multiplies it, and memory kept between steps."""

from __future__ import annotations

import ctypes
from functools import cache

import torch

from kdasr import processor
from kdasr.refusal import Refusal, unknown_name

PRECISIONS = ("auto", "bf16", "fp32")
HEAP = 1 << 30  # bytes of address space that shall lie in huge pages; memory is taken as it is used
HUGE_PAGE = 1 << 21


def compute_dtype(precision: str, device: torch.device) -> torch.dtype:
    """The dtype of matrix products: `auto` takes bf16 where the hardware has it. Weights stay in float32."""
    if precision not in PRECISIONS:
        raise unknown_name("precision", precision, PRECISIONS, "train.precision")
    if precision == "auto":
        precision = "bf16" if _has_bf16(device) else "fp32"
    return torch.bfloat16 if precision == "bf16" else torch.float32


def _has_bf16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported()
    return processor.has("avx512_bf16") or processor.has("amx_bf16")


def compute_device(device: str) -> torch.device:
    """`auto` is the first CUDA device, or the processor. Raises Refusal for a device that is not there."""
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    known = ["auto", "cpu", *(["cuda"] if gpus else []), *(f"cuda:{number}" for number in range(gpus))]
    if device not in known:
        raise Refusal("no such device here", where=f"device {device}", expected=" or ".join(known))
    return torch.device(("cuda" if gpus else "cpu") if device == "auto" else device)


@cache
def keep_freed_memory() -> None:
    """Makes glibc keep what tensors free, and the kernel hold it in huge pages.

    Giving it back costs page faults, half of a small step's time. Under small pages each pass over a tensor between
    matrix products has to find its pages anew, which takes as long as the pass.
    """
    try:
        libc = ctypes.CDLL("libc.so.6")
        libc.mallopt(-4, 0)  # M_MMAP_MAX: no mapping for a large block
        libc.mallopt(-1, 2**31 - 1)  # M_TRIM_THRESHOLD: no trimming of the heap
        libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
        libc.free.argtypes, libc.madvise.argtypes = [ctypes.c_void_p], [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
        block = libc.malloc(HEAP)
        if block:
            libc.madvise(-(-block // HUGE_PAGE) * HUGE_PAGE, HEAP - HUGE_PAGE, 14)  # MADV_HUGEPAGE
        libc.free(block)
    except (OSError, AttributeError):  # another C library
        return
