"""The loop yields at kimg 0, at every interval and at the end, and counts what it did."""

import math
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from study.models import MODELS
from study.training import step
from study.training.capture import EagerIterations
from study.training.divergence import Divergence
from study.training.meter import Meter
from study.training.pack import Pack
from study.training.schedule import Progress, schedule
from study.training.trainer import carry_out
from tests.packs import everything, make_pack, reasons, training_data, without_clock
from tests.studies import Clock


@pytest.fixture
def points() -> Tensor:
    return training_data("points")


def train(pack: Pack, data: Tensor, kimg: float, eval_kimg: float) -> Iterator[Progress]:
    return carry_out(schedule(pack, data, kimg, eval_kimg))


def kill(pack: Pack, *members: int) -> None:
    finite = torch.ones_like(pack.watch.alive)
    finite[list(members)] = False
    pack.watch.check(finite, "non-finite critic loss")


def test_progress_comes_at_zero_at_each_interval_and_at_the_end(points: Tensor) -> None:
    # An iteration shows 4 * 10 samples: 0.04 kimg.
    pack = make_pack("wgan_gp", "points", n_critic=4, batch_size=10)
    progress = list(train(pack, points, kimg=0.52, eval_kimg=0.2))
    assert [(p.evaluation, p.kimg) for p in progress] == [(0, 0), (1, 0.2), (2, 0.4), (3, 0.52)]
    assert [(p.critic_updates, p.generator_updates) for p in progress] == [
        (0, 0),
        (20, 5),
        (40, 10),
        (52, 13),
    ]
    assert [p.finished for p in progress] == [False, False, False, True]


@pytest.mark.parametrize(
    ("batch_size", "kimg", "eval_kimg", "expected"),
    [
        # An iteration of 0.04 kimg is never cut: 0.1 is reached at 0.12, the budget of 0.25 at 0.28.
        (40, 0.25, 0.1, {0: 0, 1: 0.12, 2: 0.2, 3: 0.28}),
        # It may pass an interval several times, but no two evaluations are at the same kimg.
        (40, 0.1, 0.01, {0: 0, 4: 0.04, 8: 0.08, 10: 0.12}),
        # 3 * 0.006 is 0.018000000000000002 in floating point: rounding must not add an iteration.
        (2, 0.024, 0.006, {0: 0, 1: 0.006, 2: 0.012, 3: 0.018, 4: 0.024}),
    ],
)
def test_an_evaluation_comes_after_the_iteration_that_reaches_it(
    batch_size: int, kimg: float, eval_kimg: float, expected: dict[int, float], points: Tensor
) -> None:
    progress = list(train(make_pack("dcgan", "points", batch_size=batch_size), points, kimg, eval_kimg))
    assert [(p.evaluation, p.kimg) for p in progress] == [*expected.items()]
    assert all(math.isfinite(mean) for p in progress[1:] for mean in p.means["loss_d"])


