"""How this process keeps the memory it has freed."""

import ctypes
import sys

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h
LARGEST = 1 << 30  # bytes; a tensor beyond it still comes from and goes back to the system


def keep_freed_memory() -> None:
    """Have malloc reuse freed blocks of every size; where the C library is not glibc, change nothing.

    By default glibc returns large blocks to the system at once, and each training step pays again for
    the first touch of every page (figures: tests/benchmarks/LOG.md). Allocations at peak stay the same.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, LARGEST)
        mallopt(M_TRIM_THRESHOLD, LARGEST)
