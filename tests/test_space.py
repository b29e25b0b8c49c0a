"""W&B sweep files read as choices and ranges; what is refused is in test_space_errors.py."""

import math
from pathlib import Path
from typing import Any

import pytest

from study.space import INEXPRESSIBLE, Choice, Range, SpaceError, find_space, parse_space

Spec = dict[str, Any]

# The distributions of W&B's sweep schema (sweeps/config/schema.json, version 0.2.0).
WANDB_DISTRIBUTIONS = {
    *("constant", "categorical", "categorical_w_probabilities", "int_uniform", "uniform"),
    *("log_uniform", "log_uniform_values", "inv_log_uniform", "inv_log_uniform_values"),
    *("q_uniform", "q_log_uniform", "q_log_uniform_values"),
    *("normal", "log_normal", "q_normal", "q_log_normal", "beta", "q_beta"),
}
LOW, HIGH = math.log(1e-5), math.log(1e-2)


def document(**parameters: Any) -> dict[str, Any]:
    return {"method": "random", "parameters": {"model": {"value": "wgan_gp"}, **parameters}}


def spec(distribution: str, low: float, high: float, **more: float) -> Spec:
    return {"distribution": distribution, "min": low, "max": high, **more}


@pytest.mark.parametrize(
    ("name", "given", "expected"),
    [
        ("beta1", spec("uniform", 0, 0.9), Range(0.0, 0.9)),
        ("n_critic", spec("int_uniform", 1, 5), Range(1, 5, step=1, whole=True)),
        ("beta2", {"distribution": "categorical", "values": [0.9, 0.99]}, Choice((0.9, 0.99))),
        ("lr_g", spec("log_uniform_values", 1e-5, 1), Range(1e-5, 1.0, log=True)),
        ("lr_g", spec("inv_log_uniform_values", 1e-5, 1e-2), Range(1e-5, 1e-2, log=True)),
        ("batch_size", spec("q_uniform", 30, 130, q=32), Range(32, 128, step=32, whole=True)),
        ("n_critic", spec("q_uniform", 0.5, 5.5), Range(1, 5, step=1, whole=True)),
        ("beta1", spec("q_uniform", 0.1, 0.9, q=0.25), Range(0.25, 0.75, step=0.25)),
        ("width", spec("q_log_uniform_values", 8, 64), Range(8, 64, log=True, whole=True)),
        ("width", spec("q_log_uniform", math.log(8), math.log(64), q=1), Range(8, 64, log=True, whole=True)),
        # Inferred, as W&B does:
        ("n_critic", {"min": 1, "max": 5}, Range(1, 5, step=1, whole=True)),
        ("beta1", {"min": 0.0, "max": 0.9}, Range(0.0, 0.9)),
        ("beta1", {"min": 0, "max": 0.9}, Range(0.0, 0.9)),
        ("beta2", {"values": [0.9, 0.99]}, Choice((0.9, 0.99))),
    ],
)
def test_a_distribution_is_read(name: str, given: Spec, expected: Choice | Range) -> None:
    found = parse_space("s", document(**{name: given})).searched[name]
    assert found == expected
    assert [type(end) for end in found.ends] == [type(end) for end in expected.ends]


@pytest.mark.parametrize(
    "given",
    [
        spec("log_uniform", LOW, HIGH),  # W&B: X = exp(U) with U uniform on min..max
        spec("inv_log_uniform", -HIGH, -LOW),  # log(1/X) uniform on min..max: X from exp(-max) to exp(-min)
    ],
)
def test_exponents_are_natural(given: Spec) -> None:
    found = parse_space("s", document(lr_g=given)).searched["lr_g"]
    assert isinstance(found, Range)
    assert (found.log, found.step, found.whole) == (True, None, False)
    assert found.ends == pytest.approx((1e-5, 1e-2), rel=1e-12)


@pytest.mark.parametrize("given", [{"value": 0.5}, {"value": 0.5, "distribution": "constant"}])
def test_a_value_is_a_constant(given: Spec) -> None:
    space = parse_space("s", document(beta1=given))
    assert (space.constants, space.searched) == ({"model": "wgan_gp", "beta1": 0.5}, {})


def test_every_distribution_of_wandb_is_understood_or_refused_by_name() -> None:
    refused = set()
    for name in WANDB_DISTRIBUTIONS:  # each without what it needs, so that none is accepted
        with pytest.raises(SpaceError) as caught:
            parse_space("s", document(lr_g={"distribution": name}))
        assert "unknown distribution" not in str(caught.value)
        if f"Optuna has no counterpart of the distribution {name!r}" in str(caught.value):
            refused.add(name)
    assert refused == set(INEXPRESSIBLE) < WANDB_DISTRIBUTIONS


