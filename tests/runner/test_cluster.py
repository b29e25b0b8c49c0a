"""Whether Ray is still there is seen, and what its libraries write goes to a file."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from study.errors import UserError
from study.runner import cluster
from study.runner.cluster import Watch


@pytest.fixture
def listener(monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """Stands for Ray's head; its process on this machine never goes."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
    places = dict(zip(("head", "raylet"), (known.getsockname() for known in sockets), strict=True))
    monkeypatch.setattr(cluster, "_places", lambda: places)
    monkeypatch.setattr(cluster, "LOOK_SECONDS", 0.02)
    monkeypatch.setattr(cluster, "STUCK_SECONDS", 0.5)
    yield sockets[0]
    for known in sockets:
        known.close()


def wait_for(gone: list[str]) -> None:
    limit = time.monotonic() + 10
    while not gone:
        assert time.monotonic() < limit
        time.sleep(0.01)


def test_the_loss_is_said_once(listener: socket.socket) -> None:
    gone: list[str] = []
    with Watch(gone.append, lambda: gone.append("given up")):
        time.sleep(0.3)
        assert gone == []
        listener.close()
        wait_for(gone)
        time.sleep(0.1)
    time.sleep(0.5)
    assert gone == ["head"]


def test_whoever_waits_for_what_is_gone_is_given_up(listener: socket.socket) -> None:
    listener.close()
    gone: list[str] = []
    with Watch(gone.append, lambda: gone.append("given up")):
        time.sleep(1.5)
    assert gone == ["head", "given up"]


def test_what_has_given_up_is_waited_for(listener: socket.socket) -> None:
    """It writes the tables and ends the process: whoever comes out of Ray's call meanwhile writes none."""
    listener.close()
    given_up: list[str] = []

    def give_up() -> None:
        given_up.append("begun")
        time.sleep(0.5)
        given_up.append("done")

    with Watch(print, give_up):
        wait_for(given_up)
    assert given_up == ["begun", "done"]


def test_an_exception_that_comes_of_the_loss_is_no_fault(listener: socket.socket) -> None:
    listener.close()
    with pytest.raises(KeyboardInterrupt), Watch(print, print):
        raise RuntimeError("whatever Ray makes of it")


@pytest.mark.usefixtures("listener")
def test_another_exception_is_one() -> None:
    with pytest.raises(RuntimeError, match="a fault"), Watch(print, print):
        raise RuntimeError("a fault")


WRITES = """
import os
import sys
from pathlib import Path
from study.reporting.console import Console
from study.runner.cluster import words_to
from tests.studies import study_plan

console = Console(study_plan())
console.say("before")
with words_to(Path("ray.log"), console):
    console.say("meanwhile")
    print("from Python")
    print("an error", file=sys.stderr)
    os.write(2, b"from C++\\n")
console.say("after")
print("at the end", file=sys.stderr)
with words_to(Path("silent.log"), console):
    console.say("nothing of Ray's")
"""


def test_what_rays_libraries_write_goes_to_a_file(tmp_path: Path) -> None:
    root = str(Path(__file__).parents[2])
    done = subprocess.run(
        [sys.executable, "-c", WRITES],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": root},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines() == ["before", "meanwhile", "after", "nothing of Ray's"]
    assert done.stderr == "at the end\n"
    said = (tmp_path / "ray.log").read_text().splitlines()
    assert sorted(said) == ["an error", "from C++", "from Python"]
    assert (tmp_path / "silent.log").read_text() == ""


def test_nodes_that_do_not_join_are_not_waited_for_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    nodes = [
        {"Alive": True, "Resources": {"memory": 1.0}},  # a head that trains nothing
        {"Alive": True, "Resources": {"CPU": 8.0, "GPU": 1.0}},
        {"Alive": False, "Resources": {"CPU": 8.0}},
    ]
    monkeypatch.setattr(cluster.ray, "nodes", lambda: nodes)
    monkeypatch.setattr(cluster, "JOIN_SECONDS", 0.0)
    cluster._wait_for(1)
    with pytest.raises(UserError, match="1 of 2 nodes with CPUs have joined in 0 minutes"):
        cluster._wait_for(2)
    monkeypatch.setattr(cluster, "JOIN_SECONDS", 10.0)
    monkeypatch.setattr(cluster.time, "sleep", lambda _: nodes[2].update(Alive=True))
    cluster._wait_for(2)
