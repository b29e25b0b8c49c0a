"""The spaces in search_spaces/: valid W&B sweeps, every key a field, every corner a configuration."""

import re
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import yaml

from study.config import TrialConfig
from study.models import MODELS, hyperparameters
from study.space import Choice, Range, Space, read_space

FOLDER = Path(__file__).parents[1] / "search_spaces"
FILES = sorted(FOLDER.glob("*.yaml"))

# Keys of W&B's sweep schema (sweeps/config/schema.json, version 0.2.0): each object is closed.
SWEEP = {
    *("apiVersion", "kind", "controller", "description", "program", "job", "image_uri", "entity"),
    *("project", "method", "command", "name", "run_cap", "metric", "metrics", "scheduler"),
    *("early_terminate", "parameters"),
}
METRIC = {"name", "goal", "target", "impute", "impute_while_running"}
HYPERBAND = {"type", "min_iter", "max_iter", "s", "eta", "strict"}
PARAMETER = {  # by distribution, of those that are used
    "log_uniform_values": {"distribution", "min", "max"},
    "uniform": {"distribution", "min", "max"},
}
# The ranges of Lucic et al. 2018, "wide"; learning rates from 5e-5 on, and beta1 must stay below 1.
RANGES: dict[str, Choice | Range] = {
    "lr_g": Range(5e-5, 1e-2, log=True),
    "lr_d": Range(5e-5, 1e-2, log=True),
    "beta1": Range(0.0, 0.999),
    "n_critic": Choice((1, 5)),
    "clip_value": Range(1e-3, 1.0, log=True),
    "lambda_gp": Range(0.1, 100.0, log=True),
}
COMMON = {"lr_g", "lr_d", "beta1", "beta2", "n_critic", "batch_size"}
SEARCHED = {"dcgan": COMMON, "wgan_cp": COMMON | {"clip_value"}, "wgan_gp": COMMON | {"lambda_gp"}}


@pytest.fixture(params=FILES, ids=lambda path: path.stem)
def path(request: pytest.FixtureRequest) -> Path:
    return request.param


@pytest.fixture
def space(path: Path) -> Space:
    return read_space(path)


@pytest.fixture
def document(path: Path) -> dict[str, Any]:
    return yaml.safe_load(path.read_text())


@pytest.mark.parametrize("dataset", ["digits", "ring8"])
def test_the_papers_default_lies_in_its_space(space: Space, dataset: str) -> None:
    default, outside = space.default(dataset)
    assert outside == ""
    config = TrialConfig.from_dict({**space.constants, **default, "dataset": dataset})
    assert config == TrialConfig(model=space.constants["model"], dataset=dataset)


def test_there_is_a_space_for_every_model() -> None:
    assert {path.stem for path in FILES} == set(MODELS)


def test_a_spaces_name_is_its_model(space: Space) -> None:
    assert space.constants["model"] == space.name


def test_every_parameter_is_a_hyperparameter(document: dict[str, Any]) -> None:
    assert set(document["parameters"]) <= {"model", *hyperparameters()}


def test_a_space_searches_what_belongs_to_its_model(space: Space) -> None:
    assert set(space.searched) == SEARCHED[space.name]


def test_the_ranges_are_those_of_the_design(space: Space) -> None:
    assert {n: d for n, d in space.searched.items() if n in RANGES} == {
        n: d for n, d in RANGES.items() if n in SEARCHED[space.name]
    }


@pytest.mark.parametrize("dataset", ["digits", "ring8"])
def test_every_corner_is_a_configuration(space: Space, dataset: str) -> None:
    ends = [searched.ends for searched in space.searched.values()]
    corners = list(product(*ends))
    assert len(corners) >= 2 ** len(ends)
    for corner in corners:
        chosen = dict(zip(space.searched, corner, strict=True))
        config = TrialConfig.from_dict({**space.constants, **chosen, "dataset": dataset})
        assert {name: getattr(config, name) for name in chosen} == chosen


def test_the_papers_defaults_lie_within_the_ranges(space: Space) -> None:
    config = TrialConfig.from_dict(space.constants)
    for name, searched in space.searched.items():
        value = getattr(config, name)
        if isinstance(searched, Choice):
            assert value in searched.values, name
        else:
            assert searched.low <= value <= searched.high, name


def test_every_range_has_its_reason(path: Path, space: Space) -> None:
    lines = path.read_text().splitlines()
    for name in space.searched:
        (at,) = (i for i, line in enumerate(lines) if line.startswith(f"  {name}:"))
        before = [line for line in lines[:at] if not re.match(r"  lr_", line)][-1]  # lr_g, lr_d share one
        assert before.startswith("  # "), name


def test_the_file_is_a_wandb_sweep(document: dict[str, Any]) -> None:
    assert set(document) <= SWEEP
    assert document["method"] in {"bayes", "random", "grid"}
    assert set(document["metric"]) <= METRIC
    assert document["metric"]["goal"] in {"minimize", "maximize"}
    assert document["early_terminate"]["type"] == "hyperband"
    assert set(document["early_terminate"]) <= HYPERBAND
    assert isinstance(document["early_terminate"]["min_iter"], int)
    assert isinstance(document["run_cap"], int)
    assert all(isinstance(part, str) for part in document["command"])
    for name, spec in document["parameters"].items():
        assert re.fullmatch(r"[A-Za-z_][A-Za-z0-9_.-]*", name)
        if set(spec) == {"value"} or (set(spec) == {"values"} and len(spec["values"]) >= 1):
            continue
        assert set(spec) == PARAMETER[spec["distribution"]]
        assert all(isinstance(spec[end], float) for end in ("min", "max"))


def test_the_agent_starts_study_train(document: dict[str, Any]) -> None:
    assert (FOLDER.parent / document["program"]).samefile(FOLDER.parent / "study" / "train.py")
    # As a module: started as a file, study/ itself would be the first place Python looks for imports.
    assert document["command"] == ["${env}", "${interpreter}", "-m", "study.train", "${args}"]
