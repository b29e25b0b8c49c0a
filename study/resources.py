"""What a study's packs run on, and how large it is, where the user does not say: it follows the hardware."""

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

    def check(self, hardware: Hardware, *, is_cluster: bool) -> None:
        """Raise UserError where they are more than there is; Ray would wait for it for ever."""
        gpus, cpus = self.gpus_per_trial, self.cpus_per_trial
        if gpus > len(hardware.gpus):
            raise UserError(
                f"a trial wants {gpus:g} GPUs, there are {len(hardware.gpus)}: set --gpus-per-trial"
            )
        if gpus > 1 and gpus != int(gpus):
            raise UserError(f"--gpus-per-trial {gpus:g}: above 1 it must be a whole number")
        if is_cluster and cpus > hardware.cpus:
            raise UserError(f"--cpus-per-trial {cpus:g}: the cluster has {hardware.cpus} CPUs")
        if is_cluster and self.pack != "trial" and self.concurrency * cpus > hardware.cpus - 1:
            raise UserError(
                f"{self.concurrency} packs of {cpus:g} CPUs leave none of the cluster's "
                f"{hardware.cpus} for Ray Tune's trials, which need one: set --concurrency, or --pack trial"
            )


def resolve_resources(asked: Mapping[str, Any], fallback: Resources) -> Resources:
    """What was asked for; the fallback's, where that is None."""
    given = {field.name: asked[field.name] for field in fields(Resources)}
    return replace(fallback, **{name: value for name, value in given.items() if value is not None})


def default_resources(hardware: Hardware, pack: int | str | None = None) -> Resources:
    """A trial and a thread for each core; on a GPU one process that trains as many trials as fit.

    `pack`: what was asked for; with 'trial' up to four trials, in as many processes, share a GPU.
    """
    gpus = len(hardware.gpus)
    if not gpus:
        return Resources(hardware.cpus, cpus_per_trial=1, gpus_per_trial=0)
    if pack == "trial":
        per_gpu = max(1, min(4, hardware.cpus // gpus))
        return Resources(per_gpu * gpus, cpus_per_trial=1, gpus_per_trial=1 / per_gpu)
    cpus = max(1, min(4, hardware.cpus // gpus - 1))
    return Resources(gpus, cpus_per_trial=cpus, gpus_per_trial=1, pack="auto")


def default_trials(hardware: Hardware) -> int:
    """Trials of each space."""
    return 64 if hardware.gpus else min(12 * hardware.cpus, 64)


def default_seeds(hardware: Hardware) -> int:
    """Members of each trial."""
    return 4 if hardware.gpus or hardware.cpus >= 8 else 2
