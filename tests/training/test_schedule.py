"""The loop yields at kimg 0, at every interval and at the end, and counts what it did."""

import math
from collections.abc import Callable
from itertools import pairwise
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from study.training import step
from study.training.capture import EagerIterations
from study.training.meter import Meter
from study.training.pack import Pack
from study.training.schedule import Progress, train

MakePack = Callable[..., Pack]
MemberState = Callable[[Pack, int], dict[str, bytes]]
Data = Callable[[str], Tensor]


@pytest.fixture
def points(training_data: Data) -> Tensor:
    return training_data("points")


def kill(pack: Pack, *members: int) -> None:
    finite = torch.ones_like(pack.watch.alive)
    finite[list(members)] = False
    pack.watch.check(finite, "non-finite critic loss")


def test_progress_comes_at_zero_at_each_interval_and_at_the_end(make_pack: MakePack, points: Tensor) -> None:
    # An iteration shows 4 * 10 samples: 0.04 kimg.
    pack = make_pack("wgan_gp", "points", n_critic=4, batch_size=10)
    progress = list(train(pack, points, kimg=0.52, eval_kimg=0.2))
    assert [p.kimg for p in progress] == [0, 0.2, 0.4, 0.52]
    assert [p.evaluation for p in progress] == [0, 1, 2, 3]
    assert [p.finished for p in progress] == [False, False, False, True]


def test_an_iteration_is_never_cut(make_pack: MakePack, points: Tensor) -> None:
    # 0.04 kimg an iteration: 0.1 is reached at 0.12, 0.2 at 0.2, the budget of 0.25 at 0.28.
    pack = make_pack("wgan_gp", "points", n_critic=4, batch_size=10)
    assert [p.kimg for p in train(pack, points, 0.25, 0.1)] == [0, 0.12, 0.2, 0.28]


def test_an_evaluation_comes_exactly_at_a_multiple_of_its_interval(
    make_pack: MakePack, points: Tensor
) -> None:
    # 3 * 0.006 is 0.018000000000000002 in floating point: rounding must not add an iteration.
    pack = make_pack("dcgan", "points", batch_size=2)
    progress = list(train(pack, points, 0.024, 0.006))
    assert [p.critic_updates for p in progress] == [0, 3, 6, 9, 12]


def test_no_two_evaluations_are_at_the_same_kimg(make_pack: MakePack, points: Tensor) -> None:
    # An interval shorter than an iteration (0.04 kimg) is passed several times by one iteration.
    pack = make_pack("wgan_gp", "points", n_critic=4, batch_size=10)
    progress = list(train(pack, points, kimg=0.1, eval_kimg=0.01))
    assert [p.kimg for p in progress] == [0, 0.04, 0.08, 0.12]
    assert all(math.isfinite(mean) for p in progress[1:] for mean in p.means["loss_d"])