def test_kimg_counts_real_samples(points: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    shown, step_of_critic = [], step.critic_step

    def counting(pack: Pack, real: Tensor, *rest: Tensor) -> None:
        shown.append(real.shape[1])
        step_of_critic(pack, real, *rest)

    monkeypatch.setattr(step, "critic_step", counting)
    pack = make_pack("wgan_gp", "points", n_critic=3, batch_size=8)
    *_, last = train(pack, points, 0.2, 0.1)
    assert last.kimg == sum(shown) / 1000 == 0.216  # nine iterations of 24, the first past 200


@pytest.mark.parametrize(("n_critic", "iterations"), [(1, [0, 7, 13]), (3, [0, 3, 5])])
def test_updates_are_counted(n_critic: int, iterations: list[int], points: Tensor) -> None:
    pack = make_pack("wgan_gp", "points", n_critic=n_critic, batch_size=8)
    found = [(p.kimg, p.critic_updates, p.generator_updates) for p in train(pack, points, 0.1, 0.05)]
    assert found == [(n_critic * n * 8 / 1000, n_critic * n, n) for n in iterations]


def test_means_are_those_of_the_updates_since_the_last_evaluation(
    points: Tensor, monkeypatch: pytest.MonkeyPatch
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
    points: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    clock.slow(monkeypatch, EagerIterations, "__call__", 1)
    monkeypatch.setattr("study.training.trainer.time", SimpleNamespace(perf_counter=clock))
    seconds = []
    for progress in train(make_pack("dcgan", "points", batch_size=10), points, 0.05, 0.02):
        seconds.append(progress.train_seconds)
        clock.now += 1000
    assert seconds == [0, 2, 4, 5]


def test_a_pack_without_survivors_stops_early_and_says_finished(points: Tensor) -> None:
    pack = make_pack("wgan_gp", "points", lr_d=1e6, lr_g=1e6)
    progress = list(train(pack, points, kimg=20, eval_kimg=10))
    assert [p.finished for p in progress] == [False, True]
    assert progress[-1].kimg < 2
    assert all(reason.startswith("non-finite") for reason in reasons(pack))


def test_a_pack_with_one_survivor_goes_on_to_its_budget(points: Tensor) -> None:
    pack = make_pack("dcgan", "points", batch_size=10)
    kill(pack, 0, 1, 3)
    *_, last = train(pack, points, 0.05, 0.02)
    assert (last.kimg, last.finished) == (0.05, True)
    assert pack.watch.alive.tolist() == [False, False, True, False]


@pytest.mark.parametrize("n_critic", [1, 2, 5, 33, 99, 100])
@pytest.mark.parametrize("falls_at", [1, 60, 101])
def test_the_end_of_all_members_is_seen_within_a_hundred_updates(
    n_critic: int, falls_at: int, points: Tensor, monkeypatch: pytest.MonkeyPatch
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
@pytest.mark.parametrize("model", MODELS)
def test_a_divergence_is_dated_where_it_first_showed(model: str, where: str, points: Tensor) -> None:
    # A NaN planted after two iterations shows in the next critic update's loss, whichever the player.
    pack = make_pack(model, "points", n_critic=2, batch_size=10)
    progress = train(pack, points, kimg=0.2, eval_kimg=0.04)
    next(progress)
    assert next(progress).kimg == 0.04
    getattr(pack, where).parameters[0][3].view(-1)[0] = math.nan
    list(progress)
    assert pack.watch.divergences(10) == [None] * 3 + [Divergence(0.05, "non-finite critic loss")]


def test_a_parameter_that_no_loss_shows_is_found_at_the_evaluation(points: Tensor) -> None:
    # ReLU turns a unit with bias minus infinity into zero: the losses stay finite.
    pack = make_pack("wgan_gp", "points", n_critic=1, batch_size=10)
    pack.critic.parameters[1][3, 0, 0] = -math.inf
    list(train(pack, points, kimg=0.04, eval_kimg=0.02))
    assert pack.watch.divergences(10) == [None] * 3 + [Divergence(0.02, "non-finite critic parameter")]


def test_an_explosion_is_seen_within_a_hundred_updates(points: Tensor) -> None:
    # A shift of 1e6 leaves every loss and gradient finite.
    pack = make_pack("dcgan", "points", batch_size=10)
    pack.generator.parameters[-1][2] = 1e6
    list(train(pack, points, kimg=3.0, eval_kimg=3.0))
    assert reasons(pack) == ["", "", "exploded generator parameters", ""]
    divergence = pack.watch.divergences(10)[2]
    assert divergence is not None
    assert divergence.kimg <= 0.5  # fifty of the hundred updates are the critic's


def test_a_caller_that_stops_listening_can_go_on_later(points: Tensor) -> None:
    whole, parts = (make_pack("wgan_gp", "points", n_critic=2, batch_size=10) for _ in range(2))
    expected = list(train(whole, points, 0.12, 0.04))
    progress = train(parts, points, 0.12, 0.04)
    seen = [next(progress), next(progress), *train(parts, points, 0.12, 0.04)]
    assert [*map(without_clock, seen)] == [*map(without_clock, expected)]
    assert everything(parts) == everything(whole)


def test_evaluations_do_not_change_the_training(points: Tensor) -> None:
    often, seldom = (make_pack("wgan_gp", "points", n_critic=2, batch_size=10) for _ in range(2))
    for _ in train(often, points, 0.12, 0.02):
        often.sample(5)
    list(train(seldom, points, 0.12, 0.12))
    differing = {name for name, value in everything(often).items() if value != everything(seldom)[name]}
    assert differing <= {"/next_evaluation"}  # and meters were read at the end of both
