"""Freed memory is kept where the C library knows how, and nothing else changes."""

import ctypes
import platform
from types import SimpleNamespace

import pytest
import torch

from study.memory import LARGEST, M_MMAP_THRESHOLD, M_TRIM_THRESHOLD, keep_freed_memory


def test_both_of_mallocs_thresholds_are_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[int, int]] = []
    library = SimpleNamespace(mallopt=lambda option, value: calls.append((option, value)))
    monkeypatch.setattr("study.memory.ctypes.CDLL", lambda name: library if name is None else None)
    keep_freed_memory()
    assert calls == [(M_MMAP_THRESHOLD, LARGEST), (M_TRIM_THRESHOLD, LARGEST)]
    # <malloc.h>: M_TRIM_THRESHOLD is -1, M_MMAP_THRESHOLD -3.
    assert calls == [(-3, 2**30), (-1, 2**30)]


def test_a_library_without_mallopt_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []

    def library(name: object) -> SimpleNamespace:
        asked.append(name)
        return SimpleNamespace()

    monkeypatch.setattr("study.memory.ctypes.CDLL", library)
    keep_freed_memory()
    assert asked == [None]  # the C library of this process was looked at, and nothing called


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="not glibc")
def test_glibc_takes_both_values() -> None:
    mallopt = ctypes.CDLL(None).mallopt
    assert [mallopt(option, LARGEST) for option in (M_MMAP_THRESHOLD, M_TRIM_THRESHOLD)] == [1, 1]


def test_it_can_be_called_again_and_numbers_stay_what_they_are() -> None:
    before = torch.arange(1_000_000)
    keep_freed_memory()
    keep_freed_memory()
    assert torch.equal(before, torch.arange(1_000_000))
