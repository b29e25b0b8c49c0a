"""A declaration is enough: what a file outside the package declares is trained, judged and recorded."""

import ast
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pandas as pd
import pytest
import torch
from PIL import Image

import study
from study.config import TrialConfig
from study.data import DATASETS, Dataset, dataset_named, dataset_names, file_name, load
from study.errors import ConfigError, UserError
from study.metrics import METRICS, check_metric, default_metric, metric, metrics_for
from study.metrics.judge.evaluator import evaluator_for
from study.metrics.judge.floor import DRAWS
from study.models import MODELS, Hyperparameter, Model, hyperparameters
from study.records.schema import columns
from study.records.study_folder import StudyFolder
from study.records.tables import TABLES, Results
from study.records.trial_folder import TrialFolder
from study.registry import Registry
from study.space import parse_space
from study.trial.run import run
from tests import own
from tests.studies import trial_plan, untimed

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _declared() -> Iterator[None]:
    """The package's declarations and those of tests/own.py."""
    registries: tuple[Registry[Any], ...] = (MODELS, DATASETS, METRICS)
    for registry in registries:
        registry.collect(own)
    yield
    load.cache_clear()
    evaluator_for.cache_clear()


def plan(**changes: Any) -> Any:
    """A trial of the user's model on the user's data by the user's metric, with three seeds."""
    known = {"model": "hinge", "dataset": "cube", "margin": 0.7, "metric": "shift", "seeds": (0, 1, 2)}
    return trial_plan(**{**known, "kimg": 0.768, "eval_kimg": 0.256, **changes})


def rows_of(folder: TrialFolder) -> list[dict[str, Any]]:
    return untimed(folder.rows())


def test_a_trial_is_stopped_and_resumed_to_the_same_rows(tmp_path: Path) -> None:
    study = StudyFolder(tmp_path)
    whole, parted = (study.trial(f"space-{k:05d}") for k in range(2))
    assert [e.state for e in run(plan(), whole, CPU)] == ["running"] * 3 + ["completed"]
    for evaluation in run(plan(trial_id="space-00001"), parted, CPU):
        if evaluation.evaluation == 1:
            break
    assert len(parted.rows()) == 6
    assert [e.evaluation for e in run(parted.plan(), parted, CPU)] == [2, 3]
    assert rows_of(parted) == rows_of(whole)
    assert sorted(path.suffix for path in whole.samples.iterdir()) == [".npz"] * 4 + [".png"] * 4

    results = Results(study)
    results.add_all(include_unfinished=True)
    results.write()
    assert results.problems == []
    trials, runs, curves = (pd.read_parquet(tmp_path / f"{name}.parquet") for name in TABLES)
    assert trials["state"].tolist() == ["completed"] * 2
    assert trials["margin"].tolist() == runs["margin"].tolist()[::3] == [0.7, 0.7]
    assert trials["metric"].tolist() == ["shift"] * 2
    assert (trials["objective"] <= trials["shift"]).all()  # no seed scores worse than before training
    assert trials["critic_gap"].notna().all()  # at the last evaluation
    assert curves["critic_gap"].notna().tolist() == curves["evaluation"].isin([0, 3]).tolist()
    assert runs["unknown"].isna().all()
    assert runs["collapsed"].isna().all()  # the data has no modes
    assert not {"mode_coverage", "fd"} & {*trials}


def test_two_generator_updates_an_iteration_are_what_was_declared(tmp_path: Path) -> None:
    *_, last = run(plan(n_critic=3), TrialFolder(tmp_path / "t"), CPU)
    assert (last.rows[0]["critic_updates"], last.rows[0]["generator_updates"]) == (24, 12)


def test_members_have_their_own_margins(tmp_path: Path) -> None:
    first, second = ([*run(plan(margin=m), TrialFolder(tmp_path / str(m)), CPU)] for m in (0.1, 5.0))
    assert first[0].rows[0]["shift"] == second[0].rows[0]["shift"]  # the same initial weights
    assert first[-1].rows[0]["shift"] != second[-1].rows[0]["shift"]
    assert plan(margin=0.1).config.shape_key == plan(margin=5.0).config.shape_key


