"""How this process keeps the memory it has freed, what it takes at its peak, and what is left for it."""

import ctypes
import gc
import os
import resource
import sys
from pathlib import Path

import torch

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h
# Bytes: a tensor beyond it still comes from and goes back to the system. glibc up to 2.33 (at least) takes
# no more than the second for M_MMAP_THRESHOLD.
LARGEST, LARGEST_OF_OLD = 1 << 30, 1 << 25


def keep_freed_memory() -> None:
    """Have malloc reuse freed blocks of every size; where the C library is not glibc, change nothing.

    By default glibc returns large blocks to the system at once, and each training step pays again for
    the first touch of every page (figures: tests/benchmarks/LOG.md). Allocations at peak stay the same.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
    if mallopt is None:
        return
    # Only if one of them is taken: the other setting alone would freeze the threshold where it is.
    if mallopt(M_MMAP_THRESHOLD, LARGEST) or mallopt(M_MMAP_THRESHOLD, LARGEST_OF_OLD):
        mallopt(M_TRIM_THRESHOLD, LARGEST)


class PeakMemory:
    """Bytes at the peak of what runs inside, above what was held before.

    On a CPU, where the system is not Linux, only what exceeds the process's highest peak so far.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.bytes = 0

    def __enter__(self) -> "PeakMemory":
        gc.collect()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(self.device)
            self._before = torch.cuda.memory_reserved(self.device)
        elif sys.platform.startswith("linux"):
            trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc's: what was freed does not count
            if trim is not None:
                trim(0)
            Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
            self._before = _proc("self/status", "VmRSS")
        else:
            self._before = _highest()
        return self

    def __exit__(self, *_: object) -> None:
        if self.device.type == "cuda":
            self.bytes = torch.cuda.max_memory_reserved(self.device) - self._before
        elif sys.platform.startswith("linux"):
            self.bytes = _proc("self/status", "VmHWM") - self._before
        else:
            self.bytes = _highest() - self._before


def free_memory(device: torch.device) -> int:
    """Bytes that are free on a GPU, or for programs on this machine (where it tells; else all it has)."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    if sys.platform.startswith("linux"):
        return _proc("meminfo", "MemAvailable")
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _proc(file: str, field: str) -> int:
    """Bytes of a memory figure below /proc, on Linux."""
    for line in Path("/proc", file).read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"/proc/{file} has no {field}")


def _highest() -> int:
    unit = 1 if sys.platform == "darwin" else 1024  # bytes there, KiB elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
