"""Trials side by side in one process: each as if it were alone, whoever comes, goes, fails or is silent."""

import asyncio
import time
from collections.abc import Coroutine, Sequence
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from study.plan import TrialPlan
from study.records.trial_folder import Ending, TrialFolder
from study.reporting.timing import WORKER_PARTS, Timing
from study.training import checkpoint
from study.training.capture import EagerIterations
from study.training.trainer import Due, Trainer
from study.trial import group as trial_group
from study.trial import run as trial_run
from study.trial.evaluation import Evaluation, SharedFaultError
from study.trial.group import TrialGroup
from study.trial.run import run
from tests.studies import Clock, trial_plan, untimed

pytestmark = pytest.mark.usefixtures("cheap_transport")

CPU = torch.device("cpu")


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many trials were trained together, each time."""
    counts: list[int] = []
    train = Trainer.train

    def counting(trainer: Trainer, dues: Sequence[Due]) -> None:
        counts.append(len(dues))
        train(trainer, dues)

    monkeypatch.setattr(Trainer, "train", counting)
    return counts


def plan(number: int, **changes: Any) -> TrialPlan:
    """Three evaluations after the one at kimg 0, with hyperparameters of its own."""
    own = {"lr_g": 1e-3 / (1 + number), "lr_d": 2e-3, "lambda_gp": 1.0 + number, "kimg": 0.384}
    return trial_plan(number, **own | changes)


class Group:
    """A TrialGroup with the folders of its trials."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.trials = TrialGroup(CPU)
        self.seconds: list[dict[str, float]] = []

    def folder(self, trial: TrialPlan) -> TrialFolder:
        return TrialFolder(self.path / trial.trial_id)

    async def next(self, trial: TrialPlan, *, alone: bool = False) -> Evaluation:
        """Of one that has begun, or begins now."""
        if trial.trial_id not in self.trials._trials:
            await self.trials.begin(trial, self.folder(trial), alone=alone)
        evaluation, seconds = await self.trials.next(trial.trial_id)
        self.seconds.append(seconds)
        await asyncio.sleep(0.01)  # the way to the scheduler and back
        return evaluation

    async def all(self, trial: TrialPlan) -> list[Evaluation]:
        evaluations = [await self.next(trial)]
        while evaluations[-1].state == "running":
            evaluations.append(await self.next(trial))
        return evaluations


@pytest.fixture
def group(tmp_path: Path) -> Group:
    return Group(tmp_path / "group")


def together(*work: Coroutine[Any, Any, Any]) -> list[Any]:
    async def gather() -> list[Any]:
        return await asyncio.wait_for(asyncio.gather(*work, return_exceptions=True), timeout=60)

    return asyncio.run(gather())


def rows_alone(trial: TrialPlan, path: Path) -> list[dict[str, Any]]:
    folder = TrialFolder(path / "alone" / trial.trial_id)
    list(run(trial, folder, CPU))
    return folder.rows()


def assert_as_alone(group: Group, trial: TrialPlan) -> None:
    """The same rows; what is computed, to float32's tolerance over a dozen updates."""
    own, alone = untimed(group.folder(trial).rows()), untimed(rows_alone(trial, group.path.parent))
    assert len(own) == len(alone)
    for row, other in zip(own, alone, strict=True):
        assert row.keys() == other.keys()
        for name in row:
            if isinstance(row[name], float):
                assert row[name] == pytest.approx(other[name], rel=1e-3, abs=1e-5), name
            else:
                assert row[name] == other[name], name


def test_trials_of_one_shape_train_together_and_end_as_alone(group: Group, trained: list[int]) -> None:
    plans = [plan(number) for number in range(3)]
    found = together(*(group.all(trial) for trial in plans))
    assert [[e.evaluation for e in evaluations] for evaluations in found] == [[0, 1, 2, 3]] * 3
    assert trained == [3, 3, 3]
    for trial in plans:
        assert_as_alone(group, trial)
        ending = group.folder(trial).ending()
        assert ending is not None
        assert (ending.state, ending.ended_by) == ("completed", "budget")


def test_trials_of_other_shapes_train_beside_them(group: Group, trained: list[int]) -> None:
    plans = [plan(0), plan(1), plan(2, batch_size=16), plan(3, precision="bf16")]
    together(*(group.all(trial) for trial in plans))
    assert sorted(trained) == [1] * 6 + [2] * 3
    for trial in plans[:3]:
        assert_as_alone(group, trial)


