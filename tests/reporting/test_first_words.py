"""What a study says of its search before it begins."""

from typing import Any

from study.reporting.first_words import how_searched
from study.space import parse_space
from tests.studies import study_plan

HALVING = {"type": "hyperband", "min_iter": 1, "eta": 3}


def said(plan: dict[str, Any], **parameters: Any) -> str:
    document = {
        "method": "random",
        "early_terminate": HALVING,
        "parameters": {"model": {"value": "wgan_gp"}, **parameters},
    }
    given = {"spaces": {"a": document}, "schedulers": "asha", "kimg": 90.0, "eval_kimg": 10.0, **plan}
    return "\n".join(how_searched(study_plan(**given), parse_space("a", document)))


def test_the_rungs_are_told_in_kimg() -> None:
    told = said({"min_updates": 50}, batch_size={"values": [32, 256]})
    assert (
        "a: 3 trials by random, stopped early by asha at kimg 10, 30, but not before 50 generator updates"
        in told
    )
    assert "a: trial 0 has the paper's default" in told


def test_a_study_that_stops_nobody_says_so() -> None:
    assert "a: 3 trials by random, not stopped early" in said({"schedulers": "fifo"})
    # One evaluation only: there is no rung before the end.
    assert "stopped early by asha\n" in said({"eval_kimg": 90.0}, batch_size={"value": 32})


def test_a_default_outside_the_space_is_told() -> None:
    told = said({}, n_critic={"values": [1, 2]})
    assert "a: no trial has the paper's default, which is not in the space: n_critic = 5" in told


def test_a_configuration_that_cannot_be_judged_early_is_warned_of() -> None:
    # 90,000 points are 70 iterations of five critic updates with 256 points each.
    told = said({"min_updates": 100}, batch_size={"values": [32, 256]})
    shape = "batch_size 256 and n_critic 5"
    assert f"wgan_gp with {shape} is never judged early: 70 generator updates in all" in told
    assert "(--kimg 1.3e+02 would do, or" in told
    assert "warning" not in said({"min_updates": 70}, batch_size={"values": [32, 256]})
    assert "warning" not in said({"min_updates": 100, "schedulers": "fifo"}, batch_size={"value": 256})
