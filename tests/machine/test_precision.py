"""auto takes bf16 where it is fast and harmless; what is asked for is taken as it is."""

import pytest

from study.machine import precision
from study.machine.precision import resolve


@pytest.mark.parametrize("asked", ["fp32", "bf16"])
@pytest.mark.parametrize("fast", [True, False])
def test_what_is_asked_for_is_taken(asked: str, fast: bool) -> None:
    assert resolve(asked, "dcgan", "images", fast) == asked


def test_auto_takes_bf16_where_it_is_fast_and_harmless(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "HARMLESS", {("wgan_gp", "points")})
    assert resolve("auto", "wgan_gp", "points", True) == "bf16"
    assert resolve("auto", "wgan_gp", "points", False) == "fp32"  # no instructions for it
    assert resolve("auto", "wgan_gp", "images", True) == "fp32"  # not shown harmless
    assert resolve("auto", "dcgan", "points", True) == "fp32"
