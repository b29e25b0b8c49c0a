"""What a study says before its first trial."""

from typing import Any

import pytest

from study.reporting.console import Console
from tests.studies import study_plan

FACTS: dict[str, Any] = {"classifier_accuracy": None, "components": None}


def said(capsys: pytest.CaptureFixture[str], facts: dict[str, Any], done: int = 0, **plan: Any) -> str:
    console = Console(study_plan(**plan))
    console.already(done, None)
    console.facts({**FACTS, **facts})
    return capsys.readouterr().out


def test_the_cost_is_that_of_all_trials_to_the_end(capsys: pytest.CaptureFixture[str]) -> None:
    # Two spaces: 4 and 6 trials of 30 kimg and 11 evaluations, two at a time.
    spaces: dict[str, Any] = {"a": {}, "b": {}}
    plan: dict[str, Any] = {
        "spaces": spaces,
        "samplers": dict.fromkeys(spaces, "tpe"),
        "schedulers": dict.fromkeys(spaces, "fifo"),
        "trials": {"a": 4, "b": 6},
        "kimg": 30.0,
        "eval_kimg": 3.0,
        "concurrency": 2,
    }
    measured = {
        "a": {"per_kimg": 1.0, "per_evaluation": 2.0},
        "b": {"per_kimg": 10.0, "per_evaluation": 0.0},
    }
    facts = {"measured_seconds": measured}
    # (4 (30 + 22) + 6 x 300) / 2 = 1004 s; five of ten trials are left: 502 s
    assert "about 16:44 if no trial is stopped early" in said(capsys, facts, **plan)
    assert "about 8:22" in said(capsys, facts, done=5, **plan)
    # At 1,000 kimg: (4 (1000 + 2 x 335) + 6 x 10,000) / 2 = 33,340 s; an hour is left for 70 of 1,000 kimg.
    assert "a study of one hour: --kimg" not in said(capsys, facts, **plan)
    hour = said(capsys, facts, **{**plan, "kimg": 1000.0, "eval_kimg": 100.0})
    # (3600 - 4 x 22 / 2) / ((4 + 60) x 1000 / 2) of 1,000 kimg = 111
    assert "a study of one hour: --kimg 1.1e+02" in hour


def test_a_poor_classifier_is_warned_of_and_a_good_one_is_not(capsys: pytest.CaptureFixture[str]) -> None:
    measured = {"measured_seconds": {"a": {"per_kimg": 1.0, "per_evaluation": 1.0}}}
    poor = said(capsys, {**measured, "classifier_accuracy": 0.71})
    assert "classifier: 71.0% right" in poor
    assert "warning: the classifier behind fd and modes is right on only 71%" in poor
    assert "warning" not in said(capsys, {**measured, "classifier_accuracy": 0.9})


def test_components_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    measured = {"measured_seconds": {"a": {"per_kimg": 1.0, "per_evaluation": 1.0}}}
    told = said(capsys, {**measured, "components": {"number": 9, "explained": 0.714}})
    assert "fd_pca compares images in 9 principal components of their pixels (71% of the variance)" in told
