"""Where a study's time goes: seconds by part, for the driver and for the slots that trials run in.

Both breakdowns leave no gap: the driver's parts sum to the wall time, the slots' parts to wall time
x slots, and what no part accounts for is named `idle`.
"""

import time
from collections.abc import Mapping
from typing import Any

WORKER_PARTS = ("load", "next_trial", "build", "train", "wait", "evaluate", "record", "checkpoint", "report")


class Stopwatch:
    """Divides the time since `began` (of `time.perf_counter`) into parts without a gap.

    Attributes:
        last: when the last lap ended.
        seconds: by part.
    """

    def __init__(self, began: float | None = None) -> None:
        self.last = time.perf_counter() if began is None else began
        self.seconds: dict[str, float] = {}

    def lap(self, part: str) -> None:
        """The time since the last lap belongs to `part`."""
        before, self.last = self.last, time.perf_counter()
        self.seconds[part] = self.seconds.get(part, 0.0) + self.last - before

    def lap_parts(self, seconds: Mapping[str, float], rest: str) -> None:
        """The time since the last lap went to parts that another process measured, what is left to `rest`."""
        for part, value in seconds.items():
            self.seconds[part] = self.seconds.get(part, 0.0) + value
        self.last += sum(seconds.values())
        self.lap(rest)

    def take(self) -> dict[str, float]:
        """The parts so far, which are forgotten here."""
        taken, self.seconds = self.seconds, {}
        return taken


class StudyCost:
    """What a study has cost: its earlier sessions, from study.json, and the one that runs.

    Attributes:
        driver: laps of this session's driver, from `began` on.
        slots: trials that run at a time.
    """

    def __init__(self, slots: int, began: float, before: Mapping[str, Any] | None = None) -> None:
        """`before`: what `to_dict` gave in the last session."""
        self.driver, self.slots = Stopwatch(began), slots
        self._began, self._before = began, before or {}
        self._loop_began: float | None = None
        self._loop_ended: float | None = None
        self._workers: set[str] = set()
        self._slot_seconds = dict.fromkeys(("worker_start", *WORKER_PARTS), 0.0)
        self._worker_cpu_seconds = 0.0
        self._cpu_began = time.process_time()

    def loop_begins(self) -> None:
        """From here on the slots' time is their workers'."""
        self._loop_began = time.perf_counter()

    def loop_ends(self) -> None:
        """No worker is heard of any more."""
        self.driver.lap("books" if self._loop_began is None else "ray")
        self._loop_ended = self.driver.last

    def reported(self, worker: str, seconds: Mapping[str, float], cpu_seconds: float) -> None:
        """Count what a worker did since its last report, or since it was set up."""
        assert self._loop_began is not None
        if worker not in self._workers:
            if len(self._workers) < self.slots:  # a dead worker's successor starts in idle time
                started = time.perf_counter() - self._loop_began - sum(seconds.values())
                self._slot_seconds["worker_start"] += max(0.0, started)
            self._workers.add(worker)
        for part, value in seconds.items():
            self._slot_seconds[part] += value
        self._worker_cpu_seconds += cpu_seconds

    def to_dict(self) -> dict[str, Any]:
        """Seconds by part of all sessions up to the driver's last lap, for study.json.

        `driver_seconds` sum to `wall_seconds`; `slot_seconds` to the sum of slots x wall time over the
        sessions. `idle` is also the work that an interruption or a fault cut off.
        """
        now = self.driver.last
        loop_began = now if self._loop_began is None else self._loop_began
        loop_ended = now if self._loop_ended is None else max(loop_began, self._loop_ended)
        slots = {
            "study_start": self.slots * (loop_began - self._began),
            **self._slot_seconds,
            "study_end": self.slots * (now - loop_ended),
        }
        slots["idle"] = self.slots * (now - self._began) - sum(slots.values())
        return {
            "wall_seconds": now - self._began + self._before.get("wall_seconds", 0.0),
            "slots": self.slots,
            "slot_seconds": _added(self._before.get("slot_seconds", {}), slots),
            "driver_seconds": _added(self._before.get("driver_seconds", {}), self.driver.seconds),
            "worker_cpu_seconds": self._worker_cpu_seconds + self._before.get("worker_cpu_seconds", 0.0),
            "driver_cpu_seconds": time.process_time()
            - self._cpu_began
            + self._before.get("driver_cpu_seconds", 0.0),
        }


def _added(one: Mapping[str, float], other: Mapping[str, float]) -> dict[str, float]:
    return {part: one.get(part, 0.0) + other.get(part, 0.0) for part in {**one, **other}}
