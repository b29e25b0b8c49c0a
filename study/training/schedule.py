"""When a pack is trained and when evaluated: at kimg 0, at every evaluation interval, and at the end.

The caller decides what to evaluate, write, report or stop; nothing here trains or logs.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from torch import Tensor

from study.training.pack import Pack
from study.training.trainer import Due


@dataclass(frozen=True)
class Progress:
    """Where a pack stands at an evaluation. Lists have one entry per member.

    Attributes:
        evaluation: how many intervals have passed; 0 at kimg 0.
        train_seconds: wall time spent training so far, by all members together; where packs trained
            together, this pack's share of it.
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
    finished: bool


def schedule(pack: Pack, data: Tensor, kimg: float, eval_kimg: float) -> Iterator[Due | Progress]:
    """What is due for `pack` on `data` (N, ...) from where it stands until `kimg`, and every `eval_kimg` its
    progress. The training is left to the caller, between a `Due` and what comes next.

    An iteration is never cut: an evaluation comes after the first one that reaches its interval, and
    an iteration longer than an interval skips numbers, so that number n is always n intervals.
    """
    if pack.next_evaluation == 0:
        pack.next_evaluation = 1
        yield _progress(pack, evaluation=0, finished=False)
    last = math.ceil(round(kimg / eval_kimg, 9))
    while not is_finished(pack, kimg):
        yield Due(pack, data, min(images_of(pack.next_evaluation * eval_kimg), images_of(kimg)))
        reached = max(pack.next_evaluation, int(round(pack.kimg / eval_kimg, 9)))
        evaluation = last if pack.images >= images_of(kimg) else reached
        pack.next_evaluation = evaluation + 1
        yield _progress(pack, evaluation, is_finished(pack, kimg))


def is_finished(pack: Pack, kimg: float) -> bool:
    """Whether the budget is used up or nobody is alive."""
    return pack.images >= images_of(kimg) or not pack.watch.any_alive()


def images_of(kimg: float) -> int:
    """Whole images that make `kimg`; 0.018 is 18 images, however it was rounded on the way."""
    return math.ceil(round(kimg * 1000, 6))


def _progress(pack: Pack, evaluation: int, finished: bool) -> Progress:
    return Progress(
        evaluation=evaluation,
        kimg=pack.kimg,
        critic_updates=pack.critic_updates,
        generator_updates=pack.generator_updates,
        train_seconds=pack.train_seconds,
        means={name: meter.read_and_reset() for name, meter in pack.meters.items()},
        finished=finished,
    )
