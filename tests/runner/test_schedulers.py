"""Early stopping per space, and the same decisions after a resume as without one."""

import math
import random
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from ray.tune.schedulers import TrialScheduler

from study.plan import StudyPlan
from study.records.objective import Standing
from study.runner.schedulers import SCHEDULERS, PerSpaceScheduler
from study.space import Space, parse_space
from study.tune import SCHEDULERS as OFFERED
from tests.studies import study_plan

ENOUGH = 1000  # generator updates
CONTINUE, STOP = TrialScheduler.CONTINUE, TrialScheduler.STOP


def space(name: str, min_iter: int = 1, eta: float = 3) -> Space:
    return parse_space(
        name,
        {
            "method": "random",
            "early_terminate": {"type": "hyperband", "min_iter": min_iter, "eta": eta},
            "parameters": {"model": {"value": "wgan_gp"}},
        },
    )


def plan(scheduler: str = "asha", *names: str) -> StudyPlan:
    spaces: dict[str, Any] = {name: {} for name in names or ("a",)}
    return study_plan(spaces=spaces, schedulers=scheduler, trials=10, kimg=9.0, eval_kimg=1.0)


def past(curve: list[float], updates: int = ENOUGH) -> list[Standing]:
    return [Standing(evaluation, rank, updates) for evaluation, rank in enumerate(curve)]


class Study:
    """Feeds a scheduler as Ray Tune does."""

    def __init__(self, scheduler: PerSpaceScheduler) -> None:
        self.scheduler = scheduler

    def add(self, name: str, space: str = "a", history: Any = (), origin: str = "sampler") -> Any:
        config = {"space": space, "history": list(history), "plan": {"origin": origin}}
        trial = SimpleNamespace(trial_id=name, config=config)
        self.scheduler.on_trial_add(None, trial)
        return trial

    def report(self, trial: Any, evaluation: int, objective: float, updates: int = ENOUGH) -> str:
        result = {"evaluation": evaluation, "rank": objective, "generator_updates": updates}
        return self.scheduler.on_trial_result(None, trial, result)

    def run(self, name: str, objectives: list[float], space: str = "a") -> list[str]:
        """Evaluation 0, 1, ... until it is stopped, or completes with the last one."""
        trial = self.add(name, space)
        decisions: list[str] = []
        for evaluation, objective in enumerate(objectives[:-1]):
            decisions.append(self.report(trial, evaluation, objective))
            if decisions[-1] == STOP:
                break
        else:
            result = {"evaluation": len(objectives) - 1, "rank": objectives[-1], "generator_updates": ENOUGH}
            self.scheduler.on_trial_complete(None, trial, result)
        return decisions


def study(*spaces: Space, scheduler: str = "asha", mode: str = "min", **changes: Any) -> Study:
    chosen = spaces or (space("a"),)
    plan_ = replace(plan(scheduler, *(s.name for s in chosen)), **changes)
    return Study(PerSpaceScheduler(plan_, chosen, mode))


GOOD, BAD = [1.0, *[0.1] * 9], [1.0, *[0.9] * 9]


def test_the_command_offers_what_there_is() -> None:
    assert set(OFFERED) == set(SCHEDULERS)


def test_asha_stops_the_worse_at_the_first_rung() -> None:
    s = study()
    assert s.run("0", GOOD) == [CONTINUE] * 9
    assert s.run("1", BAD) == [CONTINUE, STOP]
    assert s.run("2", GOOD) == [CONTINUE] * 9


def test_the_first_trial_has_nobody_to_lose_to() -> None:
    assert study().run("0", BAD) == [CONTINUE] * 9


def test_asha_begins_at_the_first_evaluation_where_the_space_says_nothing() -> None:
    silent = parse_space("a", {"method": "random", "parameters": {"model": {"value": "wgan_gp"}}})
    s = study(silent)
    s.run("0", GOOD)
    assert s.run("1", BAD) == [CONTINUE, STOP]


def test_asha_waits_for_the_spaces_first_evaluation() -> None:
    s = study(space("a", min_iter=3))
    s.run("0", GOOD)
    assert s.run("1", BAD) == [CONTINUE] * 3 + [STOP]


def test_asha_stops_the_worse_of_trials_at_the_ceiling() -> None:
    """Their objectives tie, and a tie with the cutoff goes on: `rank` tells them apart."""
    at_ceiling = [[1.0, *[1.0 + 1e-9 * beyond] * 9] for beyond in (0.1, 0.5, 0.6, 0.7)]
    s = study()
    assert s.run("0", at_ceiling[0]) == [CONTINUE] * 9
    assert [s.run(str(k), curve)[-1] for k, curve in enumerate(at_ceiling[1:], 1)] == [STOP] * 3


