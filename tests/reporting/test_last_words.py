"""What a study says at its end, of studies written by hand."""

from typing import Any

import pytest

from study.metrics.failure import wilson_interval
from study.metrics.stability import student_interval
from study.plan import StudyPlan
from study.records.study_folder import StudyFolder
from study.records.tables import Results
from study.reporting.last_words import range_of_metric, what_came_of
from tests.records.written import Add, ended, rows
from tests.studies import study_plan

PLAN = study_plan(kimg=2.0, eval_kimg=1.0, samplers="tpe")


def said(study: StudyFolder, plan: StudyPlan = PLAN) -> dict[str, str]:
    """The lines by what they tell of."""
    results = Results(study)
    results.add_all(include_unfinished=True)
    tables = results.table("trials"), results.table("runs")
    names = ("states", "best", "failures", "proposals", "cost", "purpose")
    return dict(zip(names, what_came_of(plan, results, tables, "a"), strict=False))


def two(add: Add, default: Any, best: Any, **changes: Any) -> None:
    add("a-00000", rows(*default[0]), ended(*default[1:]), origin="default", **changes)
    add("a-00001", rows(*best[0]), ended(*best[1:]), origin="sampler", **changes)


def test_the_best_is_compared_with_the_default_seed_by_seed(add: Add, study: StudyFolder) -> None:
    two(
        add,
        ([[1.0, 0.9, 0.8], [1.0, 0.9, 0.9]], "completed", 0.85),
        ([[1.0, 0.5, 0.4], [1.0, 0.5, 0.3]], "completed", 0.35),
    )
    low, high = student_interval([0.8 - 0.4, 0.9 - 0.3]) or (0.0, 0.0)
    assert said(study)["best"] == (
        f"  best 0.35, default 0.85: 0.5 better (95% interval {low:.3g} to {high:.3g}, 2 seeds in pairs)\n"
        "  both are search scores, unconfirmed; the interval leaves out that the best was chosen"
    )


def test_a_default_that_was_stopped_early_is_compared_at_its_own_kimg(add: Add, study: StudyFolder) -> None:
    two(
        add,
        ([[1.0, 0.9], [1.0, 0.9]], "pruned", 0.9),
        ([[1.0, 0.5, 0.4], [1.0, 0.6, 0.3]], "completed", 0.35),
    )
    assert (
        "best 0.55, default 0.9 at kimg 1, where the default was stopped: 0.35 better" in said(study)["best"]
    )


def test_a_default_that_diverged_has_its_price_for_good(add: Add, study: StudyFolder) -> None:
    two(
        add,
        ([[1.0, None], [1.0, None]], "diverged", 1.0),
        ([[1.0, 0.9, 0.4], [1.0, 0.9, 0.3]], "completed", 0.35),
    )
    assert "best 0.35, default 1 (diverged): 0.65 better" in said(study)["best"]


@pytest.mark.parametrize(("state", "word"), [("failed", "lost to a fault"), (None, "interrupted")])
def test_a_default_that_did_not_end_is_compared_as_far_as_it_came(
    state: str | None, word: str, add: Add, study: StudyFolder
) -> None:
    add("a-00000", rows([1.0, 0.9], [1.0, 0.9]), ended(state, None) if state else None, origin="default")
    add("a-00001", rows([1.0, 0.5, 0.4], [1.0, 0.6, 0.3]), ended("completed", 0.35), origin="sampler")
    assert f"best 0.55, default 0.9 at kimg 1, where the default was {word}: 0.35" in said(study)["best"]


def test_the_seeds_are_aggregated_as_the_objective_is(add: Add, study: StudyFolder) -> None:
    two(
        add,
        ([[1.0, 0.5, 0.3], [1.0, 0.5, 0.3], [1.0, 0.5, 0.3]], "completed", 0.3),
        ([[1.0, 0.5, 0.1], [1.0, 0.5, 0.1], [1.0, 0.5, 0.9]], "completed", 0.1),
        aggregate="median",
        seeds=(0, 1, 2),
    )
    told = said(study, study_plan(kimg=2.0, eval_kimg=1.0, aggregate="median"))["best"]
    assert "best 0.1, default 0.3: 0.2 better (no interval, 3 seeds in pairs)" in told