# The rest of a sweep


def test_the_sweeps_own_words_are_kept() -> None:
    more = {"method": "bayes", "run_cap": 12, "metric": {"name": "w1", "goal": "maximize"}}
    space = parse_space("s", {**document(), **more})
    assert (space.name, space.method, space.run_cap) == ("s", "bayes", 12)
    assert (space.metric, space.goal) == ("w1", "maximize")


def test_without_a_metric_the_objective_is_minimised() -> None:
    space = parse_space("s", document())
    assert (space.metric, space.goal) == ("objective", "minimize")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (None, (None, 3.0)),
        ({"type": "hyperband", "min_iter": 3}, (3, 3)),
        ({"type": "hyperband", "min_iter": 3, "eta": 2}, (3, 2)),
        # W&B's brackets run backwards: max_iter / eta, max_iter / eta^2, ... : the first is at 27 / 3^2.
        ({"type": "hyperband", "max_iter": 27, "s": 2}, (3, 3)),
        ({"type": "hyperband", "max_iter": 64, "s": 3, "eta": 4}, (1, 4)),
    ],
)
def test_where_halving_starts(given: Spec | None, expected: tuple[float | None, float]) -> None:
    space = parse_space("s", {**document(), "early_terminate": given})
    assert (space.min_evaluations, space.eta) == expected


# What a space can propose


@pytest.mark.parametrize(
    ("low", "high", "q"),
    [
        (0, 0.9, 0.1),
        (0.1, 0.3, 0.1),
        (0.1, 0.9, 0.1),
        (0.3, 0.9, 0.3),
        (0.05, 0.95, 0.15),
        (0.07, 0.49, 0.07),
    ],
)
def test_q_uniform_has_every_multiple_of_q_in_its_range(low: float, high: float, q: float) -> None:
    space = parse_space("s", document(beta1=spec("q_uniform", low, high, q=q)))
    expected = [i * q for i in range(1000) if low - 1e-9 <= i * q <= high + 1e-9]
    assert space.grid()["beta1"] == pytest.approx(expected, rel=1e-12, abs=1e-12)


def test_a_grid_lists_every_value() -> None:
    space = parse_space(
        "s",
        document(
            beta2={"values": [0.9, 0.99]},
            n_critic={"min": 1, "max": 3},
            batch_size=spec("q_uniform", 32, 96, q=32),
            beta1=spec("q_uniform", 0, 0.5, q=0.25),
        ),
    )
    assert space.grid() == {
        "beta2": [0.9, 0.99],
        "n_critic": [1, 2, 3],
        "batch_size": [32, 64, 96],
        "beta1": [0.0, 0.25, 0.5],
    }
    assert space.grid_size() == 54


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("beta1", spec("uniform", 0.1, 0.5)),
        ("beta1", spec("log_uniform_values", 0.1, 0.5)),
        ("width", spec("q_log_uniform_values", 8, 64)),
    ],
)
def test_a_grid_needs_lists(name: str, given: Spec) -> None:
    with pytest.raises(SpaceError, match=f"s: {name}: a grid needs a finite list"):
        parse_space("s", document(**{name: given})).grid_size()


@pytest.mark.parametrize(
    ("model", "models"),
    [({"value": "dcgan"}, ["dcgan"]), ({"values": ["wgan_cp", "dcgan"]}, ["wgan_cp", "dcgan"])],
)
def test_a_space_knows_its_models(model: Spec, models: list[str]) -> None:
    assert parse_space("s", document(model=model, lr_g={"values": [1e-4, 1e-3]})).models() == models


def test_the_largest_shape_of_a_space() -> None:
    largest = parse_space(
        "s",
        document(
            lr_g={"min": 1.0e-4, "max": 1.0e-2},
            lambda_gp={"value": 3.0},
            batch_size={"values": [64, 16, 128, 32]},
            width=spec("int_uniform", 8, 48),
            optimizer={"values": ["rmsprop", "adam"]},
            latent_dim={"value": 5},
        ),
    ).largest()
    assert largest.pop("optimizer") in ("rmsprop", "adam")
    assert largest == {"model": "wgan_gp", "batch_size": 128, "width": 48, "latent_dim": 5}


# Finding a space


def test_a_name_is_looked_up_here_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert find_space("wgan_gp").is_file()  # the project's own
    (tmp_path / "search_spaces").mkdir()
    own = tmp_path / "search_spaces" / "wgan_gp.yaml"
    own.touch()
    assert find_space("wgan_gp").resolve() == own


