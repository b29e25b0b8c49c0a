"""Where a study's time goes: seconds by part, for the driver and for the slots that trials run in.

Both breakdowns leave no gap: the driver's parts sum to the wall time, the slots' parts to wall time
x slots, and what no part accounts for is named `idle`.
"""

import math
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

WORKER_PARTS = ("load", "next_trial", "build", "train", "wait", "evaluate", "record", "checkpoint", "report")


class Timing:
    """Divides time into parts without a gap: time in no part is the `rest`, a part within one is not its."""

    def __init__(self, rest: str, clock: Callable[[], float] = time.perf_counter) -> None:
        self._clock, self._parts = clock, [rest]
        self._billed = clock()  # all time until then is in `_seconds`
        self._seconds: defaultdict[str, float] = defaultdict(float)

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """The time within belongs to this part; where a generator yields within, that of its caller, too."""
        self._bill()
        self._parts.append(name)
        try:
            yield
        finally:
            self._bill()
            self._parts.pop()

    def add(self, seconds: Mapping[str, float]) -> None:
        """Give parts that were measured elsewhere their seconds, out of the time of the part that is on."""
        for part, value in seconds.items():
            self._seconds[part] += value
            self._billed += value

    def take(self) -> dict[str, float]:
        """Seconds by part, the rest included, since they were last taken."""
        self._bill()
        taken = dict(self._seconds)
        self._seconds.clear()
        return taken

    def _bill(self) -> None:
        before, self._billed = self._billed, self._clock()
        self._seconds[self._parts[-1]] += self._billed - before


class StudyCost:
    """What a study has cost: its earlier sessions, from study.json, and the one that runs.

    Attributes:
        driver: the time of this session's driver; what it has spent so far went to `imports`.
        slots: trials that run at a time.
    """

    def __init__(self, slots: int, driver: Timing, before: Mapping[str, Any] | None = None) -> None:
        """`before`: what `to_dict` gave in the last session."""
        self.slots, self.driver, self._before = slots, driver, before or {}
        self._driver_seconds = {"imports": sum(driver.take().values())}
        self._loop_began = self._loop_ended = math.inf
        self._workers: set[str] = set()
        self._slot_seconds = dict.fromkeys(("worker_start", *WORKER_PARTS), 0.0)
        self._worker_cpu_seconds = 0.0
        self._cpu_began = time.process_time()

    @contextmanager
    def loop(self) -> Iterator[None]:
        """Ray's loop: meanwhile the slots' time is their workers'."""
        self._loop_began = self._elapsed()
        try:
            with self.driver.part("ray"):
                yield
        finally:
            self._loop_ended = self._elapsed()

    def reported(self, worker: str, seconds: Mapping[str, float], cpu_seconds: float) -> None:
        """Count what a worker did since its last report, or since it was set up."""
        if worker not in self._workers:
            if len(self._workers) < self.slots:  # a dead worker's successor starts in idle time
                started = self._elapsed() - self._loop_began - sum(seconds.values())
                self._slot_seconds["worker_start"] += max(0.0, started)
            self._workers.add(worker)
        for part, value in seconds.items():
            self._slot_seconds[part] += value
        self._worker_cpu_seconds += cpu_seconds

    def to_dict(self) -> dict[str, Any]:
        """Seconds by part of all sessions until now, for study.json.

        `driver_seconds` sum to `wall_seconds`; `slot_seconds` to the sum of slots x wall time over the
        sessions. `idle` is also the work that an interruption or a fault cut off.
        """
        wall = self._elapsed()
        slots = {
            "study_start": self.slots * min(wall, self._loop_began),
            **self._slot_seconds,
            "study_end": self.slots * (wall - min(wall, self._loop_ended)),
        }
        slots["idle"] = self.slots * wall - sum(slots.values())
        cpu_seconds = time.process_time() - self._cpu_began
        return {
            "wall_seconds": wall + self._before.get("wall_seconds", 0.0),
            "slots": self.slots,
            "slot_seconds": _added(self._before.get("slot_seconds", {}), slots),
            "driver_seconds": _added(self._before.get("driver_seconds", {}), self._driver_seconds),
            "worker_cpu_seconds": self._worker_cpu_seconds + self._before.get("worker_cpu_seconds", 0.0),
            "driver_cpu_seconds": cpu_seconds + self._before.get("driver_cpu_seconds", 0.0),
        }

    def _elapsed(self) -> float:
        """Seconds of this session."""
        self._driver_seconds = _added(self._driver_seconds, self.driver.take())
        return sum(self._driver_seconds.values())


def _added(one: Mapping[str, float], other: Mapping[str, float]) -> dict[str, float]:
    return {part: one.get(part, 0.0) + other.get(part, 0.0) for part in {**one, **other}}
