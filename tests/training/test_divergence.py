"""The watch remembers the first non-finite number of each member, once and for all."""

import torch
from torch import Tensor

from study.training.divergence import REASONS, Divergence, DivergenceWatch

CPU = torch.device("cpu")
LOSS, GRADIENT = "non-finite critic loss", "non-finite critic gradient"


def finite(*members: int) -> Tensor:
    return torch.tensor(members, dtype=torch.bool)


def at_update(critic_updates: int, members: int) -> DivergenceWatch:
    """A watch in the middle of that critic update."""
    watch = DivergenceWatch(members, CPU)
    for _ in range(critic_updates):
        watch.count_critic_update()
    return watch


def test_everybody_is_alive_at_first() -> None:
    watch = DivergenceWatch(3, CPU)
    assert watch.alive.tolist() == [True] * 3
    assert watch.any_alive()
    assert watch.divergences(64) == [None] * 3


def test_a_check_returns_who_is_alive() -> None:
    watch = DivergenceWatch(3, CPU)
    assert watch.check(finite(1, 0, 1), LOSS).tolist() == [True, False, True]
    assert watch.check(finite(1, 1, 0), LOSS).tolist() == [True, False, False]
    assert watch.alive.tolist() == [True, False, False]


def test_the_dead_do_not_rise() -> None:
    watch = DivergenceWatch(2, CPU)
    watch.check(finite(1, 0), LOSS)
    assert watch.check(finite(1, 1), GRADIENT).tolist() == [True, False]


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


def test_nobody_is_alive_when_all_have_fallen() -> None:
    watch = DivergenceWatch(2, CPU)
    watch.check(finite(1, 0), LOSS)
    assert watch.any_alive()
    watch.check(finite(0, 1), LOSS)
    assert not watch.any_alive()


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


def test_a_restored_watch_shares_nothing_with_what_it_was_restored_from() -> None:
    watch, restored = DivergenceWatch(2, CPU), DivergenceWatch(2, CPU)
    restored.load_state_dict(watch.state_dict())
    restored.count_critic_update()
    restored.check(finite(0, 1), LOSS)
    assert watch.alive.tolist() == [True, True]
    assert watch.divergences(20) == [None, None]
    watch.check(finite(0, 1), LOSS)
    assert watch.divergences(20) == [Divergence(0.0, LOSS), None]


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
