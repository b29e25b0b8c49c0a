"""What a study says at its end, of studies written by hand."""

import re

import pytest

from study.metrics.failure import wilson_interval
from study.plan import StudyPlan
from study.records.study_folder import StudyFolder
from study.records.tables import Results
from study.reporting.last_words import range_of_metric, what_came_of
from tests.records.written import Add, ended, rows
from tests.studies import study_plan

PLAN = study_plan(kimg=2.0, eval_kimg=1.0, samplers="tpe")


def said(study: StudyFolder, plan: StudyPlan = PLAN, tuned: str = "No best.") -> dict[str, str]:
    """The lines by what they tell of."""
    results = Results(study)
    results.add_all(include_unfinished=True)
    tables = results.table("trials"), results.table("runs")
    names = ("states", "tuned", "failures", "proposals", "cost", "purpose")
    return dict(zip(names, what_came_of(plan, tables, "a", tuned), strict=False))


def test_what_tuning_brought_is_said_in_lines_of_a_terminal(add: Add, study: StudyFolder) -> None:
    add("a-00000", rows([1.0, 0.5, 0.4], [1.0, 0.5, 0.3]), ended("completed"))
    told = said(study, tuned="The best " + "of many trials " * 20)["tuned"].splitlines()
    assert told[0].startswith("  The best of many")
    assert all(re.match(r" {4}\w", line) for line in told[1:])
    assert max(map(len, told)) <= 118
    assert len(told) == 3


def test_failures_are_counted_with_their_censoring(add: Add, study: StudyFolder) -> None:
    add("a-00000", rows([1.0, 0.5, 0.4], [1.0, 0.5, 0.3]), ended("completed"))
    add("a-00001", rows([1.0, 0.9], [1.0, 0.9]), ended("pruned", 0.9))
    low, high = (f"{end:.0%}" for end in wilson_interval(0, 1))  # one configuration was seen to the end
    assert said(study)["failures"] == (
        "  4 seeds: 0 diverged, 2 stopped early, 2 survived\n  0% of seeds diverge within 2 kimg "
        f"(95% interval {low} to {high}, Wilson, n = 1 of 2 configurations seen to the end)"
    )
    add("a-00002", rows([1.0, 0.5, 0.4], [1.0, 0.5, None]), ended("completed"))
    # 4 at risk at kimg 1.5: one diverges, so three quarters go on.
    assert (
        "1 diverged, 2 stopped early, 3 survived\n  25% of seeds diverge within 2 kimg"
        in said(study)["failures"]
    )
    assert "Kaplan-Meier, n = 2 of 3 configurations seen to the end" in said(study)["failures"]


def test_where_all_were_stopped_early_nothing_is_claimed(add: Add, study: StudyFolder) -> None:
    add("a-00000", rows([1.0, 0.9], [1.0, 0.9]), ended("pruned", 0.9))
    assert "no seed was seen to last 2 kimg" in said(study)["failures"]


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
