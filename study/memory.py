"""How this process keeps the memory it has freed."""

import ctypes
import sys

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