def test_a_space_searches_it_and_the_command_line_takes_it() -> None:
    from study.train import parser

    wide = {"distribution": "log_uniform_values", "min": 0.1, "max": 10.0}
    space = parse_space(
        "mine", {"method": "random", "parameters": {"model": {"value": "hinge"}, "margin": wide}}
    )
    assert [*space.searched] == ["margin"]
    assert parser().parse_args(["--margin", "0.3"]).margin == 0.3
    with pytest.raises(UserError, match="margin = 0"):
        parse_space(
            "mine", {"method": "grid", "parameters": {"model": {"value": "hinge"}, "margin": {"values": [0]}}}
        )
    with pytest.raises(ConfigError, match="has no use for margin"):
        TrialConfig(model="dcgan", margin=1.0)


def test_images_without_labels_are_drawn_and_judged_by_what_needs_none(tmp_path: Path) -> None:
    assert metrics_for("depth") == ["fd_pca", "improved_precision", "shift", "unknown"]
    assert default_metric("depth") == "fd_pca"
    changes = {
        "model": "dcgan",
        "dataset": "depth",
        "latent_dim": 8,
        "width": 2,
        "batch_size": 8,
        "n_critic": 1,
    }
    known = {name: value for name, value in plan().config.to_dict().items() if name == "lr_g"}
    trial = replace(plan(), config=TrialConfig(**known, **changes), kimg=0.016, eval_kimg=0.016)
    folder = TrialFolder(tmp_path / "t")
    *_, last = run(trial, folder, CPU)
    assert last.state == "completed"
    with Image.open(folder.samples / "0001.png") as image:
        assert image.size == (3 * (16 * 17 + 1), 3 * (6 * 33 + 1))  # the fourth channel below each image


@pytest.mark.parametrize("dimensions", [1, 2, 5])
def test_a_family_has_datasets_of_any_argument(dimensions: int, tmp_path: Path) -> None:
    name = f"noise:{dimensions}"
    assert "noise:<dimensions>" in dataset_names()
    assert dataset_named(name).sample_shape == (dimensions,)
    folder = TrialFolder(tmp_path / "t")
    *_, last = run(plan(dataset=name), folder, CPU)
    assert last.state == "completed"
    assert folder.plan().config.dataset == name


@pytest.mark.parametrize("name", ["noise", "noise:", "noise:x", "ring8:3", "nothing"])
def test_a_name_that_is_no_dataset_is_refused(name: str) -> None:
    with pytest.raises(UserError, match="noise"):
        dataset_named(name)


def test_a_metric_of_the_end_or_of_other_data_can_not_be_optimised() -> None:
    with pytest.raises(UserError, match="at the end only"):
        check_metric("critic_gap", "cube")
    with pytest.raises(UserError, match="not for images"):
        check_metric("critic_gap", "depth")


def test_one_unknown_before_training_is_priced_as_the_worst_of_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The floor's, three members' before training, none after.
    values = iter([*[0.5] * DRAWS, None, 3.0, 2.0, *[None] * 9])

    def sometimes(samples: torch.Tensor) -> float | None:
        return next(values) if len(samples) else None

    monkeypatch.setitem(METRICS, "shift", replace(own.shift, compute=sometimes))
    *_, last = run(plan(), TrialFolder(tmp_path / "trials" / "t"), CPU)
    assert [row["score"] for row in last.rows] == [3.0, 3.0, 2.0]


def test_a_datasets_name_makes_names_of_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from study.train import parser, plan_from

    assert file_name("folder:/data/my pictures") == "folder-my-pictures"
    monkeypatch.chdir(tmp_path)
    assert "/" not in plan_from(parser().parse_args(["--dataset", "noise:3"])).trial_id
    with pytest.raises(ConfigError, match="noise:x has no whole number of dimensions"):
        TrialConfig(dataset="noise:x")


def test_an_objective_that_is_unknown_takes_its_worst_value(tmp_path: Path) -> None:
    *_, last = run(plan(metric="unknown"), TrialFolder(tmp_path / "t"), CPU)
    assert (last.objective, last.state) == (0.0, "completed")


def model(**changes: Any) -> Model:
    return replace(own.HINGE, name="other", **changes)


