"""Packs that train together end as each would have ended alone, whatever the others are and do."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from study.training import trainer as trainer_module
from study.training.capture import EagerIterations
from study.training.pack import Pack
from study.training.schedule import Progress, schedule
from study.training.trainer import Due, Trainer, carry_out
from tests.packs import Case, everything, make_pack, training_data

# What differs between trials that may share a pack.
OWN: dict[str, list[dict[str, float]]] = {
    "dcgan": [{"lr_g": 1e-3, "lr_d": 2e-4, "beta1": 0.5}, {"lr_g": 2e-4, "lr_d": 1e-3, "beta1": 0.1}],
    "wgan_cp": [{"clip_value": 0.01, "lr_d": 1e-3}, {"clip_value": 0.1, "lr_d": 5e-4}],
    "wgan_gp": [{"lambda_gp": 10.0, "lr_d": 1e-3}, {"lambda_gp": 0.5, "lr_d": 5e-4}],
}


def trial(model: str, kind: str, which: int, **changes: Any) -> Pack:
    """A pack of seeds 0 and 1 with hyperparameters of its own."""
    return make_pack(model, kind, seeds=(0, 1), per_member=[OWN[model][which]] * 2, **changes)


def images(pack: Pack, iterations: int) -> int:
    """How many it will have been shown so many iterations from now."""
    return pack.images + iterations * pack.config.n_critic * pack.config.batch_size


def alone(pack: Pack, data: Tensor, *iterations: int) -> Pack:
    for n in iterations:
        Trainer().train([Due(pack, data, images(pack, n))])
    return pack


def assert_same(pack: Pack, other: Pack, start: Pack) -> None:
    """Equal to 1e-10 in float64, where training has moved the networks by millions of that."""
    for player in ("generator", "critic"):
        own, its, initial = (getattr(p, player).values for p in (pack, other, start))
        torch.testing.assert_close(own, its, rtol=1e-9, atol=1e-10)
        assert float((own - initial).abs().max()) > 3e-4
    assert (pack.critic_updates, pack.generator_updates) == (other.critic_updates, other.generator_updates)
    assert torch.equal(pack.watch.alive, other.watch.alive)
    for one, two in zip(pack.streams.state_dict().values(), other.streams.state_dict().values(), strict=True):
        assert all(map(torch.equal, one, two))
    for name, meter in pack.meters.items():
        assert meter.read_and_reset() == pytest.approx(other.meters[name].read_and_reset(), rel=1e-9)


@pytest.mark.usefixtures("double")
def test_two_trials_train_together_as_each_does_alone(case: Case, data: Tensor) -> None:
    packs = [trial(*case, which) for which in (0, 1)]
    trainer = Trainer()
    for n in (2, 3):
        trainer.train([Due(pack, data, images(pack, n)) for pack in packs])
    for which, pack in enumerate(packs):
        assert_same(pack, alone(trial(*case, which), data, 2, 3), trial(*case, which))


@pytest.mark.usefixtures("double")
def test_trials_of_different_ages_and_intervals_come_and_go() -> None:
    data = training_data("images")
    first, second, third = (trial("wgan_gp", "images", which) for which in (0, 1, 0))
    trainer = Trainer()
    trainer.train([Due(first, data, images(first, 3))])
    trainer.train([Due(first, data, images(first, 2)), Due(second, data, images(second, 4))])
    trainer.train([Due(second, data, images(second, 1)), Due(third, data, images(third, 3))])
    trainer.train([Due(third, data, images(third, 2))])
    for pack, which, intervals in ((first, 0, (3, 2)), (second, 1, (4, 1)), (third, 0, (3, 2))):
        start = trial("wgan_gp", "images", which)
        assert_same(pack, alone(trial("wgan_gp", "images", which), data, *intervals), start)


def test_a_companion_that_diverges_changes_no_bit(case: Case, data: Tensor, precision: str) -> None:
    states = []
    for planted in (False, True):
        packs = [trial(*case, which, precision=precision) for which in (0, 1)]
        if planted:
            packs[0].generator.values[0, 3] = torch.nan
        Trainer().train([Due(pack, data, images(pack, 4)) for pack in packs])
        assert packs[0].watch.alive.tolist() == [not planted, True]
        states.append(everything(packs[1]))
    assert states[0] == states[1]


def test_a_trial_of_which_nobody_is_alive_stops_where_it_would_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trainer_module, "CHECK_EVERY_UPDATES", 6)
    data = training_data("points")
    counts = []
    for together in (False, True):
        dying, living = (trial("wgan_gp", "points", which, n_critic=1) for which in (0, 1))
        dying.critic.values[:] = torch.nan
        dues = [Due(dying, data, images(dying, 20)), Due(living, data, images(living, 20))]
        Trainer().train(dues if together else dues[:1])
        counts.append((dying.generator_updates, dying.watch.divergences(16)))
    assert counts[0] == counts[1]
    assert counts[0][0] == 3  # three iterations of two updates until the first look
    assert living.generator_updates == 20


def test_when_a_member_diverged_is_told_by_its_own_clock() -> None:
    data = training_data("points")
    old, new = (trial("wgan_gp", "points", which, n_critic=2) for which in (0, 1))
    trainer = Trainer()
    trainer.train([Due(old, data, images(old, 5))])
    old.critic.values[0] = torch.nan
    trainer.train([Due(old, data, images(old, 1)), Due(new, data, images(new, 1))])
    fallen, other = old.watch.divergences(1000)
    assert fallen is not None
    assert other is None
    assert fallen.kimg == 11  # at its 11th critic update of 1,000 images
    assert new.watch.divergences(1000) == [None, None]


def test_what_was_made_for_the_same_packs_is_used_again(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []

    def making(pack: Pack, data: Tensor) -> EagerIterations:
        made.append(len(pack.seeds))
        return EagerIterations(pack, data)

    monkeypatch.setattr(trainer_module, "iterations_of", making)
    data = training_data("points")
    first, second = (trial("dcgan", "points", which) for which in (0, 1))
    trainer = Trainer()
    for packs in ([first, second], [first, second], [second], [second], [first, second]):
        trainer.train([Due(pack, data, images(pack, 1)) for pack in packs])
    assert made == [4, 2, 4]


def test_each_pays_its_share_of_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = iter([100.0, 112.0])
    monkeypatch.setattr(trainer_module.time, "perf_counter", lambda: next(ticks))
    data = training_data("points")
    first, second = (trial("dcgan", "points", which) for which in (0, 1))
    Trainer().train([Due(first, data, images(first, 1)), Due(second, data, images(second, 2))])
    assert (first.train_seconds, second.train_seconds) == (4, 8)


@pytest.mark.parametrize(
    "changes", [{"n_critic": 3}, {"precision": "bf16"}], ids=["another shape", "another precision"]
)
def test_packs_that_can_not_be_one_are_refused(changes: dict[str, Any]) -> None:
    data = training_data("points")
    one, other = trial("dcgan", "points", 0), trial("dcgan", "points", 1, **changes)
    with pytest.raises(ValueError, match=r"shape key|same study seed and precision"):
        Trainer().train([Due(one, data, images(one, 1)), Due(other, data, images(other, 1))])
    with pytest.raises(ValueError, match="the same data"):
        Trainer().train([Due(one, data, images(one, 1)), Due(one, data.clone(), images(one, 1))])


def test_a_schedule_asks_for_training_and_tells_of_progress() -> None:
    pack, data = make_pack("dcgan", "points", batch_size=10), training_data("points")
    due: list[int] = []

    def noted() -> Iterator[Due | Progress]:
        for event in schedule(pack, data, kimg=0.05, eval_kimg=0.02):
            if isinstance(event, Due):
                due.append(event.images)
            yield event

    seen = [(*due, progress.evaluation, pack.images) for progress in carry_out(noted())]
    assert seen == [(0, 0), (20, 1, 20), (20, 40, 2, 40), (20, 40, 50, 3, 50)]
