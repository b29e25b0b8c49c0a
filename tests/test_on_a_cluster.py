"""Studies on a Ray cluster of simulated nodes: `ray start` in this machine's processes.

The nodes that join train in scratch folders of their own, as if they did not have the study's.
"""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import yaml

from study.machine.files import read_json
from study.records.study_folder import StudyFolder
from study.records.trial_folder import TrialFolder
from study.runner.workplace import SCRATCH
from study.trial.run import run
from tests.commands import Command, alive, descendants, end_all, wait_for
from tests.studies import TINY, check_books, small, states, untimed

pytestmark = pytest.mark.study

BUDGET = ["--kimg", "2", "--eval-kimg", "0.5", "--trials", "5"]
RANDOM = ["--sampler", "random", "--scheduler", "fifo"]


class Cluster:
    """Nodes of one CPU each. The first is the head, where the driver runs."""

    def __init__(self, folder: Path, temporary: Path) -> None:
        self.folder = folder
        self.gate = folder / "gate"
        self.gate.mkdir()
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.address = f"127.0.0.1:{free.getsockname()[1]}"
        here = Path(__file__).parent
        self.environment = {
            **os.environ,
            "GATE": str(self.gate),
            "HOME": str(folder),  # no token of another cluster
            "PYTHONPATH": os.pathsep.join([str(here / "gate"), str(here.parent)]),
            "RAY_AUTH_MODE": "disabled",
            "RAY_TMPDIR": str(temporary),
            "RAY_USAGE_STATS_ENABLED": "0",
        }
        self.nodes: list[subprocess.Popen[bytes]] = []
        port = self.address.rpartition(":")[2]
        self.start("--head", f"--port={port}", "--include-dashboard=false", "--node-ip-address=127.0.0.1")

    def start(self, *how: str, **environment: str) -> None:
        """Returns when the node is there."""
        ray = [sys.executable, "-m", "ray.scripts.scripts", "start", "--num-cpus=1", "--block", *how]
        log = self.folder / f"node{len(self.nodes)}.txt"
        with log.open("wb") as out:
            node = subprocess.Popen(ray, env=self.environment | environment, stdout=out, stderr=out)
        self.nodes.append(node)
        wait_for(lambda: node.poll() is not None or b"Ray runtime started" in log.read_bytes())
        assert node.poll() is None, log.read_text()

    def join(self) -> Path:
        """Another node; returns its scratch folder."""
        own = self.folder / f"scratch{len(self.nodes)}"
        self.start(f"--address={self.address}", **{SCRATCH: str(own), "GAN_STUDY_CACHE": str(own / "cache")})
        return own

    def kill(self, number: int) -> None:
        """As a machine that is switched off."""
        node = self.nodes[number]
        below = descendants(node.pid)
        node.kill()
        node.wait()
        end_all(below)

    def study(self, *arguments: str) -> Command:
        with (self.folder / "out.txt").open("wb") as out, (self.folder / "err.txt").open("wb") as err:
            process = subprocess.Popen(
                [sys.executable, "-m", "study.tune", "--address", self.address, *arguments],
                cwd=self.folder,
                env=self.environment,
                stdout=out,
                stderr=err,
            )
        self.nodes.append(process)  # to be ended, too
        return Command(process, self.folder, 0.0)

    def close_gate(self, *numbers: int) -> None:
        for number in numbers:
            (self.gate / f"small-{number:05d}").touch()

    def open_gate(self) -> None:
        for closed in self.gate.glob("small-?????"):
            closed.unlink()

    def held(self) -> set[str]:
        return {path.stem for path in self.gate.glob("*.held")}


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    (tmp_path / "small.yaml").write_text(yaml.safe_dump(small()))
    with tempfile.TemporaryDirectory(prefix="ray-", dir="/tmp") as temporary:  # for sockets: short
        cluster = Cluster(tmp_path, Path(temporary))
        yield cluster
        for number, node in enumerate(cluster.nodes):
            if node.poll() is None:
                cluster.kill(number)


def check_rows(study: StudyFolder, folder: Path) -> None:
    """They are those of the same trials trained in one process, without faults."""
    for name, trial in study.trials():
        alone = TrialFolder(folder / "alone" / name)
        list(run(trial.plan(), alone, torch.device("cpu")))
        assert untimed(trial.rows()) == untimed(alone.rows()), name


def test_nodes_that_share_nothing_come_and_go(cluster: Cluster, tmp_path: Path) -> None:
    scratch = [cluster.join(), cluster.join()]
    cluster.close_gate(0, 1, 2)
    command = cluster.study(
        "--space", "small.yaml", *TINY, *BUDGET, *RANDOM, "--concurrency", "3", "--name", "spread"
    )
    wait_for(lambda: command.process.poll() is not None or len(cluster.held()) == 3)
    assert command.process.poll() is None, command.out + command.err
    study = StudyFolder(tmp_path / "results" / "spread")
    assert [list(own.glob("gan-study-*/*/trials/*")) != [] for own in scratch] == [True, True]
    assert all(len(trial.rows()) == 2 * 3 for _, trial in study.trials())  # what was evaluated is here
    cluster.kill(1)
    late = cluster.join()
    cluster.open_gate()
    assert (command.wait(), command.err) == (0, "")
    assert "is not there on 2 of the cluster's nodes: what their trials add is sent here" in command.out
    assert "it goes on from its last checkpoint (retry 1 of 3)" in command.out
    assert list(late.glob("gan-study-*/*"))  # it was used
    check_books(study, {"small": 5}, evaluations=5)
    assert set(states(study).values()) == {"completed"}
    check_rows(study, tmp_path)
    assert read_json(study.path / "study.json")["hardware"]["machines"] == [[1, 0]] * 3


def test_a_kill_while_nodes_are_waited_for_is_polite(cluster: Cluster) -> None:
    command = cluster.study("--space", "small.yaml", *TINY, *BUDGET, "--nodes", "9")
    wait_for(lambda: "waiting for 9" in command.out)
    time.sleep(3)  # it has joined
    command.process.terminate()
    assert (command.wait(30), command.err) == (130, "interrupted\n")


def test_the_head_dies_and_the_study_goes_on(cluster: Cluster, tmp_path: Path) -> None:
    cluster.join()
    cluster.join()
    cluster.close_gate(2, 3)
    packs = ["--pack", "4", "--concurrency", "2", "--name", "headless"]
    command = cluster.study("--space", "small.yaml", *TINY, *BUDGET, *RANDOM, *packs)
    wait_for(lambda: command.process.poll() is not None or len(cluster.held()) >= 1)
    assert command.process.poll() is None, command.out + command.err
    below = descendants(cluster.nodes[0].pid)
    for name in ("gcs_server", "raylet"):
        for pid in alive(below):
            if Path(f"/proc/{pid}/comm").read_text().strip() == name:
                os.kill(pid, signal.SIGKILL)
    assert command.wait(30) == 1
    assert command.err.startswith("error: Ray is gone: its head (GCS) does not answer")
    again = f"python -m study.tune --resume results/headless --address {cluster.address}"
    assert command.out.splitlines()[-1] == f"not finished; continue with: {again}"
    study = StudyFolder(tmp_path / "results" / "headless")
    cluster.open_gate()
    resumed = subprocess.run(
        [sys.executable, "-m", "study.tune", "--resume", "results/headless"],
        cwd=tmp_path,
        env={**cluster.environment, "RAY_AUTH_MODE": "token"},
        capture_output=True,
        text=True,
    )
    assert (resumed.returncode, resumed.stderr) == (0, "")
    check_books(study, {"small": 5}, evaluations=5)
    assert set(states(study).values()) == {"completed"}
