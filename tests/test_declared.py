"""What a study's files keep of declarations that are elsewhere: enough to read them, not to run anything."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from study import train
from study.command import run_command
from study.config import TrialConfig
from study.data import DATASETS, dataset_named, load
from study.declared import describe, remember
from study.errors import ConfigError, UserError
from study.metrics import METRICS, metrics_for
from study.models import MODELS
from study.records.study_folder import StudyFolder
from study.records.tables import Results
from study.records.trial_folder import TrialFolder
from study.registry import Registry
from study.trial.run import run
from tests import own
from tests.packs import CPU

REGISTRIES: tuple[Registry[Any], ...] = (MODELS, DATASETS, METRICS)


@pytest.fixture(autouse=True)
def _nothing_loaded() -> Iterator[None]:
    load.cache_clear()
    yield
    load.cache_clear()


@pytest.fixture
def declared() -> dict[str, Any]:
    """What is kept of a study with tests/own.py, read back from JSON where nobody has it."""
    for registry in REGISTRIES:
        registry.collect(own)
    kept: dict[str, Any] = json.loads(json.dumps(describe("cube", ["hinge", "wgan_gp", "hinge"])))
    for registry in REGISTRIES:
        for name in set(registry) - registry.built_in:
            del registry[name]
    return kept


def test_the_packages_own_declarations_are_not_kept() -> None:
    assert describe("digits", ["dcgan", "wgan_gp"]) == {"datasets": [], "metrics": [], "models": []}


def test_what_is_kept_stands_for_what_was_declared(declared: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        TrialConfig(model="hinge", dataset="cube")
    remember(declared)
    for found, real, names in (
        (
            DATASETS["cube"],
            own.CUBE,
            ("meaning", "kind", "sample_shape", "modes", "labels", "kimg", "defaults"),
        ),
        (METRICS["shift"], own.shift, ("meaning", "samples", "higher_is_better", "when", "worst", "needs")),
        (MODELS["hinge"], own.HINGE, ("title", "source", "defaults", "own", "hyperparameters")),
    ):
        assert {n: getattr(found, n) for n in names} == {n: getattr(real, n) for n in names}
    assert TrialConfig(model="hinge", dataset="cube", margin=0.5).to_dict()["margin"] == 0.5
    assert metrics_for("cube") == ["w1", "shift", "critic_gap", "unknown"]


def test_it_runs_nothing(declared: dict[str, Any]) -> None:
    remember(declared)
    functions: tuple[Callable[..., Any], ...] = (MODELS["hinge"].critic_loss, METRICS["shift"].compute)
    for use in (*functions, dataset_named("cube").load):
        with pytest.raises(UserError, match="is declared in a plugin: give its file with --plugin"):
            use()


def test_the_real_one_goes_before_what_stands_for_it(declared: dict[str, Any]) -> None:
    remember(declared)
    MODELS.collect(own)
    assert MODELS["hinge"] is own.HINGE
    remember(declared)
    assert MODELS["hinge"] is own.HINGE


@pytest.mark.parametrize(
    "declared",
    [[], {"models": 3}, {"models": [{"name": "x"}]}, {"datasets": [{"name": "x", "sample_shape": 3}]}],
)
def test_what_makes_no_sense_is_refused(declared: object) -> None:
    with pytest.raises(ConfigError, match="what the study declares makes no sense"):
        remember(declared)  # type: ignore[arg-type]


# Data that are gone, or others


@pytest.fixture
def points(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file of points, and a trial on them that has begun in results/train/trials."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GAN_STUDY_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("torch.set_num_threads", lambda _: None)
    file = tmp_path / "points.npy"
    np.save(file, np.random.default_rng(0).normal(size=(200, 5)))
    options = ["--kimg", "0.2", "--eval-kimg", "0.1", "--batch-size", "50", "--width", "4"]
    assert run_command(lambda: train.main(["--dataset", "array:points.npy", *options])) == 0
    return file


def the_trial() -> TrialFolder:
    (path,) = Path("results/train/trials").iterdir()
    return TrialFolder(path)


def forget() -> None:
    load.cache_clear()
    for name in set(DATASETS) - DATASETS.built_in:
        del DATASETS[name]


def test_tables_are_made_when_the_data_are_gone(points: Path) -> None:
    forget()
    points.unlink()
    shutil.rmtree("cache")
    results = Results(StudyFolder(Path("results/train")))
    results.add_all(include_unfinished=True)
    assert results.problems == []
    (row,) = results.table("trials").to_dict("records")
    assert (row["state"], row["dataset"]) == ("completed", f"array:{points}")
    assert row["w1"] > 0


def test_a_configuration_knows_its_data(points: Path) -> None:
    plan = the_trial().plan()
    assert plan.fingerprint["number"] == {"train": 140, "held_out": 30, "test": 30}
    assert len(plan.fingerprint["sha256"]) == 64
    assert plan.config.dataset == f"array:{points}"


def test_a_trial_does_not_go_on_with_other_data(points: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = the_trial()
    (folder.path / "DONE").unlink()
    forget()
    np.save(points, np.random.default_rng(1).normal(size=(200, 5)))
    with pytest.raises(UserError, match="are not those that the trial began with"):
        next(run(folder.plan(), folder, CPU))
    capsys.readouterr()
    assert run_command(lambda: train.main(["--resume", str(folder.path)])) == 2
    assert "have changed since" in capsys.readouterr().err
    assert folder.ending() is None
    assert run_command(lambda: train.main(["--replay", str(folder.path)])) == 2
    assert "have changed since" in capsys.readouterr().err
