"""The watch remembers the first non-finite number of each member, once and for all."""

import torch
from torch import Tensor

from study.training.divergence import REASONS, Divergence, DivergenceWatch

CPU = torch.device("cpu")
LOSS, GRADIENT = "non-finite critic loss", "non-finite critic gradient"


def finite(*members: int) -> Tensor:
    return torch.tensor(members, dtype=torch.bool)


def test_everybody_is_alive_at_first() -> None:
    watch = DivergenceWatch(3, CPU)
    assert watch.alive.tolist() == [True] * 3
    assert watch.any_alive()
    assert watch.divergences(64) == [None] * 3


def test_a_check_returns_who_is_alive() -> None:
    watch = DivergenceWatch(3, CPU)
    assert watch.check(finite(1, 0, 1), LOSS, 5).tolist() == [True, False, True]
    assert watch.check(finite(1, 1, 0), LOSS, 6).tolist() == [True, False, False]
    assert watch.alive.tolist() == [True, False, False]


def test_the_dead_do_not_rise() -> None:
    watch = DivergenceWatch(2, CPU)
    watch.check(finite(1, 0), LOSS, 5)
    assert watch.check(finite(1, 1), GRADIENT, 6).tolist() == [True, False]


def test_the_first_reason_and_update_stay() -> None:
    watch = DivergenceWatch(2, CPU)
    watch.check(finite(1, 0), LOSS, 5)
    watch.check(finite(1, 0), GRADIENT, 6)
    watch.check(finite(0, 0), GRADIENT, 7)
    # 5 and 7 critic updates of 20 real samples are 0.1 and 0.14 thousand.
    assert watch.divergences(20) == [Divergence(0.14, GRADIENT), Divergence(0.1, LOSS)]


def test_nobody_is_alive_when_all_have_fallen() -> None:
    watch = DivergenceWatch(2, CPU)
    watch.check(finite(1, 0), LOSS, 1)
    assert watch.any_alive()
    watch.check(finite(0, 1), LOSS, 2)
    assert not watch.any_alive()


def test_every_reason_can_be_recorded() -> None:
    for reason in REASONS[1:]:
        watch = DivergenceWatch(1, CPU)
        watch.check(finite(0), reason, 1)
        assert watch.divergences(1000) == [Divergence(1.0, reason)]


def test_a_watch_is_restored_with_its_memory() -> None:
    watch, restored = DivergenceWatch(3, CPU), DivergenceWatch(3, CPU)
    watch.check(finite(1, 0, 1), LOSS, 5)
    restored.load_state_dict(watch.state_dict())
    assert restored.alive.tolist() == [True, False, True]
    assert restored.divergences(20) == watch.divergences(20)


def test_a_restored_watch_shares_nothing_with_what_it_was_restored_from() -> None:
    watch, restored = DivergenceWatch(2, CPU), DivergenceWatch(2, CPU)
    restored.load_state_dict(watch.state_dict())
    restored.check(finite(0, 1), LOSS, 5)
    assert watch.alive.tolist() == [True, True]
    assert watch.divergences(20) == [None, None]