def test_a_trial_of_few_updates_passes_its_rungs_and_does_not_count_in_them() -> None:
    # Rungs at evaluations 1 and 3; the plan's least number of generator updates is reached at the second.
    s = study(min_updates=100)
    hasty = s.add("hasty")
    assert [s.report(hasty, evaluation, 0.5, 40 * evaluation) for evaluation in range(9)] == [CONTINUE] * 9
    s.run("0", [1.0, 0.6, 0.6, 0.6, *[0.6] * 6])  # alone at the first rung, worse than hasty at the second
    assert s.run("1", [1.0, 0.7, *[0.7] * 8]) == [CONTINUE, STOP]
    large = s.add("large")
    assert [s.report(large, evaluation, 0.9, 20 * evaluation) for evaluation in range(9)] == [CONTINUE] * 9
    late = s.add("late")
    decisions = [s.report(late, evaluation, 0.9, 50 * evaluation) for evaluation in range(4)]
    assert decisions == [CONTINUE, CONTINUE, CONTINUE, STOP]


def test_between_two_rungs_nobody_is_judged() -> None:
    """Not even who passed the first for want of updates: at evaluation 2 he would beat all at 1."""
    s = study(min_updates=100)
    s.run("0", [1.0, 0.5, 0.4, 0.3, *[0.3] * 6])
    late = s.add("late")
    assert [s.report(late, evaluation, 0.9, 60 * evaluation) for evaluation in range(3)] == [CONTINUE] * 3
    assert s.report(late, 3, 0.9, 180) == STOP


def test_the_rungs_are_those_of_rays_asha() -> None:
    for min_iter, eta, last in [
        (1, 3, 9),
        (1, 3, 10),
        (2, 2, 9),
        (1, 2.5, 30),
        (4, 3, 3),
        (1, 3, 1),
        (1, 3, 28),
    ]:
        scheduler = SCHEDULERS["asha"](space("a", min_iter, eta), last, "min")
        milestones = [rung for rung, _ in scheduler._brackets[0]._rungs]
        expected = sorted({math.ceil(rung) for rung in milestones if math.ceil(rung) < last})
        assert space("a", min_iter, eta).rungs(last) == expected


def test_the_papers_default_is_never_stopped_and_counts() -> None:
    s = study()
    s.run("0", GOOD)
    default = s.add("default", origin="default")
    assert [s.report(default, evaluation, BAD[evaluation]) for evaluation in range(9)] == [CONTINUE] * 9
    # The first rung has 0.1 and 0.9, so its cutoff lies at a third of the way: 0.5 is stopped, 0.3 is not.
    assert s.run("1", [1.0, 0.5, *[0.5] * 8]) == [CONTINUE, STOP]
    assert s.run("2", [1.0, 0.2, *[0.2] * 8])[:2] == [CONTINUE, CONTINUE]


def test_rungs_are_powers_of_eta_apart() -> None:
    # Better than the cutoff at evaluation 2, worse at the next rung: 2 * 2 = 4.
    s = study(space("a", min_iter=2, eta=2))
    s.run("0", GOOD)
    assert s.run("1", [1.0, 0.5, 0.05, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5]) == [CONTINUE] * 4 + [STOP]


def test_a_first_evaluation_beyond_the_budget_is_its_end() -> None:
    s = study(space("a", min_iter=50))
    s.run("0", GOOD)
    assert s.run("1", BAD) == [CONTINUE] * 9


def test_where_higher_is_better_the_lower_is_stopped() -> None:
    s = study(mode="max")
    s.run("0", [0.0, *[0.9] * 9])
    assert s.run("1", [0.0, *[0.1] * 9]) == [CONTINUE, STOP]


@pytest.mark.parametrize(
    ("kimg", "eval_kimg", "last"),
    [(9.0, 1.0, 9), (9.0, 2.0, 5), (1.0, 1.0, 1), (0.3, 0.1, 3), (45.0, 45.0 / 9, 9), (7.0, 7.0 / 9, 9)],
)
def test_the_last_evaluation_is_where_the_budget_ends(kimg: float, eval_kimg: float, last: int) -> None:
    # ASHA stops every trial at its max_t: one too few would cut the budget short.
    s = study(space("a", min_iter=1), kimg=kimg, eval_kimg=eval_kimg)
    trial = s.add("0")
    assert [s.report(trial, e, 0.5) for e in range(last + 1)] == [CONTINUE] * last + [STOP]


