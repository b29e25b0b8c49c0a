"""Freed memory is kept where the C library knows how, and nothing else changes."""

import ctypes
import os
import platform
import resource
from types import SimpleNamespace

import pytest
import torch

from study.machine.memory import (
    LARGEST,
    M_MMAP_THRESHOLD,
    M_TRIM_THRESHOLD,
    PeakMemory,
    free_memory,
    keep_freed_memory,
)


# <malloc.h>: M_TRIM_THRESHOLD is -1, M_MMAP_THRESHOLD -3.
@pytest.mark.parametrize(
    ("most", "expected"),
    [
        (2**62, [(-3, 2**30), (-1, 2**30)]),
        (2**25, [(-3, 2**30), (-3, 2**25), (-1, 2**30)]),  # an old glibc refuses more than 32 MiB
        (0, [(-3, 2**30), (-3, 2**25)]),  # refused altogether: then the default is the best there is
    ],
)
def test_both_of_mallocs_thresholds_are_raised(
    most: int, expected: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[tuple[int, int]] = []

    def mallopt(option: int, value: int) -> int:
        calls.append((option, value))
        return int(option != M_MMAP_THRESHOLD or value <= most)

    library = SimpleNamespace(mallopt=mallopt)
    monkeypatch.setattr("study.machine.memory.ctypes.CDLL", lambda name: library if name is None else None)
    keep_freed_memory()
    assert calls == expected


def test_a_library_without_mallopt_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []

    def library(name: object) -> SimpleNamespace:
        asked.append(name)
        return SimpleNamespace()

    monkeypatch.setattr("study.machine.memory.ctypes.CDLL", library)
    keep_freed_memory()
    assert asked == [None]  # the C library of this process was looked at, and nothing called


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="not glibc")
def test_glibc_takes_both_values() -> None:
    mallopt = ctypes.CDLL(None).mallopt
    assert [mallopt(option, LARGEST) for option in (M_MMAP_THRESHOLD, M_TRIM_THRESHOLD)] == [1, 1]


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="not glibc")
def test_a_large_tensors_pages_are_touched_once() -> None:
    keep_freed_memory()

    def faults() -> int:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        torch.ones(10_000_000)  # 40 MB: ten thousand pages
        return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

    for _ in range(20):  # small blocks get between the first few
        faults()
    assert min(faults() for _ in range(5)) < 1_000


def test_peak_memory_is_that_of_what_runs_inside() -> None:
    for mebibytes in (300, 100):  # a smaller peak after a larger one, too
        with PeakMemory(torch.device("cpu")) as peak:
            torch.ones(mebibytes << 18)
        assert mebibytes - 20 < peak.bytes / 2**20 < mebibytes + 80


def test_free_memory_is_some_of_what_there_is() -> None:
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert 0.001 * physical < free_memory(torch.device("cpu")) <= physical