@pytest.mark.parametrize("name", ["mine.yaml", "mine.yml", "folder/mine"])
def test_a_path_is_taken_as_it_is(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    Path(name).touch()
    assert find_space(name) == Path(name)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("wgan_pg", "unknown search space 'wgan_pg'; did you mean wgan_gp"),
        ("zzz", "there are: dcgan, wgan_cp, wgan_gp"),
        ("absent.yaml", "there is no search space file absent.yaml"),
        ("folder/absent", "there is no search space file folder/absent"),
        ("/absent/space.yaml", "there is no search space file /absent/space.yaml"),
    ],
)
def test_what_is_not_there_is_refused(
    name: str, sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SpaceError, match=sentence):
        find_space(name)


# The paper's default


def default_of(**parameters: Any) -> tuple[dict[str, Any], str]:
    document = {"method": "random", "parameters": {"model": {"value": "wgan_gp"}, **parameters}}
    return parse_space("mine", document).default("digits")


def test_the_default_has_the_searched_hyperparameters_only() -> None:
    found = default_of(lr_g={"min": 1e-5, "max": 1e-2}, batch_size={"values": [32, 64]}, width={"value": 8})
    assert found == ({"lr_g": 1e-4, "batch_size": 64}, "")  # width is the data's to give: it may be fixed


@pytest.mark.parametrize(
    ("parameters", "outside"),
    [
        ({"lr_g": {"min": 1e-3, "max": 1e-2}}, "lr_g = 0.0001"),
        ({"n_critic": {"value": 1}, "lr_d": {"value": 1e-4}}, "n_critic = 5"),
        ({"batch_size": {"values": [32, 128]}, "beta2": {"values": [0.99]}}, "batch_size = 64, beta2 = 0.9"),
        ({"n_critic": {"distribution": "q_uniform", "min": 1, "max": 9, "q": 2}}, "n_critic = 5"),  # 2 4 6 8
        ({"n_critic": {"distribution": "q_uniform", "min": 1, "max": 9, "q": 5}}, ""),
        ({"optimizer": {"value": None}, "dataset": {"value": "ring8"}}, ""),
    ],
)
def test_what_of_the_default_is_not_in_a_space_is_named(parameters: Spec, outside: str) -> None:
    assert default_of(**parameters)[1] == outside


def test_of_several_models_the_default_is_that_of_one() -> None:
    model = {"values": ["dcgan", "wgan_gp"]}
    assert default_of(model=model, lr_g={"min": 1e-5, "max": 1e-2})[0]["model"] == "wgan_gp"
    assert default_of(model={"values": ["dcgan", "wgan_cp"]}, lr_g={"min": 1e-5, "max": 1e-2})[0] == {
        "model": "dcgan",
        "lr_g": 2e-4,
    }


# Values at places


def test_each_choice_has_an_equal_part_of_the_axis() -> None:
    known = Choice(("a", "b", "c", "d"))
    assert [known.at(place) for place in (0.0, 0.24, 0.25, 0.74, 0.999999)] == ["a", "a", "b", "c", "d"]


def test_a_range_has_its_value_at_each_place() -> None:
    assert [Range(2.0, 4.0).at(place) for place in (0.0, 0.25, 0.999999)] == pytest.approx(
        [2.0, 2.5, 4.0], abs=1e-5
    )
    assert Range(1e-4, 1e-2, log=True).at(0.5) == pytest.approx(1e-3)


@pytest.mark.parametrize(
    ("known", "values"),
    [
        (Range(1, 4, step=1, whole=True), [1, 2, 3, 4]),
        (Range(32.0, 128.0, step=32.0), [32.0, 64.0, 96.0, 128.0]),
        (Range(0.1, 0.4, step=0.1), [0.1, 0.2, 0.3, 0.4]),
    ],
)
def test_each_step_of_a_range_has_an_equal_part_and_is_a_value_of_the_grid(
    known: Range, values: list[float]
) -> None:
    found = [known.at((place + 0.5) / 400) for place in range(400)]
    assert found == [value for value in values for _ in range(100)]
    assert tuple(values) == known.values


def test_the_largest_and_the_middle_shape_leave_a_null_to_the_data() -> None:
    document = {
        "method": "random",
        "parameters": {"model": {"value": "dcgan"}, "latent_dim": {"values": [None, 64]}},
    }
    space = parse_space("nulls", document)
    assert (space.largest()["latent_dim"], space.middle()["latent_dim"]) == (64, 64)
