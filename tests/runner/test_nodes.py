"""A study on a cluster whose nodes are all gone says that it waits."""

from types import SimpleNamespace

import pytest
from ray.tune.experiment import Trial

from study.runner import nodes
from study.runner.nodes import NodesLeft


@pytest.fixture
def left(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many nodes there are at each look, the last first."""
    found: list[int] = []
    monkeypatch.setattr(nodes, "nodes_with_cpus", found.pop)
    monkeypatch.setattr(nodes, "LOOK_SECONDS", 0.0)
    return found


def test_it_is_said_once_that_no_node_is_left_and_once_that_there_is_one(left: list[int]) -> None:
    said: list[str] = []
    callback, waiting = NodesLeft(said.append), SimpleNamespace(status=Trial.PENDING)
    left += reversed([1, 0, 0, 2, 2])
    while left:
        callback.on_step_begin(0, [waiting])
    assert said == [
        "no node with CPUs is left in the cluster: the study's trials wait for one to join",
        "a node has joined the cluster: the study goes on",
    ]


def test_while_a_trial_runs_nobody_is_asked(left: list[int]) -> None:
    trials = [SimpleNamespace(status=status) for status in (Trial.TERMINATED, Trial.RUNNING)]
    left.append(0)
    NodesLeft(print).on_step_begin(0, trials)
    assert left == [0]
