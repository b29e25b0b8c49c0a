"""Which pack worker gets a trial: one with room, companions of its shape, and little to do."""

from types import SimpleNamespace
from typing import Any

import pytest

from study.runner.worker import PackWorkers
from tests.studies import trial_plan


@pytest.fixture
def dropped() -> list[tuple[str, str]]:
    return []


@pytest.fixture
def workers(dropped: list[tuple[str, str]]) -> PackWorkers:
    """Two workers of two trials each, without their processes."""

    def actor(name: str) -> Any:
        return SimpleNamespace(drop=SimpleNamespace(remote=lambda trial: dropped.append((name, trial))))

    found: PackWorkers = object.__new__(PackWorkers)
    found.names, found.trials_each, found._at = ["pack-0", "pack-1"], 2, {}
    found._actors = {name: actor(name) for name in found.names}
    return found


def test_companions_come_first_then_those_with_room(workers: PackWorkers) -> None:
    assert workers.assign(trial_plan(0, lr_g=1e-3)) == "pack-0"
    assert workers.assign(trial_plan(1, lr_g=1e-4)) == "pack-0"  # the same shape
    assert workers.assign(trial_plan(2)) == "pack-1"  # no room any more
    assert workers.assign(trial_plan(3)) == "pack-1"


def test_trials_without_companions_go_where_there_are_fewest(workers: PackWorkers) -> None:
    assert workers.assign(trial_plan(0, batch_size=32)) == "pack-0"
    assert workers.assign(trial_plan(1, batch_size=64)) == "pack-1"
    assert workers.assign(trial_plan(2, batch_size=64)) == "pack-1"
    assert workers.assign(trial_plan(3, batch_size=128)) == "pack-0"


def test_one_that_ends_makes_room(workers: PackWorkers, dropped: list[tuple[str, str]]) -> None:
    for number in range(4):
        workers.assign(trial_plan(number))
    workers.release("space-00001")
    assert dropped == [("pack-0", "space-00001")]
    assert workers.assign(trial_plan(4)) == "pack-0"
    workers.release("space-00001")  # said twice
    workers.release("nobody")
    assert len(dropped) == 1


def test_companions_are_those_that_were_there_with_the_same_shape(workers: PackWorkers) -> None:
    workers.trials_each = 3
    for number in range(3):
        workers.assign(trial_plan(number))
    workers.assign(trial_plan(3, batch_size=64))
    assert [workers.companions(f"space-{number:05d}") for number in (0, 2, 3)] == [
        ("space-00001", "space-00002"),
        ("space-00000", "space-00001"),
        (),
    ]
    workers.release("space-00000")
    workers.assign(trial_plan(4))
    assert workers.companions("space-00004") == ("space-00001", "space-00002")


def test_more_trials_than_room_are_spread(workers: PackWorkers) -> None:
    # Hyperband's paused trials stay where they were.
    names = [workers.assign(trial_plan(number)) for number in range(6)]
    assert sorted(names) == ["pack-0"] * 3 + ["pack-1"] * 3
