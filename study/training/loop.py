"""The training loop: a generator that yields at kimg 0, at every evaluation interval, and at the end.

The caller decides what to evaluate, write, report or stop; nothing here logs.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from study.training.divergence import Divergence
from study.training.pack import Pack
from study.training.step import iteration

CHECK_EVERY_UPDATES = 100


@dataclass(frozen=True)
class Progress:
    """Where a pack stands at an evaluation. Lists have one entry per member.

    Attributes:
        evaluation: 0 at kimg 0, then counting up.
        train_seconds: wall time spent training so far, by all members together.
        means: losses and gradient norms, mean over the updates since the last evaluation; NaN where
            there was none.
        finished: the budget is used up, or no member is alive.
    """

    evaluation: int
    kimg: float
    critic_updates: int
    generator_updates: int
    train_seconds: float
    means: dict[str, list[float]]
    divergences: list[Divergence | None]
    finished: bool


def train(pack: Pack, data: Tensor, kimg: float, eval_kimg: float) -> Iterator[Progress]:
    """Train `pack` on `data` (N, ...) from where it stands until `kimg`, yielding every `eval_kimg`.

    An iteration is never cut: an evaluation comes after the first one that reaches its interval.
    """
    if pack.evaluations == 0:
        pack.evaluations = 1
        yield _progress(pack, finished=False)
    while pack.kimg < kimg and pack.watch.any_alive():
        _train_until(pack, data, min(pack.evaluations * eval_kimg, kimg))
        pack.evaluations += 1
        yield _progress(pack, finished=pack.kimg >= kimg or not pack.watch.any_alive())


def _train_until(pack: Pack, data: Tensor, kimg: float) -> None:
    """Advance until `kimg` is reached or nobody is alive (looked at every 100 updates)."""
    start = time.perf_counter()
    updates_per_iteration = pack.config.n_critic + 1
    unchecked = 0
    while pack.kimg < kimg:
        iteration(pack, data)
        unchecked += updates_per_iteration
        if unchecked + updates_per_iteration > CHECK_EVERY_UPDATES:
            unchecked = 0
            pack.check_parameters()
            if not pack.watch.any_alive():
                break
    pack.check_parameters()
    if pack.device.type == "cuda":
        torch.cuda.synchronize(pack.device)
    pack.train_seconds += time.perf_counter() - start


def _progress(pack: Pack, finished: bool) -> Progress:
    return Progress(
        evaluation=pack.evaluations - 1,
        kimg=pack.kimg,
        critic_updates=pack.critic_updates,
        generator_updates=pack.generator_updates,
        train_seconds=pack.train_seconds,
        means={name: meter.read_and_reset() for name, meter in pack.meters.items()},
        divergences=pack.watch.divergences(pack.config.batch_size),
        finished=finished,
    )
