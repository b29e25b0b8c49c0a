"""auto takes bf16 where it is fast and allowed; what is asked for is taken as it is."""

import pytest

from study.machine.precision import resolve


@pytest.mark.parametrize("asked", ["fp32", "bf16"])
@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize("allowed", [True, False])
def test_what_is_asked_for_is_taken(asked: str, allowed: bool, fast: bool) -> None:
    assert resolve(asked, allowed, fast) == asked


def test_auto_takes_bf16_where_it_is_fast_and_allowed() -> None:
    assert resolve("auto", allowed=True, fast=True) == "bf16"
    assert resolve("auto", allowed=True, fast=False) == "fp32"
    assert resolve("auto", allowed=False, fast=True) == "fp32"
