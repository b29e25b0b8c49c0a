"""The size of a pack is measured: the smallest that is nearly as fast as any, within what memory there is."""

from contextlib import nullcontext
from types import SimpleNamespace

import pytest
import torch

from study.plan import TrialPlan
from study.trial import pack_size
from study.trial.pack_size import PackSize, choose, measure
from tests.studies import trial_plan

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("rates", "members"),
    [
        ([100, 190, 300, 310], 8),
        ([100, 96, 90], 2),  # a larger pack is slower
        ([100, 104], 2),  # not by enough
        ([100], 2),
        ([10, 20, 40, 80], 16),
    ],
)
def test_the_smallest_pack_that_is_nearly_the_fastest(rates: list[float], members: int) -> None:
    assert choose([PackSize(2 ** (i + 1), rate, 1.0) for i, rate in enumerate(rates)]) == members


def test_real_packs_are_trained(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pack_size, "SECONDS", 0.05)
    sizes = measure(trial_plan(model="wgan_gp"), CPU, largest=8)
    assert [size.members for size in sizes] == [2, 4, 8][: len(sizes)]
    assert all(size.rate > 0 and size.mib >= 0 for size in sizes)


@pytest.fixture
def rates(monkeypatch: pytest.MonkeyPatch) -> dict[int, float]:
    """Rates by number of trials, instead of measured ones; a member takes 100 MiB of the 1,000 there are."""
    given = {1: 10.0, 2: 20.0, 4: 40.0, 8: 80.0, 16: 160.0}
    peak = SimpleNamespace(bytes=0)

    def rate(_plan: TrialPlan, _device: torch.device, trials: int) -> float:
        if given[trials] == 0:
            raise torch.OutOfMemoryError
        peak.bytes = trials * 200 << 20
        return given[trials]

    monkeypatch.setattr(pack_size, "iterations_per_second", rate)
    monkeypatch.setattr(pack_size, "PeakMemory", lambda _: nullcontext(peak))
    monkeypatch.setattr(pack_size, "free_memory", lambda _: 1000 << 20)
    return given


def members(largest: int) -> list[int]:
    return [size.members for size in measure(trial_plan(), CPU, largest)]


@pytest.mark.usefixtures("rates")
def test_no_pack_is_tried_that_might_not_fit() -> None:
    assert members(largest=100) == [2, 4]  # eight members would take 800 MiB, and 700 are for them


@pytest.mark.usefixtures("rates")
def test_workers_share_the_memory() -> None:
    sizes = measure(trial_plan(), CPU, largest=100, memory_share=0.5)
    assert [size.members for size in sizes] == [2]  # four members would take 400 MiB of 350


def test_no_larger_pack_is_tried_when_doubling_did_not_pay(rates: dict[int, float]) -> None:
    rates[2] = 9.0
    assert members(largest=100) == [2, 4]


def test_no_pack_has_more_members_than_there_are(
    rates: dict[int, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    del rates
    monkeypatch.setattr(pack_size, "free_memory", lambda _: 1 << 50)
    assert members(largest=11) == [2, 4, 8]
    assert members(largest=1) == [2]  # one trial there must be


def test_where_memory_runs_out_the_sizes_before_it_are_left(
    rates: dict[int, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pack_size, "free_memory", lambda _: 1 << 50)
    rates[4] = 0
    assert members(largest=100) == [2, 4]
    rates[1] = 0
    with pytest.raises(torch.OutOfMemoryError):
        members(largest=100)
