"""What a space searches reaches Optuna as it was written."""

import warnings

import optuna
import pytest
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from study.runner.distributions import distribution, distributions
from study.space import Choice, Range, parse_space


def document(**parameters: object) -> dict[str, object]:
    return {"method": "random", "parameters": {"model": {"value": "wgan_gp"}, **parameters}}


@pytest.mark.parametrize(
    ("searched", "expected"),
    [
        (Choice((None, 0.9, "x")), CategoricalDistribution([None, 0.9, "x"])),
        (Range(0.0, 0.9), FloatDistribution(0, 0.9)),
        (Range(1e-5, 1e-2, log=True), FloatDistribution(1e-5, 1e-2, log=True)),
        (Range(0.25, 0.75, step=0.25), FloatDistribution(0.25, 0.75, step=0.25)),
        (Range(1, 5, step=1, whole=True), IntDistribution(1, 5)),
        (Range(32, 128, step=32, whole=True), IntDistribution(32, 128, step=32)),
        (Range(8, 64, log=True, whole=True), IntDistribution(8, 64, log=True)),
    ],
)
def test_a_choice_or_range_has_its_distribution(searched: Choice | Range, expected: BaseDistribution) -> None:
    assert distribution(searched) == expected


def test_samplers_draw_in_the_spaces_order() -> None:
    names = ["n_critic", "lr_g", "lr_d"]
    space = parse_space("s", document(**{name: {"values": [1]} for name in names}))
    assert list(distributions(space)) == names


@pytest.mark.parametrize(("low", "high", "q"), [(0, 0.9, 0.1), (0.05, 0.95, 0.15), (0.07, 0.49, 0.07)])
def test_every_multiple_of_q_is_drawn(low: float, high: float, q: float) -> None:
    spec = {"distribution": "q_uniform", "min": low, "max": high, "q": q}
    space = parse_space("s", document(beta1=spec))
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # Optuna warns where the range is no whole number of steps
        drawn = {study.ask(distributions(space)).params["beta1"] for _ in range(200)}
    assert sorted(drawn) == pytest.approx(space.grid()["beta1"])