def test_one_that_is_dropped_is_not_waited_for_and_a_new_one_joins(group: Group, trained: list[int]) -> None:
    pruned, first, later = plan(0), plan(1), plan(2)

    async def stopped_then_another() -> None:
        await group.next(pruned)
        await group.next(pruned)
        group.trials.drop(pruned.trial_id)
        group.folder(pruned).finish(Ending(state="pruned", ended_by="asha", kimg=0.128, objective=1.0))
        await group.all(later)

    together(stopped_then_another(), group.all(first))
    assert trained[0] == 2
    assert 2 in trained[1:]  # with the later one
    assert len(group.folder(pruned).rows()) == 4
    for trial in (first, later):
        assert_as_alone(group, trial)


def test_a_trial_that_was_let_go_continues_from_its_folder(group: Group) -> None:
    paused, other = plan(0), plan(1)

    async def in_two_parts() -> None:
        await group.next(paused)
        await group.next(paused)
        group.trials.drop(paused.trial_id)
        evaluations = await group.all(paused)
        assert [e.evaluation for e in evaluations] == [2, 3]

    together(in_two_parts(), group.all(other))
    assert_as_alone(group, paused)
    assert_as_alone(group, other)


def test_one_that_nobody_asks_for_any_more_is_not_waited_for_long(
    group: Group, trained: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trial_group, "PATIENCE_SECONDS", 0.2)
    lost, other = plan(0), plan(1)
    together(group.next(lost), group.all(other))
    assert trained == [1, 1, 1]
    assert_as_alone(group, other)


def test_one_that_comes_back_late_goes_on(
    group: Group, trained: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trial_group, "PATIENCE_SECONDS", 0.1)
    late, other = plan(0), plan(1, kimg=0.768)

    async def slow() -> None:
        await group.next(late)
        while not trained:
            await asyncio.sleep(0)
        await group.all(late)

    together(slow(), group.all(other))
    assert trained[0] == 1
    assert 2 in trained
    assert_as_alone(group, late)
    assert_as_alone(group, other)


def test_calls_that_wait_for_a_busy_loop_are_waited_for(
    group: Group, trained: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Others train for longer than anybody's patience; meanwhile calls queue up, as they do in an actor."""
    monkeypatch.setattr(trial_group, "PATIENCE_SECONDS", 0.3)
    busy = plan(9, batch_size=16)
    train = Trainer.train

    def slow(trainer: Trainer, dues: Sequence[Due]) -> None:
        if dues[0].pack.config.batch_size == 16:
            time.sleep(0.5)
        train(trainer, dues)

    monkeypatch.setattr(Trainer, "train", slow)
    plans = [plan(number, kimg=0.768) for number in range(3)]
    together(*(group.all(trial) for trial in (*plans, busy)))
    assert sorted(trained) == [1] * 3 + [3] * 6


def test_a_trials_own_fault_is_its_own(group: Group) -> None:
    broken, sound = plan(0), plan(1)
    group.folder(broken).create(broken)
    group.folder(broken).checkpoint.parent.mkdir(exist_ok=True)
    torch.save({"of": "another program"}, group.folder(broken).checkpoint)
    fault, evaluations = together(group.all(broken), group.all(sound))
    assert isinstance(fault, RuntimeError)
    assert "is no checkpoint of this trial" in str(fault)
    assert evaluations[-1].state == "completed"
    assert_as_alone(group, sound)


def test_a_fault_in_training_is_nobodys_where_several_trained(
    group: Group, monkeypatch: pytest.MonkeyPatch
) -> None:
    def out_of_memory(*_: object) -> None:
        raise RuntimeError("out of memory")

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "train", out_of_memory)
        found = together(group.all(plan(0)), group.all(plan(1)))
        assert [type(fault) for fault in found] == [SharedFaultError] * 2
        assert "out of memory" in str(found[0])
        (own,) = together(group.all(plan(3)))
        assert (type(own), str(own)) == (RuntimeError, "out of memory")
    together(group.all(plan(0)), group.all(plan(2)))  # the group itself goes on
    assert_as_alone(group, plan(0))
    assert_as_alone(group, plan(2))


