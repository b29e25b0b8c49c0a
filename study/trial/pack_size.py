"""How many members a pack should have: the fewest that train nearly as fast as the hardware can, and fit."""

import time
from dataclasses import asdict, dataclass
from typing import Any

import torch

from study.data import load
from study.machine.memory import PeakMemory, free_memory, keep_freed_memory
from study.plan import TrialPlan
from study.training.capture import WARM_UP, iterations_of
from study.training.pack import Pack

NEARLY = 0.95  # of the best throughput
SECONDS = 0.5  # of iterations, timed, for each size
SLOW_SECONDS = 3.0  # of all iterations, those that warm up among them
SPARED = 0.3  # of the memory there is, for evaluation and for trials' own copies


@dataclass(frozen=True)
class PackSize:
    """One size that was measured.

    Attributes:
        rate: generator iterations a second, of all members together.
        mib: memory that its training took at its peak, MiB.
    """

    members: int
    rate: float
    mib: float

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


def measure(plan: TrialPlan, device: torch.device, largest: int, memory_share: float = 1.0) -> list[PackSize]:
    """Train packs of 1, 2, 4, ... trials of `plan`, of at most `largest` members, for a moment each.

    It ends where doubling a pack stops paying, or where the doubled pack might not fit in this
    process's share of the memory that is free.
    """
    keep_freed_memory()
    sizes: list[PackSize] = []
    if device.type == "cuda":
        torch.cuda.empty_cache()  # of what was measured before
    free = free_memory(device) / 2**20 * memory_share * (1 - SPARED)
    trials = 1
    while trials == 1 or trials * len(plan.seeds) <= largest:
        try:
            with PeakMemory(device) as peak:
                rate = iterations_per_second(plan, device, trials)
        except torch.OutOfMemoryError:
            if not sizes:
                raise
            break
        sizes.append(PackSize(trials * len(plan.seeds), rate, peak.bytes / 2**20))
        gain = sizes[-1].rate / sizes[-2].rate if len(sizes) > 1 else 2.0
        if gain < 1 or 2 * sizes[-1].mib > free:
            break
        trials *= 2
    return sizes


def choose(sizes: list[PackSize]) -> int:
    """Members of the smallest pack that is nearly as fast as the fastest."""
    best = max(size.rate for size in sizes)
    return min(size.members for size in sizes if size.rate >= NEARLY * best)


def iterations_per_second(plan: TrialPlan, device: torch.device, trials: int) -> float:
    """Generator iterations a second of all members of a pack of `trials` trials, timed for a moment."""
    data = load(plan.config.dataset, device)
    configs = [plan.config] * len(plan.seeds) * trials
    pack = Pack(configs, plan.seeds * trials, plan.study_seed, data.sample_shape, device, plan.precision)
    iterate = iterations_of(pack, data.train)
    times: list[float] = []
    while sum(times[WARM_UP + 1 :]) < SECONDS and sum(times) < SLOW_SECONDS:
        start = time.perf_counter()
        iterate()
        _finish(device)
        times.append(time.perf_counter() - start)
    timed = times[WARM_UP + 1 :] or times[-1:]  # iterations that are slow need no warming up
    return len(timed) * len(configs) / sum(timed)


def _finish(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