def test_kimg_and_updates_are_counted(
    make_pack: MakePack, points: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown, generator_steps = [], []

    def critic_step(pack: Pack, real: Tensor, *rest: Tensor) -> None:
        shown.append(real.shape[1])
        step_of_critic(pack, real, *rest)

    def generator_step(*arguments: Any) -> None:
        generator_steps.append(1)
        step_of_generator(*arguments)

    step_of_critic, step_of_generator = step.critic_step, step.generator_step
    monkeypatch.setattr(step, "critic_step", critic_step)
    monkeypatch.setattr(step, "generator_step", generator_step)
    pack = make_pack("wgan_gp", "points", n_critic=3, batch_size=8)
    *_, last = train(pack, points, 0.2, 0.1)
    assert last.kimg == sum(shown) / 1000
    assert last.kimg == pytest.approx(0.216)  # nine iterations of 24, the first past 200
    assert (last.critic_updates, last.generator_updates) == (len(shown), len(generator_steps))


def test_means_are_those_of_the_updates_since_the_last_evaluation(
    make_pack: MakePack, points: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    added: list[tuple[Meter, list[float]]] = []

    def noting(meter: Meter, values: Tensor, alive: Tensor) -> None:
        added.append((meter, values.tolist()))
        add(meter, values, alive)

    add = Meter.add
    monkeypatch.setattr(Meter, "add", noting)
    pack = make_pack("wgan_gp", "points", seeds=(0, 1), n_critic=2, batch_size=10)
    for progress in train(pack, points, 0.12, 0.06):
        for name, meter in pack.meters.items():
            values = [v for m, v in added if m is meter]
            if progress.evaluation == 0:
                assert all(map(math.isnan, progress.means[name]))
                continue
            assert len(values) == (6 if name.endswith("_d") else 3)
            expected = [sum(column) / len(column) for column in zip(*values, strict=True)]
            assert progress.means[name] == pytest.approx(expected, rel=1e-6)
        added.clear()


def test_train_seconds_leave_out_what_the_caller_does(
    make_pack: MakePack, points: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]

    class SlowIterations(EagerIterations):
        def __call__(self) -> None:
            now[0] += 1.0
            super().__call__()

    monkeypatch.setattr("study.training.trainer.iterations_of", SlowIterations)
    monkeypatch.setattr("study.training.trainer.time", SimpleNamespace(perf_counter=lambda: now[0]))
    seconds = []
    for progress in train(make_pack("dcgan", "points", batch_size=10), points, 0.05, 0.02):
        seconds.append(progress.train_seconds)
        now[0] += 1000
    assert seconds == [0, 2, 4, 5]


def test_a_pack_without_survivors_stops_early_and_says_finished(make_pack: MakePack, points: Tensor) -> None:
    pack = make_pack("wgan_gp", "points", lr_d=1e6, lr_g=1e6)
    progress = list(train(pack, points, kimg=20, eval_kimg=10))
    assert [p.finished for p in progress] == [False, True]
    assert progress[-1].kimg < 2
    for divergence in progress[-1].divergences:
        assert divergence is not None
        assert 0 < divergence.kimg <= progress[-1].kimg
        assert divergence.reason.startswith("non-finite")


def test_a_pack_with_one_survivor_goes_on_to_its_budget(make_pack: MakePack, points: Tensor) -> None:
    pack = make_pack("dcgan", "points", batch_size=10)
    kill(pack, 0, 1, 3)
    *_, last = train(pack, points, 0.05, 0.02)
    assert (last.kimg, last.finished) == (0.05, True)
    assert [d is None for d in last.divergences] == [False, False, True, False]


@pytest.mark.parametrize("n_critic", [1, 2, 5, 33, 99, 100])
@pytest.mark.parametrize("falls_at", [1, 60, 101])
def test_the_end_of_all_members_is_seen_within_a_hundred_updates(
    n_critic: int, falls_at: int, make_pack: MakePack, points: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    updates = 0

    class CountingIterations(EagerIterations):
        """Counts the updates of an iteration; the update number `falls_at` is everybody's last."""

        def __call__(self) -> None:
            nonlocal updates
            for _ in range(n_critic + 1):
                updates += 1
                if updates == falls_at:
                    kill(self.pack, 0, 1, 2, 3)
            self.pack.count_iteration()

    monkeypatch.setattr("study.training.trainer.iterations_of", CountingIterations)
    pack = make_pack("wgan_gp", "points", n_critic=n_critic)
    *_, last = train(pack, points, kimg=1e4, eval_kimg=1e4)
    assert last.finished
    assert updates - falls_at <= 100


@pytest.mark.parametrize("where", ["critic", "generator"])
@pytest.mark.parametrize("model", ["dcgan", "wgan_cp", "wgan_gp"])
def test_a_divergence_is_dated_where_it_first_showed(
    model: str, where: str, make_pack: MakePack, points: Tensor
) -> None:
    # A NaN planted after two iterations shows in the next critic update's loss, whichever the player.
    pack = make_pack(model, "points", n_critic=2, batch_size=10)
    progress = train(pack, points, kimg=0.2, eval_kimg=0.04)
    next(progress)
    assert next(progress).kimg == 0.04
    with torch.no_grad():
        getattr(pack, where).parameters[0][3].view(-1)[0] = math.nan
    *_, last = progress
    divergence = last.divergences[3]
    assert last.divergences[:3] == [None] * 3
    assert divergence is not None
    assert (divergence.kimg, divergence.reason) == (0.05, "non-finite critic loss")


def test_a_parameter_that_no_loss_shows_is_found_at_the_evaluation(
    make_pack: MakePack, points: Tensor
) -> None:
    # ReLU turns a unit with bias minus infinity into zero: the losses stay finite.
    pack = make_pack("wgan_gp", "points", n_critic=1, batch_size=10)
    with torch.no_grad():
        pack.critic.parameters[1][2, 0, 0] = -math.inf
    progress = train(pack, points, kimg=0.04, eval_kimg=0.02)
    next(progress)
    divergence = next(progress).divergences[2]
    assert divergence is not None
    assert (divergence.kimg, divergence.reason) == (0.02, "non-finite critic parameter")


def test_an_explosion_is_seen_within_a_hundred_updates(make_pack: MakePack, points: Tensor) -> None:
    # A shift of 1e6 leaves every loss and gradient finite.
    pack = make_pack("dcgan", "points", batch_size=10)
    with torch.no_grad():
        pack.generator.parameters[-1][2] = 1e6
    *_, last = train(pack, points, kimg=3.0, eval_kimg=3.0)
    divergence = last.divergences[2]
    assert last.divergences[:2] + last.divergences[3:] == [None] * 3
    assert divergence is not None
    assert divergence.reason == "exploded generator parameters"
    assert divergence.kimg <= 0.5  # fifty of the hundred updates are the critic's


def test_a_caller_that_stops_listening_can_go_on_later(
    make_pack: MakePack, points: Tensor, member_state: MemberState
) -> None:
    whole, parts = (make_pack("wgan_gp", "points", n_critic=2, batch_size=10) for _ in range(2))
    expected = list(train(whole, points, 0.12, 0.04))
    progress = train(parts, points, 0.12, 0.04)
    seen = [next(progress), next(progress)]
    seen += train(parts, points, 0.12, 0.04)

    def without_clock(p: Progress) -> dict[str, object]:
        return {**vars(p), "train_seconds": None, "means": repr(p.means)}

    assert [without_clock(p) for p in seen] == [without_clock(p) for p in expected]
    assert member_state(parts, 0) == member_state(whole, 0)


def test_evaluations_do_not_change_the_training(
    make_pack: MakePack, points: Tensor, member_state: MemberState
) -> None:
    often, seldom = (make_pack("wgan_gp", "points", n_critic=2, batch_size=10) for _ in range(2))
    for _ in train(often, points, 0.12, 0.02):
        often.sample(5)
    list(train(seldom, points, 0.12, 0.12))
    for part in ("generator", "critic"):
        a, b = member_state(often, 0), member_state(seldom, 0)
        assert {k: v for k, v in a.items() if k.startswith(part)} == {
            k: v for k, v in b.items() if k.startswith(part)
        }


def test_progress_comes_in_order(make_pack: MakePack, points: Tensor) -> None:
    progress = list(train(make_pack("dcgan", "points", batch_size=10), points, 0.1, 0.03))
    for before, after in pairwise(progress):
        assert after.kimg > before.kimg
        assert after.evaluation == before.evaluation + 1
        assert after.train_seconds > before.train_seconds
