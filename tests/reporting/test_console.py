"""What a study says before its first trial, and while it runs outside a terminal."""

from typing import Any

import pytest

from study.records.trial_folder import Ending
from study.reporting import console as console_module
from study.reporting.console import Console
from tests.studies import Clock, study_plan

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
    # (4 (30 + 22) + 6 x 300) / 2 = 1004 s; five of ten trials are left: 6 / 10 of it
    assert "about 16:44 of training and evaluation, if no trial" in said(capsys, facts, **plan)
    assert "about 10:02" in said(capsys, facts, done=5, **plan)  # three rounds of two
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


def test_the_numbers_that_fd_compares_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    fd = {"images": 1000, "dimension": 38, "features": 64}
    measured = {"measured_seconds": {"a": {"per_kimg": 1.0, "per_evaluation": 1.0}}, "fd": fd}
    assert "fd compares 1,000 with 1,000 images, in the 38 of 64 features that vary" in said(capsys, measured)
    told = said(capsys, {**measured, "components": {"number": 64, "explained": 0.7}})
    assert "fd_pca compares 1,000 with 1,000 images" in told


def test_outside_a_terminal_a_line_a_trials_end_and_one_a_minute(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()
    monkeypatch.setattr(console_module.time, "monotonic", clock)
    with Console(study_plan(kimg=9.0, eval_kimg=1.0, metric="w1")) as console:
        console.started("a-00000")
        for second in range(125):
            clock.now = float(second)
            console.evaluated("a-00000", 1.0 + second // 60, 5.0 - second // 60)
        console.ended("a-00000", Ending(state="completed", ended_by="budget", kimg=9.0, objective=2.0))
        console.evaluated("a-00001", 1.0, 7.0)
        clock.now = 200.0
        console.evaluated("a-00001", 2.0, 8.0)
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(" |")[0] for line in lines] == [
        "trials 0/3 ended, 1 running",
        "trials 0/3 ended, 1 running",
        "a-00000  completed (budget) at kimg 9  objective 2",
        "trials 1/3 ended, 1 running",
    ]
    assert "best 4 at kimg 2 (a-00000, not ended yet)" in lines[0]
    assert "best 2 at kimg 9 (a-00000, ended)" in lines[3]
