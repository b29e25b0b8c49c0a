"""auto takes bf16 where it is fast and harmless; what is asked for is taken as it is."""

import pytest

from study.machine.precision import resolve


@pytest.mark.parametrize("asked", ["fp32", "bf16"])
@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize("harmless", [True, False])
def test_what_is_asked_for_is_taken(asked: str, harmless: bool, fast: bool) -> None:
    assert resolve(asked, harmless, fast) == asked


def test_auto_takes_bf16_where_it_is_fast_and_harmless() -> None:
    assert resolve("auto", harmless=True, fast=True) == "bf16"
    assert resolve("auto", harmless=True, fast=False) == "fp32"
    assert resolve("auto", harmless=False, fast=True) == "fp32"
