"""A study on a cluster whose nodes are all gone says that it waits."""

from types import SimpleNamespace
from typing import Any

import pytest
from ray.tune.experiment import Trial

from study.runner.nodes import NodesLeft
from tests.studies import study_plan

WAITING = SimpleNamespace(status=Trial.PENDING)
HEAD = {"Alive": True, "Resources": {"CPU": 4.0}}
WORKER = {"Alive": True, "Resources": {"CPU": 8.0, "GPU": 1.0}}
DEAD = {**WORKER, "Alive": False}


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> list[list[dict[str, Any]]]:
    """Its nodes at each look, the last first."""
    found: list[list[dict[str, Any]]] = []
    monkeypatch.setattr("ray.nodes", found.pop)
    monkeypatch.setattr("study.runner.nodes.LOOK_SECONDS", 0.0)
    return found


@pytest.mark.parametrize(
    ("gpus", "looks", "needs"),
    [
        (0.0, [[HEAD], [DEAD], [], [HEAD, WORKER], [HEAD]], "CPUs: 2, GPUs: 0"),
        (0.5, [[HEAD, WORKER], [HEAD, DEAD], [HEAD], [HEAD, WORKER]], "CPUs: 2, GPUs: 0.5"),
    ],
)
def test_it_is_said_once_that_no_node_is_left_and_once_that_there_is_one(
    gpus: float, looks: list[Any], needs: str, cluster: list[Any]
) -> None:
    said: list[str] = []
    callback = NodesLeft(study_plan(cpus_per_trial=2.0, gpus_per_trial=gpus), said.append)
    cluster += reversed(looks)
    while cluster:
        callback.on_step_begin(0, [WAITING])
    assert said == [
        f"no node is left in the cluster with what a trial needs ({needs}): the study waits for one",
        "a node has joined the cluster: the study goes on",
    ]


def test_while_a_trial_runs_nobody_is_asked(cluster: list[Any]) -> None:
    trials = [SimpleNamespace(status=status) for status in (Trial.TERMINATED, Trial.RUNNING)]
    cluster.append([])
    NodesLeft(study_plan(), print).on_step_begin(0, trials)
    assert cluster == [[]]
