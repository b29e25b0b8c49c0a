"""Accounts of time without gaps: what is not a part is idle, and the parts sum to the whole."""

import json
import time

import pytest

from study.reporting.timing import WORKER_PARTS, Stopwatch, StudyCost

CLOSE = pytest.approx


def test_laps_have_no_gaps() -> None:
    began = time.perf_counter()
    watch = Stopwatch(began)
    for part in ("a", "b", "a"):
        time.sleep(0.01)
        watch.lap(part)
    assert watch.seconds.keys() == {"a", "b"}
    assert sum(watch.seconds.values()) == CLOSE(watch.last - began, rel=1e-9)
    assert watch.seconds["a"] >= 0.02


def test_what_is_taken_is_not_counted_again() -> None:
    watch = Stopwatch()
    watch.lap("a")
    first = watch.take()
    watch.lap("b")
    assert first.keys() == {"a"}
    assert watch.take().keys() == {"b"}


def study(slots: int = 2, began: float = 0.0, **more: object) -> StudyCost:
    """A study that is at work, with two workers that have reported once each."""
    cost = StudyCost(slots, time.perf_counter() - began, **more)  # type: ignore[arg-type]
    cost.driver.lap("imports")
    cost.loop_begins()
    time.sleep(0.05)
    for worker in ("one", "two"):
        cost.reported(worker, {"train": 0.02, "evaluate": 0.01}, cpu_seconds=0.03)
    return cost


def test_a_workers_report_is_counted_part_by_part() -> None:
    cost = study()
    cost.reported("one", {"train": 1.0, "report": 0.5}, cpu_seconds=1.0)
    cost.loop_ends()
    found = cost.to_dict()
    expected = dict.fromkeys(WORKER_PARTS, 0.0) | {"train": 1.04, "evaluate": 0.02, "report": 0.5}
    assert {part: found["slot_seconds"][part] for part in WORKER_PARTS} == CLOSE(expected)
    assert found["worker_cpu_seconds"] == CLOSE(1.06)


def test_a_workers_time_before_its_first_report_is_its_start() -> None:
    found = study().to_dict()["slot_seconds"]
    assert 2 * 0.02 <= found["worker_start"] < 2 * 0.04  # 0.05 s, less the 0.03 s it reports


def test_a_dead_workers_successor_is_not_a_third_slot() -> None:
    cost = study()
    before = cost.to_dict()["slot_seconds"]["worker_start"]
    cost.reported("three", {"train": 0.001}, cpu_seconds=0.0)
    assert cost.to_dict()["slot_seconds"]["worker_start"] == before


@pytest.mark.parametrize("slots", [1, 2, 5])
def test_slots_sum_to_their_number_times_the_wall_time(slots: int) -> None:
    cost = study(slots, began=3.0)
    cost.loop_ends()
    cost.driver.lap("end")
    found = cost.to_dict()
    assert sum(found["slot_seconds"].values()) == CLOSE(slots * found["wall_seconds"], rel=1e-9)
    assert sum(found["driver_seconds"].values()) == CLOSE(found["wall_seconds"], rel=1e-9)
    assert found["slot_seconds"]["study_start"] == CLOSE(slots * 3.0, rel=0.01)


def test_a_study_with_nothing_left_to_run_only_starts() -> None:
    cost = StudyCost(2, time.perf_counter() - 1.0)
    cost.loop_ends()
    cost.driver.lap("end")
    found = cost.to_dict()
    assert found["slot_seconds"]["study_start"] == CLOSE(2 * found["wall_seconds"], rel=1e-9)
    assert found["slot_seconds"]["idle"] == CLOSE(0.0, abs=1e-9)


def test_a_resumed_study_adds_up() -> None:
    first = study(slots=1, began=1.0)
    first.driver.lap("end")
    before = json.loads(json.dumps(first.to_dict()))
    second = study(slots=3, began=1.0, before=before)
    second.driver.lap("end")
    found = second.to_dict()
    alone = found["wall_seconds"] - before["wall_seconds"]
    assert alone == CLOSE(1.05, rel=0.05)
    assert sum(found["driver_seconds"].values()) == CLOSE(found["wall_seconds"], rel=1e-9)
    assert sum(found["slot_seconds"].values()) == CLOSE(before["wall_seconds"] + 3 * alone, rel=1e-9)
    assert found["slot_seconds"]["train"] == CLOSE(0.08)
    assert found["worker_cpu_seconds"] == CLOSE(0.12)