def test_one_that_is_to_be_alone_is(group: Group, trained: list[int]) -> None:
    first, alone, last = plan(0), plan(1), plan(2)

    async def come(trial: TrialPlan, after: float, *, is_alone: bool) -> list[int]:
        await asyncio.sleep(after)
        here, evaluation = [], None
        while evaluation is None or evaluation.state == "running":
            evaluation = await group.next(trial, alone=is_alone)
            if evaluation.state == "running":
                here.append(len(group.trials._trials))
            await asyncio.sleep(0.01)
        return here

    found = together(
        come(first, 0.0, is_alone=False), come(alone, 0.005, is_alone=True), come(last, 0.01, is_alone=False)
    )
    assert found == [[1] * 3] * 3  # each came in its turn
    assert trained == [1] * 9
    for trial in (first, alone, last):
        assert_as_alone(group, trial)


def test_one_that_waits_to_be_alone_can_be_dropped(group: Group) -> None:
    first, alone, last = plan(0), plan(1), plan(2)

    async def scenario() -> None:
        await group.next(first)
        waiting = asyncio.ensure_future(group.next(alone, alone=True))
        behind = asyncio.ensure_future(group.next(last))
        await asyncio.sleep(0.05)
        assert not waiting.done()
        assert not behind.done()
        group.trials.drop(alone.trial_id)
        assert (await behind).evaluation == 0
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert not group.folder(alone).exists()

    assert together(scenario()) == [None]


def test_a_dropped_trials_pending_call_ends(group: Group) -> None:
    waiting, other = plan(0), plan(1)

    async def scenario() -> None:
        await group.next(other)  # here, and not asked again: it is waited for
        await group.next(waiting)
        pending = asyncio.ensure_future(group.next(waiting))
        await asyncio.sleep(0.05)
        assert not pending.done()
        group.trials.drop(waiting.trial_id)
        with pytest.raises(asyncio.CancelledError):
            await pending
        group.trials.drop("nobody")

    assert together(scenario()) == [None]
    with group.folder(waiting).lock():  # it is free
        pass


def test_a_trial_that_is_begun_anew_is_not_dropped_with_the_old_call(group: Group) -> None:
    waiting, other = plan(0), plan(1)

    async def scenario() -> None:
        await group.next(other)
        await group.next(waiting)
        pending = asyncio.ensure_future(group.next(waiting))
        await asyncio.sleep(0.05)
        with pytest.raises(AssertionError, match="twice"):
            await group.trials.next(waiting.trial_id)
        group.trials.drop(waiting.trial_id)
        evaluation = await group.next(waiting)  # begun anew, before the old call has heard of its end
        assert evaluation.evaluation == 1
        assert pending.cancelled() or isinstance(pending.exception(), asyncio.CancelledError)

    assert together(scenario()) == [None]


def test_seconds_go_to_parts_and_training_is_shared(group: Group, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr("study.trial.group.Timing", partial(Timing, clock=clock))
    monkeypatch.setattr("study.training.trainer.time", SimpleNamespace(perf_counter=clock))
    clock.slow(monkeypatch, trial_run, "keep_freed_memory", 100)
    clock.slow(monkeypatch, EagerIterations, "__call__", 10)
    clock.slow(monkeypatch, trial_run, "save_samples", 4)
    clock.slow(monkeypatch, TrialFolder, "append", 2)
    clock.slow(monkeypatch, checkpoint, "save", 1)
    plans = [plan(number) for number in range(2)]
    together(*(group.all(trial) for trial in plans))
    spent = {part: sum(seconds.get(part, 0.0) for seconds in group.seconds) for part in WORKER_PARTS}
    evaluations, iterations = 2 * 4, 6
    assert spent == dict.fromkeys(WORKER_PARTS, 0) | {
        "build": 2 * 100,
        "evaluate": evaluations * 4,
        "record": evaluations * 2,
        "checkpoint": evaluations * 1,
        "train": 2 * iterations * 10,  # both were there all the time
        "wait": 3 * (4 + 2 + 1),  # after each training one of them goes on first
    }
    shares = [group.folder(trial).rows()[-1]["train_seconds"] for trial in plans]
    assert shares == [iterations * 10 / 2] * 2
