"""Where a study's time goes: seconds by part, for the driver and for the slots that trials run in.

Both breakdowns leave no gap: the driver's parts sum to the wall time, the slots' parts to wall time
x slots, and what no part accounts for is named `idle`.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

WORKER_PARTS = ("load", "next_trial", "build", "train", "wait", "evaluate", "record", "checkpoint", "report")


class Timing:
    """Divides time into parts without a gap: time in no part is the `rest`, a part within one is not its."""

    def __init__(
        self, rest: str, clock: Callable[[], float] = time.perf_counter, began: float | None = None
    ) -> None:
        """`began`: when its time begins, by the clock; now, if it is left out."""
        self._clock, self._parts = clock, [rest]
        self._billed = clock() if began is None else began  # all time until then is in `_seconds`
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
        driver: the time of this session's driver; what was before this object is `imports`.
        slots: trials that run at a time.
    """

    def __init__(
        self,
        slots: int,
        began: float,
        before: Mapping[str, Any] | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        """`before`: what `to_dict` gave in the last session."""
        self.driver, self.slots = Timing("books", clock, began), slots
        self.driver.add({"imports": clock() - began})
        self._clock, self._began, self._before = clock, began, before or {}
        self._driver_seconds: dict[str, float] = {}
        self._loop_began: float | None = None
        self._loop_ended: float | None = None
        self._workers: set[str] = set()
        self._slot_seconds = dict.fromkeys(("worker_start", *WORKER_PARTS), 0.0)
        self._worker_cpu_seconds = 0.0
        self._cpu_began = time.process_time()

    @contextmanager
    def loop(self) -> Iterator[None]:
        """Ray's loop: meanwhile the slots' time is their workers'."""
        self._loop_began = self._clock()
        try:
            with self.driver.part("ray"):
                yield
        finally:
            self._loop_ended = self._clock()

    def reported(self, worker: str, seconds: Mapping[str, float], cpu_seconds: float) -> None:
        """Count what a worker did since its last report, or since it was set up."""
        assert self._loop_began is not None
        if worker not in self._workers:
            if len(self._workers) < self.slots:  # a dead worker's successor starts in idle time
                started = self._clock() - self._loop_began - sum(seconds.values())
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
        self._driver_seconds = _added(self._driver_seconds, self.driver.take())
        wall = sum(self._driver_seconds.values())
        now = self._began + wall
        loop_began = now if self._loop_began is None else self._loop_began
        loop_ended = now if self._loop_ended is None else self._loop_ended
        slots = {
            "study_start": self.slots * (loop_began - self._began),
            **self._slot_seconds,
            "study_end": self.slots * (now - loop_ended),
        }
        slots["idle"] = self.slots * wall - sum(slots.values())
        return {
            "wall_seconds": wall + self._before.get("wall_seconds", 0.0),
            "slots": self.slots,
            "slot_seconds": _added(self._before.get("slot_seconds", {}), slots),
            "driver_seconds": _added(self._before.get("driver_seconds", {}), self._driver_seconds),
            "worker_cpu_seconds": self._worker_cpu_seconds + self._before.get("worker_cpu_seconds", 0.0),
            "driver_cpu_seconds": time.process_time()
            - self._cpu_began
            + self._before.get("driver_cpu_seconds", 0.0),
        }


def _added(one: Mapping[str, float], other: Mapping[str, float]) -> dict[str, float]:
    return {part: one.get(part, 0.0) + other.get(part, 0.0) for part in {**one, **other}}
