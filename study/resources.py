"""What a study's packs run on, and how large it is, where the user does not say: it follows the hardware."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from study.errors import UserError
from study.machine.hardware import Hardware


@dataclass(frozen=True)
class Resources:
    """Packs that train at the same time, each in a process of its own, and what each process has.

    Attributes:
        pack: members in a pack: 'trial' (those of one trial), 'auto' (of as many trials as is fastest
            and fits), or their number, of as many trials as that makes.
    """

    concurrency: int
    cpus_per_trial: float
    gpus_per_trial: float
    pack: int | str = "trial"

    def check(self, hardware: Hardware) -> None:
        """Raise UserError where they are more than there is; Ray would wait for it for ever."""
        gpus, cpus = self.gpus_per_trial, self.cpus_per_trial
        if gpus > len(hardware.gpus):
            raise UserError(
                f"a trial wants {gpus:g} GPUs, there are {len(hardware.gpus)}: set --gpus-per-trial"
            )
        if gpus > 1 and gpus != int(gpus):
            raise UserError(f"--gpus-per-trial {gpus:g}: above 1 it must be a whole number")
        if self.concurrency > (fit := self.fit(hardware)):
            each = f"{cpus:g} CPUs" + (f" and {gpus:g} GPUs" if gpus else "")
            where = "machine by machine, " if hardware.machines else ""
            raise UserError(
                f"--concurrency {self.concurrency}: {where}there is room for {fit:g} at a time of {each} each"
            )
        if hardware.machines and self.pack != "trial" and self.concurrency * cpus > hardware.cpus - 1:
            raise UserError(
                f"{self.concurrency} packs of {cpus:g} CPUs leave none of the cluster's "
                f"{hardware.cpus} for Ray Tune's trials, which need one: set --concurrency, or --pack trial"
            )

    def within(self, hardware: Hardware) -> "Resources":
        """The same, but no more at a time than there is room for."""
        room = self.fit(hardware)
        if hardware.machines and self.pack != "trial":  # see `check`
            room = min(room, _times(self.cpus_per_trial, hardware.cpus - 1))
        return replace(self, concurrency=max(1, int(min(self.concurrency, room))))

    def fit(self, hardware: Hardware) -> float:
        """How many there is room for, machine by machine; one machine's CPUs may be shared."""

        def room(cpus: int, gpus: int) -> float:
            by_cpus = _times(self.cpus_per_trial, cpus) if hardware.machines else math.inf
            if not self.gpus_per_trial:
                return by_cpus
            is_part = self.gpus_per_trial < 1  # of one GPU
            by_gpus = gpus * _times(self.gpus_per_trial, 1) if is_part else _times(self.gpus_per_trial, gpus)
            return min(by_cpus, by_gpus)

        return sum(room(*machine) for machine in _machines(hardware))


def _times(part: float, whole: int) -> int:
    """How often a part, such as 0.1, fits."""
    return math.floor(whole / part + 1e-9)


def _machines(hardware: Hardware) -> tuple[tuple[int, int], ...]:
    return hardware.machines or ((hardware.cpus, len(hardware.gpus)),)


def resolve_resources(asked: Mapping[str, Any], fallback: Resources) -> Resources:
    """What was asked for; the fallback's, where that is None."""
    given = {field.name: asked[field.name] for field in fields(Resources)}
    return replace(fallback, **{name: value for name, value in given.items() if value is not None})


def default_resources(hardware: Hardware, pack: int | str | None = None) -> Resources:
    """A trial and a thread for each core; on a GPU one process that trains as many trials as fit.

    `pack`: what was asked for; with 'trial' up to four trials, in as many processes, share a GPU.
    """
    if not hardware.gpus:
        # On a cluster trials that share packs need a CPU of their own, all together.
        spare = bool(hardware.machines) and pack not in (None, "trial")
        return Resources(max(1, hardware.cpus - spare), cpus_per_trial=1, gpus_per_trial=0)
    cpus_of_a_gpu = min(cpus // gpus for cpus, gpus in _machines(hardware) if gpus)
    if pack == "trial":
        per_gpu = max(1, min(4, cpus_of_a_gpu))
        chosen = Resources(1, cpus_per_trial=1, gpus_per_trial=1 / per_gpu)
    else:
        chosen = Resources(1, max(1, min(4, cpus_of_a_gpu - 1)), gpus_per_trial=1, pack="auto")
    return replace(chosen, concurrency=max(1, int(chosen.fit(hardware))))


def default_trials(hardware: Hardware) -> int:
    """Trials of each space."""
    return 64 if hardware.gpus else min(12 * hardware.cpus, 64)


def default_seeds(hardware: Hardware) -> int:
    """Members of each trial."""
    return 4 if hardware.gpus or hardware.cpus >= 8 else 2
