"""The watch remembers the first non-finite number of each member, once and for all."""

import torch
from torch import Tensor

from study.training.divergence import REASONS, Divergence, DivergenceWatch
from tests.packs import CPU

LOSS, GRADIENT = "non-finite critic loss", "non-finite critic gradient"


def finite(*members: int) -> Tensor:
    return torch.tensor(members, dtype=torch.bool)


def at_update(critic_updates: int, members: int) -> DivergenceWatch:
    """A watch in the middle of that critic update."""
    watch = DivergenceWatch(members, CPU)
    for _ in range(critic_updates):
        watch.count_critic_update()
    return watch


def test_a_check_returns_who_is_alive_and_the_dead_do_not_rise() -> None:
    watch = DivergenceWatch(3, CPU)
    assert watch.any_alive()
    assert watch.divergences(64) == [None] * 3
    for verdict, alive in (((1, 0, 1), [1, 0, 1]), ((1, 1, 0), [1, 0, 0]), ((0, 1, 1), [0, 0, 0])):
        assert watch.check(finite(*verdict), LOSS).tolist() == watch.alive.tolist() == alive
        assert watch.any_alive() == any(alive)


def test_the_first_reason_and_update_stay() -> None:
    watch = at_update(5, members=2)
    watch.check(finite(1, 0), LOSS)
    watch.count_critic_update()
    watch.check(finite(1, 0), GRADIENT)
    watch.count_critic_update()
    watch.check(finite(0, 0), GRADIENT)
    # 5 and 7 critic updates of 20 real samples are 0.1 and 0.14 thousand.
    assert watch.divergences(20) == [Divergence(0.14, GRADIENT), Divergence(0.1, LOSS)]


def test_a_member_can_fall_before_the_first_update() -> None:
    watch = DivergenceWatch(2, CPU)
    watch.check(finite(0, 1), LOSS)
    watch.count_critic_update()
    assert watch.divergences(20) == [Divergence(0.0, LOSS), None]


def test_every_reason_can_be_recorded() -> None:
    for reason in REASONS[1:]:
        watch = at_update(1, members=1)
        watch.check(finite(0), reason)
        assert watch.divergences(1000) == [Divergence(1.0, reason)]


def test_what_was_checked_stays_as_it_is() -> None:
    watch, verdict = DivergenceWatch(2, CPU), finite(1, 0)
    watch.check(verdict, LOSS)
    watch.check(finite(0, 1), LOSS)
    assert verdict.tolist() == [True, False]


def test_a_watch_is_restored_with_its_memory() -> None:
    watch, restored = at_update(5, members=3), DivergenceWatch(3, CPU)
    watch.check(finite(1, 0, 1), LOSS)
    restored.load_state_dict(watch.state_dict())
    assert restored.alive.tolist() == [True, False, True]
    assert restored.divergences(20) == watch.divergences(20)
    restored.count_critic_update()
    restored.check(finite(0, 1, 1), GRADIENT)
    assert restored.divergences(20) == [Divergence(0.12, GRADIENT), Divergence(0.1, LOSS), None]


def test_all_that_changes_stays_where_it_is() -> None:
    # A captured graph goes on reading and writing the same tensors.
    watch = DivergenceWatch(2, CPU)

    def places() -> list[int]:
        return [watch.alive.data_ptr(), *(t.data_ptr() for t in watch.state_dict().values())]

    before = places()
    watch.count_critic_update()
    alive = watch.check(finite(1, 0), LOSS)
    watch.load_state_dict(at_update(3, members=2).state_dict())
    assert places() == before
    assert alive.data_ptr() == before[0]
