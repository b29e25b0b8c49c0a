"""What study.json holds, and of what type: other people may have written it."""

from typing import Any, Required, TypedDict

from study.metrics.judge.floor import Spread


class Machine(TypedDict, total=False):
    """See `study.machine.hardware.Hardware`."""

    cpus: int
    cpu_name: str
    memory_gib: float
    gpus: list[str]


class Resumption(TypedDict, total=False):
    """That a study was taken up again."""

    command: list[str]
    when: str
    packages: dict[str, str | None]
    hardware: Machine


class Cost(TypedDict, total=False):
    """See `study.reporting.timing.StudyCost`."""

    wall_seconds: float
    slots: int
    slot_seconds: dict[str, float]
    driver_seconds: dict[str, float]
    worker_cpu_seconds: float
    driver_cpu_seconds: float


class Record(TypedDict, total=False):
    """A study: what was asked for, on what, and what was found out before its first trial.

    Attributes:
        directory: that the command's relative paths begin at.
        tables: counts changes of what the tables hold or mean.
    """

    command: list[str]
    directory: str
    plan: Required[dict[str, Any]]
    tables: int
    started: str
    python: str
    packages: dict[str, str | None]
    git_commit: str | None
    hardware: Machine
    resumed: list[Resumption]
    cost: Cost
    floor: dict[str, Spread]
    judge_sha256: str
    classifier_accuracy: float | None
    fd: dict[str, int]
    measured_seconds: dict[str, dict[str, float]]
    pack_sizes: dict[str, list[dict[str, Any]]]
