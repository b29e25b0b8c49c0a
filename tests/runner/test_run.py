"""What Ray is started with, and an interrupt meanwhile."""

import errno
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from study import tune
from study.records.study_folder import StudyFolder
from study.records.tables import TABLES, Results
from study.reporting.tracking import Tracker
from tests.studies import TINY, journal, table


@pytest.fixture
def ray_starts_with(
    request: pytest.FixtureRequest, tmp_path: Path, cheap_transport: None, monkeypatch: pytest.MonkeyPatch
) -> dict[str, Any]:
    """What study.tune hands to ray.init, in an empty folder; there it is interrupted."""
    del cheap_transport
    given: dict[str, Any] = {}

    def init(**options: Any) -> None:
        given.update(options)
        os.kill(os.getpid(), getattr(request, "param", signal.SIGINT))

    monkeypatch.setattr("ray.init", init)
    monkeypatch.chdir(tmp_path)
    return given


@pytest.mark.parametrize("ray_starts_with", [signal.SIGINT, signal.SIGTERM], indirect=True)
def test_an_interrupt_while_ray_starts(
    ray_starts_with: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert tune.main(["--space", "wgan_gp", *TINY, "--name", "x"]) == 130
    assert ray_starts_with
    out = capsys.readouterr().out
    assert "stopping: running trials keep their last checkpoint" in out  # not cut off at once
    assert out.splitlines()[-1].endswith("python -m study.tune --resume results/x")
    study = StudyFolder(tmp_path / "results" / "x")
    assert [len(table(study, name)) for name in TABLES] == [0, 0, 0]
    assert journal(study, "wgan_gp") == []


def test_a_full_disk_is_said_in_a_sentence(
    ray_starts_with: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(_: Results) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Results, "write", full)
    assert tune.main(["--space", "wgan_gp", *TINY, "--name", "x"]) == 1
    assert not ray_starts_with
    said = capsys.readouterr()
    assert said.err.startswith("error: there is no space left on the disk of ")
    assert len(said.err.splitlines()) == 1
    assert said.out.splitlines()[-1].endswith("continue with: python -m study.tune --resume results/x")


def test_a_cluster_that_happens_to_run_here_is_not_joined(ray_starts_with: dict[str, Any]) -> None:
    # Left to itself, ray.init joins what RAY_ADDRESS or a `ray start` (even a dead one) points to.
    tune.main(["--space", "wgan_gp", *TINY, "--name", "x"])
    assert ray_starts_with["address"] == "local"
    assert ray_starts_with["include_dashboard"] is False


def test_a_wandb_sweep_is_asked_for_each_space(
    ray_starts_with: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[dict[str, Any]] = []
    monkeypatch.setattr(Tracker, "make_sweeps", lambda _, sweeps: asked.append(sweeps))
    tune.main(["--space", "dcgan", "wgan_gp", *TINY, "--name", "x"])
    assert ray_starts_with
    (sweeps,) = asked
    assert {space: sweep["name"] for space, sweep in sweeps.items()} == {
        "dcgan": "x dcgan",
        "wgan_gp": "x wgan_gp",
    }


@pytest.mark.parametrize(
    ("arguments", "cpus"),
    [(["--concurrency", "50"], 50), (["--concurrency", "20", "--cpus-per-trial", "3"], 60)],
)
def test_ray_has_the_cpus_for_the_trials_asked_for(
    arguments: list[str], cpus: int, ray_starts_with: dict[str, Any]
) -> None:
    tune.main(["--space", "wgan_gp", *TINY, "--name", "x", *arguments])
    assert ray_starts_with["num_cpus"] == cpus


def test_ray_that_does_not_start_is_said_in_a_sentence(
    ray_starts_with: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def init(**_: Any) -> None:
        raise Exception("The current node timed out during startup.\nThis could happen because ...")

    monkeypatch.setattr("ray.init", init)
    assert tune.main(["--space", "wgan_gp", *TINY, "--name", "x"]) == 1
    assert not ray_starts_with
    said = capsys.readouterr()
    what = "The current node timed out during startup. This could happen because ..."
    assert said.err == f"error: Ray does not start: {what}\n"
    assert said.out.splitlines()[-1].endswith("continue with: python -m study.tune --resume results/x")
