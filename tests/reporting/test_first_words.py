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


def test_it_is_said_whether_the_study_maps_or_finds() -> None:
    assert "a: made to find its best" in said({})
    assert "a: made to find its best" in said({"schedulers": "fifo", "samplers": "tpe"})
    assert "a: made to map it" in said({"schedulers": "fifo", "samplers": "qmc"})


def test_a_default_outside_the_space_is_told() -> None:
    told = said({}, n_critic={"values": [1, 2]})
    assert "a: no trial has the paper's default, which is not in the space: n_critic = 5" in told


def test_configurations_that_cannot_be_judged_early_are_told() -> None:
    # At the last rung, kimg 30, 64 points and five critic updates make 93 iterations, 256 points 23.
    sizes = {"batch_size": {"values": [32, 64, 256]}, "n_critic": {"values": [1, 5]}}
    told = said({"min_updates": 70}, **sizes)
    assert "wgan_gp: never stopped early, for want of generator updates at kimg 30:" in told
    assert told.endswith("  n_critic x batch_size 5 x 256 (23)")  # and in all 70: no warning
    assert said({"min_updates": 94}, **sizes).count("5 x 64 (93), 5 x 256 (23)") == 1
    assert "never stopped early" not in said({"min_updates": 23}, **sizes)
    assert "never stopped early" not in said({"min_updates": 94, "schedulers": "fifo"}, **sizes)


def test_a_budget_of_too_few_updates_is_warned_of() -> None:
    told = said({"min_updates": 100}, batch_size={"values": [32, 256]})
    shape = "n_critic 5 and batch_size 256"
    assert f"warning: wgan_gp with {shape} makes 70 generator updates in all: that tells little" in told
    # 90 kimg * 100 / 70 updates are 128.57 kimg.
    assert told.endswith("(--kimg 129 would make 100)")


def test_a_space_that_fixes_its_dataset_is_told_of_too() -> None:
    told = said({"min_updates": 71}, dataset={"value": "ring8"}, batch_size={"value": 256})
    assert "wgan_gp with n_critic 5 and batch_size 256 makes 70 generator updates" in told