INCOMPLETE = {
    "no default of lr_d": lambda: model(defaults={"lr_g": 1e-3}),
    "no default of margin": lambda: model(own=(Hyperparameter(name="margin", meaning="of the hinge"),)),
    "lr_g a second time": lambda: model(own=(Hyperparameter(name="lr_g", meaning="again", default=1.0),)),
    "default of margin, which": lambda: model(defaults={**own.HINGE.defaults, "margin": 1.0}),
    "may not have batch norm": lambda: model(penalty=len),
    "compute in fp32 alone": lambda: model(critic=len, bf16_kinds=("points",)),
    "must be a number": lambda: Hyperparameter(
        name="word", meaning="", type=str, choices=("a",), per_member=True
    ),
    "beta1 = 2 is out of range": lambda: model(defaults={**own.HINGE.defaults, "beta1": 2}),
    "missing 1 required .* 'critic_loss'": lambda: Model(
        **{k: v for k, v in vars(own.HINGE).items() if k not in ("critic_loss", "hyperparameters")}
    ),
    "kind 'sounds' is not one of": lambda: replace(own.CUBE, kind="sounds"),
    "is not a shape of points": lambda: replace(own.CUBE, sample_shape=(1, 8, 8)),
    "must be square": lambda: replace(own.DEPTH, sample_shape=(4, 24, 24)),
    "a default of lr_g, not its": lambda: replace(own.CUBE, defaults={"lr_g": 1.0}),
    "can't be called 'kimg'": lambda: Hyperparameter(name="kimg", meaning=""),
    "turns must be": lambda: model(turns=lambda n: ("critic",) * n),
    "declares labels, but not its number of modes": lambda: replace(own.DEPTH, labels=True),
    "asks for 'everything'": lambda: metric(samples={"points": 1}, higher_is_better=True, meaning="")(
        lambda everything: everything
    ),
    "of 'sounds' make no sense": lambda: replace(own.shift, samples={"sounds": 1}),
    "declares no samples of any": lambda: replace(own.shift, samples={}),
    "missing 1 required .* 'meaning'": lambda: metric(samples={"points": 1}, higher_is_better=True)(len),
}


@pytest.mark.parametrize("said", INCOMPLETE)
def test_an_incomplete_declaration_says_what_is_missing(said: str) -> None:
    with pytest.raises((ValueError, TypeError), match=said):
        INCOMPLETE[said]()


def test_init_concerns_models_that_do_not_bring_both_networks() -> None:
    """Those bring their initial weights, too."""
    assert "init" in model(generator=len).hyperparameters
    assert "init" in model(critic=len).hyperparameters
    assert "init" not in model(generator=len, critic=len).hyperparameters


def test_a_model_that_says_nothing_of_init_has_a_default() -> None:
    assert "init" not in own.HINGE.defaults
    assert TrialConfig(model="hinge", dataset="depth").init == "normal_0.02"


def module(**declared: Any) -> ModuleType:
    found = ModuleType("theirs")
    vars(found).update(declared)
    return found


def test_a_name_is_declared_once() -> None:
    DATASETS.collect(module(again=own.CUBE))  # an import of the same
    with pytest.raises(ValueError, match="theirs declares the dataset cube a second time"):
        DATASETS.collect(module(other=replace(own.CUBE, meaning="something else")))


def test_a_hyperparameter_has_one_meaning() -> None:
    changed = replace(own.HINGE.own[0], default=2.0)  # of a default's own
    MODELS.collect(module(other=model(own=(changed,))))
    assert TrialConfig(model="other").margin == 2.0
    assert hyperparameters()["margin"].name == "margin"
    MODELS.collect(module(third=replace(own.HINGE, name="third", own=(replace(changed, at_most=3.0),))))
    with pytest.raises(ValueError, match="third means something else by margin"):
        hyperparameters()


def test_a_metric_is_not_called_as_a_column_is() -> None:
    METRICS.collect(module(taken=replace(own.shift, name="kimg")))
    with pytest.raises(ValueError, match="kimg is a column already"):
        columns("curves", METRICS)


def test_a_dataset_that_loads_something_else_is_refused() -> None:
    wrong: dict[str, Dataset] = {
        "declares": replace(own.CUBE, name="wrong", sample_shape=(2,)),
        "labels": replace(own.CUBE, name="wrong", labels=True, modes=3),
        "centres": replace(own.CUBE, name="wrong", modes=3),
    }
    for said, dataset in wrong.items():
        DATASETS["wrong"] = dataset
        load.cache_clear()
        with pytest.raises(ValueError, match=said):
            load("wrong", CPU)


def test_no_model_is_named_outside_its_file() -> None:
    """What the package knows of a model stands in its file; docstrings and example commands may name it."""
    for path in sorted(Path(study.__file__).parent.rglob("*.py")):
        nodes = [*ast.walk(ast.parse(path.read_text()))]
        prose = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
        texts = [str(n.value) for n in nodes if isinstance(n, ast.Constant) and id(n) not in prose]
        texts = [text for text in texts if "python -m study." not in text]
        named = {name for name in ("wgan_gp", "wgan_cp") for text in texts if name in text}
        assert named <= {path.stem}, path
