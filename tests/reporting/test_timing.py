"""Accounts of time without gaps: what is not a part is idle, and the parts sum to the whole."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from study.reporting.timing import WORKER_PARTS, StudyCost, Timing
from tests.studies import Clock


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_parts_leave_no_gap_and_exclude_those_within(clock: Clock) -> None:
    timing = Timing("rest", clock)
    clock.now += 2
    with timing.part("a"):
        clock.now += 4
        with timing.part("b"):
            clock.now += 8
        clock.now += 16
    clock.now += 32
    assert timing.take() == {"rest": 2 + 32, "a": 4 + 16, "b": 8}


def test_a_part_ends_with_an_exception(clock: Clock) -> None:
    timing = Timing("rest", clock)
    with pytest.raises(ZeroDivisionError), timing.part("a"):
        raise ZeroDivisionError
    clock.now += 1
    assert timing.take() == {"rest": 1, "a": 0}


def test_what_is_taken_is_not_counted_again(clock: Clock) -> None:
    timing = Timing("rest", clock)
    with timing.part("a"):
        clock.now += 1
        assert timing.take() == {"rest": 0, "a": 1}
        clock.now += 2
    assert timing.take() == {"a": 2, "rest": 0}


def test_parts_measured_elsewhere_are_taken_out_of_the_part_that_is_on(clock: Clock) -> None:
    timing = Timing("rest", clock)
    with timing.part("wait"):
        clock.now += 10
        timing.add({"train": 6, "evaluate": 3})
    assert timing.take() == {"rest": 0, "train": 6, "evaluate": 3, "wait": 1}


def test_where_a_generator_yields_within_a_part_its_caller_is_billed(clock: Clock) -> None:
    timing = Timing("rest", clock)

    def reports() -> Iterator[None]:
        for _ in range(2):
            clock.now += 1
            with timing.part("report"):
                yield

    for _ in reports():
        clock.now += 10
    assert timing.take() == {"rest": 2, "report": 20}


def study(clock: Clock, slots: int = 2, imports: float = 0.0, **more: Any) -> StudyCost:
    """A study that has worked for 5 s, with two workers that have reported once each."""
    driver = Timing("books", clock)
    clock.now += imports
    cost = StudyCost(slots, driver, **more)
    with cost.loop():
        clock.now += 5
        for worker in ("one", "two"):
            cost.reported(worker, {"train": 2.0, "evaluate": 1.0}, cpu_seconds=3.0)
    return cost


def test_a_workers_report_is_counted_part_by_part(clock: Clock) -> None:
    cost = study(clock)
    cost.reported("one", {"train": 1.0, "report": 0.5}, cpu_seconds=1.0)
    found = cost.to_dict()
    expected = dict.fromkeys(WORKER_PARTS, 0.0) | {"train": 5.0, "evaluate": 2.0, "report": 0.5}
    assert {part: found["slot_seconds"][part] for part in WORKER_PARTS} == expected
    assert found["worker_cpu_seconds"] == 7.0


def test_a_workers_time_before_its_first_report_is_its_start(clock: Clock) -> None:
    assert study(clock).to_dict()["slot_seconds"]["worker_start"] == 2 * (5 - 3)


def test_a_dead_workers_successor_is_not_a_third_slot(clock: Clock) -> None:
    cost = study(clock)
    cost.reported("three", {"train": 1.0}, cpu_seconds=0.0)
    assert cost.to_dict()["slot_seconds"]["worker_start"] == 2 * (5 - 3)


@pytest.mark.parametrize("slots", [1, 2, 5])
def test_slots_sum_to_their_number_times_the_wall_time(slots: int, clock: Clock) -> None:
    cost = study(clock, slots, imports=3.0)
    with cost.driver.part("end"):
        clock.now += 7
    found = cost.to_dict()
    assert found["wall_seconds"] == 3 + 5 + 7
    assert found["driver_seconds"] == {"imports": 3, "books": 0, "ray": 5, "end": 7}
    slot_seconds = found["slot_seconds"]
    assert sum(slot_seconds.values()) == slots * found["wall_seconds"]
    assert (slot_seconds["study_start"], slot_seconds["study_end"]) == (slots * 3, slots * 7)


def test_a_study_with_nothing_left_to_run_only_starts(clock: Clock) -> None:
    cost = StudyCost(2, Timing("books", clock))
    clock.now += 4
    found = cost.to_dict()["slot_seconds"]
    assert {part: seconds for part, seconds in found.items() if seconds} == {"study_start": 2 * 4}


def test_a_resumed_study_adds_up(clock: Clock) -> None:
    before = json.loads(json.dumps(study(clock, slots=1, imports=1.0).to_dict()))
    found = study(clock, slots=3, imports=1.0, before=before).to_dict()
    assert (before["wall_seconds"], found["wall_seconds"]) == (6, 12)
    assert found["driver_seconds"] == {"imports": 2, "books": 0, "ray": 10}
    assert sum(found["slot_seconds"].values()) == 6 + 3 * 6
    assert found["slot_seconds"]["train"] == 8
    assert found["worker_cpu_seconds"] == 12