def test_where_higher_is_better_the_gain_has_the_other_sign(add: Add, study: StudyFolder) -> None:
    history = {"hq": 0.5}
    for number, score in enumerate((0.5, 0.75)):
        curve = rows([1.0, 1.0], [1.0, 1.0], **history)
        for row in curve:
            row["score"] = score
        origin = "sampler" if number else "default"
        add(f"a-{number:05d}", curve, ended("completed", score), metric="hq", kimg=1.0, origin=origin)
    told = said(study, study_plan(kimg=1.0, eval_kimg=1.0, metric="hq"))["best"]
    assert "best 0.75, default 0.5: 0.25 better" in told


def test_a_default_that_is_not_beaten_or_not_there_is_said(add: Add, study: StudyFolder) -> None:
    add("a-00001", rows([1.0, 0.5, 0.4], [1.0, 0.5, 0.3]), ended("completed", 0.35), origin="sampler")
    assert "no trial has the paper's default" in said(study)["best"]
    add("a-00000", rows([1.0, 0.5, 0.2], [1.0, 0.5, 0.2]), ended("completed", 0.2), origin="default")
    assert "no trial is better than the paper's default" in said(study)["best"]


def test_failures_are_counted_with_their_censoring(add: Add, study: StudyFolder) -> None:
    add("a-00000", rows([1.0, 0.5, 0.4], [1.0, 0.5, 0.3]), ended("completed"))
    add("a-00001", rows([1.0, 0.9], [1.0, 0.9]), ended("pruned", 0.9))
    low, high = (f"{end:.0%}" for end in wilson_interval(0, 1))  # one configuration was seen to the end
    assert said(study)["failures"] == (
        "  4 seeds: 0 diverged, 2 stopped early, 2 survived\n  0% diverge within 2 kimg "
        f"(95% interval {low} to {high}, Wilson; 1 of 2 configurations seen to the end)"
    )
    add("a-00002", rows([1.0, 0.5, 0.4], [1.0, 0.5, None]), ended("completed"))
    # 4 at risk at kimg 1.5: one diverges, so three quarters go on.
    assert "1 diverged, 2 stopped early, 3 survived\n  25% diverge within 2 kimg" in said(study)["failures"]
    assert "Kaplan-Meier; 2 of 3 configurations seen to the end" in said(study)["failures"]


def test_where_all_were_stopped_early_nothing_is_claimed(add: Add, study: StudyFolder) -> None:
    add("a-00000", rows([1.0, 0.9], [1.0, 0.9]), ended("pruned", 0.9))
    assert "nobody was seen to last 2 kimg" in said(study)["best"]  # there is no best: the line moves up


def test_who_proposed_and_what_it_cost(add: Add, study: StudyFolder) -> None:
    for number, origin in enumerate(("default", "startup", "startup", "sampler")):
        add(f"a-{number:05d}", rows([1.0, 0.5, 0.4], [1.0, 0.5, 0.3]), ended("completed"), origin=origin)
    told = said(study)
    assert told["proposals"] == "  proposed: 1 default, 2 at random (start-up), 1 by tpe"
    # Each trial: 6 s of training, and 0.25 s for each of three evaluations.
    assert told["cost"] == "  cost: 24 s of training, 3 s of evaluation (12% of it)"


def test_the_last_word_is_what_the_study_can_say(add: Add, study: StudyFolder) -> None:
    add("a-00000", rows([1.0, 0.5, 0.4], [1.0, 0.5, 0.3]), ended("completed"))
    assert said(study)["purpose"].startswith("  made to find its best")
    assert said(study, study_plan(kimg=2.0, eval_kimg=1.0))["purpose"].startswith("  made to map it")


def test_the_range_of_the_metric_is_from_real_data_to_untrained_generators(
    add: Add, study: StudyFolder
) -> None:
    add("a-00000", rows([6.0, 0.5], [3.0, 0.5]), ended("completed"))
    results = Results(study)
    results.add_all(include_unfinished=True)
    told = range_of_metric(PLAN, results, "a-00000")
    assert told == "w1: real data 0 (standard deviation 0.01), untrained generator 4.5"


@pytest.mark.parametrize("state", [None, "failed"])
def test_a_space_whose_trials_never_began_is_told(state: str | None, add: Add, study: StudyFolder) -> None:
    add("a-00000", [], ended(state, None) if state else None)
    assert said(study)["states"] == f"a: 1 {state or 'interrupted'}"