def test_fifo_stops_nobody() -> None:
    s = study(scheduler="fifo")
    s.run("0", GOOD)
    assert s.run("1", BAD) == [CONTINUE] * 9


def test_spaces_do_not_compete() -> None:
    s = study(space("a"), space("b"))
    s.run("a-0", GOOD, "a")
    assert s.run("b-0", BAD, "b") == [CONTINUE] * 9
    assert s.run("b-1", [1.0, *[0.95] * 9], "b") == [CONTINUE, STOP]


def test_spaces_may_have_different_schedulers() -> None:
    spaces = (space("a"), space("b"))
    both = replace(plan("asha", "a", "b"), schedulers={"a": "asha", "b": "fifo"})
    s = Study(PerSpaceScheduler(both, spaces, "min"))
    for name in ("a", "b"):
        s.run(f"{name}-0", GOOD, name)
    assert s.run("a-1", BAD, "a") == [CONTINUE, STOP]
    assert s.run("b-1", BAD, "b") == [CONTINUE] * 9


def test_a_trial_with_an_error_leaves_the_others_alone() -> None:
    s = study()
    trial = s.add("0")
    s.report(trial, 0, 1.0)
    s.scheduler.on_trial_error(None, trial)
    assert s.run("1", BAD) == [CONTINUE] * 9


# Resuming


def test_a_past_trial_counts_in_its_rungs() -> None:
    s = study()
    s.scheduler.replay("a", "0", past(GOOD))
    assert s.run("1", BAD) == [CONTINUE, STOP]


def test_a_past_trial_counts_in_its_own_space_only() -> None:
    s = study(space("a"), space("b"))
    s.scheduler.replay("a", "a-0", past(GOOD))
    assert s.run("b-0", BAD, "b") == [CONTINUE] * 9


def test_a_past_without_evaluations_counts_for_nothing() -> None:
    s = study()
    s.scheduler.replay("a", "0", [])
    assert s.run("1", BAD) == [CONTINUE] * 9


@pytest.mark.parametrize("scheduler", OFFERED)
def test_every_scheduler_takes_a_past(scheduler: str) -> None:
    study(scheduler=scheduler).scheduler.replay("a", "0", past(GOOD))


def test_a_continued_trial_is_judged_by_its_earlier_evaluations_once() -> None:
    # It passed its first rung before the interruption; repeating it must not lower the cutoff for others.
    s = study()
    s.scheduler.replay("a", "0", past(GOOD))
    continued = s.add("1", history=past([1.0, 0.05, 0.05]))
    assert s.report(continued, 3, 0.05) == CONTINUE
    assert s.run("2", BAD) == [CONTINUE, STOP]


def test_a_verdict_that_a_kill_kept_from_being_carried_out_stands() -> None:
    s = study()
    s.scheduler.replay("a", "0", past(GOOD))
    condemned = s.add("1", history=past([1.0, 0.9]))
    assert s.report(condemned, 2, 0.01) == STOP
    spared = s.add("2", history=past([1.0, 0.05]))
    assert s.report(spared, 2, 0.9) == CONTINUE


def test_a_trial_that_begins_again_is_not_stopped_before_it_was() -> None:
    s = study()
    s.scheduler.replay("a", "0", past(GOOD))
    again = s.add("1", history=past([1.0, 0.9]))
    assert s.report(again, 0, 1.0) == CONTINUE
    assert s.report(again, 1, 0.9) == STOP
    to_the_end = s.add("2", history=past(GOOD))
    assert [s.report(to_the_end, *at) for at in list(enumerate(GOOD))[:-1]] == [CONTINUE] * (len(GOOD) - 1)


@pytest.mark.parametrize("seed", range(5))
def test_decisions_after_a_resume_are_those_without_one(seed: int) -> None:
    rng = random.Random(seed)
    curves = [[1.0, *(rng.random() for _ in range(9))] for _ in range(24)]
    uninterrupted = study()
    expected = [uninterrupted.run(str(k), curve) for k, curve in enumerate(curves)]
    resumed = study()
    for k, (curve, decisions) in enumerate(zip(curves[:12], expected, strict=False)):
        seen = len(decisions) if decisions[-1] == STOP else len(curve)
        resumed.scheduler.replay("a", str(k), past(curve[:seen]))
    found = [resumed.run(str(k), curve) for k, curve in enumerate(curves[12:], 12)]
    assert found == expected[12:]
    assert sum(decisions[-1] == STOP for decisions in expected) > 8  # else nothing was compared
