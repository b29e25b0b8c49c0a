"""Ray: joined or started, what it has, whether it is still there, and where its own words go."""

import logging
import math
import os
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import IO, Any

import ray
from ray.exceptions import AuthenticationError, RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from study.errors import StoppedError, UserError, sentence
from study.machine.hardware import Hardware, detect, together
from study.plan import StudyPlan
from study.records.study_folder import StudyFolder
from study.reporting.console import Console
from study.runner.workplace import Home, Keeper, mark
from study.signals import SIGNALS

LOOK_SECONDS = 2.0  # between two looks whether Ray is there
ANSWER_SECONDS = 5.0
STUCK_SECONDS = 5.0  # a step of Ray's loop takes less, unless it waits for what is gone
MISSED = 3  # looks in a row that find nobody: Ray is gone
NODE_SECONDS = 60.0  # for a node to start a process and look at itself
JOIN_SECONDS = 15 * 60.0  # for a cluster's nodes to join it: a cloud's machines are installed first
UNAUTHENTICATED = b"InvalidAuthToken"  # in what Ray's libraries write
NO_TOKEN = "it asks for a token, and it is not the one in RAY_AUTH_TOKEN or ~/.ray/auth_token"
UNKNOWN_GPU = "GPU"
STREAMS = (1, 2)  # of a process: what it says, and its errors


def connect(address: str, nodes: int = 1) -> Hardware:
    """Join a running Ray cluster and say what it has, once so many nodes with CPUs are there.

    A head without CPUs trains nothing, and does not count. Raises UserError when there is no cluster, or no
    such nodes.
    """
    with tempfile.TemporaryFile() as file:
        try:
            with _streams_to(file), _own_handlers():
                ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
        except (AuthenticationError, ConnectionError, RuntimeError, ValueError) as error:
            file.seek(0)
            refused = isinstance(error, AuthenticationError) or UNAUTHENTICATED in file.read()
            reason = NO_TOKEN if refused else str(error).split("\n")[0]
            raise UserError(f"there is no Ray cluster to join at {address!r}: {reason}") from error
    try:
        _wait_for(nodes)
        return together([machine for machine in on_every_node(_look) if machine.cpus])
    except UserError:
        with tempfile.TemporaryFile() as file, _streams_to(file):  # of a task that failed Ray speaks even now
            ray.shutdown()
        raise


@contextmanager
def _own_handlers() -> Iterator[None]:
    """Signals go on meaning what they mean: Ray, when it starts, puts a handler of its own on SIGTERM."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def nodes_with(cpus: float, gpus: float = 0.0) -> int:
    """How many of a cluster's nodes have so many CPUs and GPUs, whoever uses them now."""
    has = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    return sum(own.get("CPU", 0.0) >= cpus and own.get("GPU", 0.0) >= gpus for own in has)


def _wait_for(nodes: int) -> None:
    """Raises UserError: they have not joined in time."""
    end = time.monotonic() + JOIN_SECONDS
    while (joined := nodes_with(cpus=1)) < nodes:
        if time.monotonic() > end:
            minutes = JOIN_SECONDS / 60
            raise UserError(
                f"{joined} of {nodes} nodes with CPUs have joined in {minutes:g} minutes: see --nodes"
            )
        time.sleep(1)


def _look() -> Hardware:
    """What Ray may use of the node that this runs on."""
    os.environ.pop("CUDA_VISIBLE_DEVICES", None)  # Ray hides GPUs from those that did not ask for one
    node = ray.get_runtime_context().get_node_id()
    (resources,) = (known["Resources"] for known in ray.nodes() if known["NodeID"] == node)
    found, gpus = detect(), int(resources.get("GPU", 0))
    return replace(
        found,
        cpus=int(resources.get("CPU", 0)),
        gpus=(*found.gpus, *[UNKNOWN_GPU] * gpus)[:gpus],
        gpu_bf16=found.gpu_bf16 and len(found.gpus) >= gpus,
    )


def on_every_node(function: Callable[..., Any], *arguments: Any) -> list[Any]:
    """What a function returns on each of a cluster's nodes. Raises UserError: it could not be asked."""
    nodes = [node["NodeID"] for node in ray.nodes() if node["Alive"]]
    task = ray.remote(function)
    asked = [
        task.options(num_cpus=0, scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False)).remote(
            *arguments
        )
        for node in nodes
    ]
    try:
        found: list[Any] = ray.get(asked, timeout=NODE_SECONDS)
    except (RayError, ImportError) as error:
        reason = str(error).strip().splitlines()[-1]
        raise UserError(
            f"a node of the cluster can't be used (each needs this package installed): {reason}"
        ) from error
    return found


def keep(folder: StudyFolder) -> tuple[Home, int]:
    """Have a study's folder kept for nodes that don't have it; also the number of these."""
    path = str(folder.path.resolve())
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    kept = ray.remote(Keeper).options(
        num_cpus=0, scheduling_strategy=here, max_restarts=-1, max_task_retries=-1
    )
    home = Home(path, mark(folder), kept.remote(path))
    return home, on_every_node(Home.is_here, home).count(False)


def start(plan: StudyPlan) -> None:
    """Start Ray on this machine, for this study alone. Raises StoppedError: it does not start."""
    try:
        with _own_handlers():
            ray.init(
                address="local",  # left to itself, Ray would join any cluster that runs here
                # Bounds Hyperband, too. Trials that ask pack workers share one more.
                num_cpus=math.ceil(plan.concurrency * plan.cpus_per_trial) + (plan.pack != "trial"),
                include_dashboard=False,
                log_to_driver=False,
                logging_level=logging.ERROR,
            )
    except Exception as error:  # it has no class of its own for this
        raise StoppedError(f"Ray does not start: {sentence(str(error))}") from error


@contextmanager
def words_to(path: Path, console: Console) -> Iterator[Callable[[], None]]:
    """Meanwhile what Ray's libraries write to the screen goes to a file, and what the console says does not.

    They write from C++ and from threads of their own: only the process's two streams can be turned away.

    Yields:
        what turns them back at once, for a process that won't come to the end.
    """
    with (
        path.open("ab") as file,
        _streams_to(file) as kept,
        os.fdopen(os.dup(kept[1]), "w", buffering=1) as screen,
        console.on(screen),
    ):
        yield partial(_point, kept)


@contextmanager
def _streams_to(file: IO[bytes]) -> Iterator[dict[int, int]]:
    """Meanwhile the process's streams lead to a file; yields where they led."""
    kept = {stream: os.dup(stream) for stream in STREAMS}
    _point(dict.fromkeys(STREAMS, file.fileno()))
    try:
        yield kept
    finally:
        _point(kept)
        for copy in kept.values():
            os.close(copy)


def _point(streams: Mapping[int, int]) -> None:
    """Let the process's streams lead where others do."""
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    for number, other in streams.items():
        os.dup2(other, number)


class Watch:
    """Looks, in a thread, whether the two processes are there without which Ray does nothing any more.

    Ray itself says so after a minute at the earliest, and then by ending this process. Use as a context; an
    exception that comes of the loss ends it as KeyboardInterrupt.

    Attributes:
        gone: which of them, once it is.
    """

    def __init__(self, lost: Callable[[str], None], give_up: Callable[[], None]) -> None:
        """Both are called from the thread.

        Args:
            lost: called once, with what is gone.
            give_up: called when the context has not ended some seconds after that: a call of Ray's holds it.
        """
        self.gone = ""
        self._lost, self._give_up = lost, give_up
        self._places = _places()
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._look, name="watch", daemon=True)

    def __enter__(self) -> "Watch":
        self._thread.start()
        return self

    def __exit__(self, _: object, error: BaseException | None, *__: object) -> None:
        # It may come of that loss, before this has seen it often enough.
        if isinstance(error, Exception) and not isinstance(error, UserError):
            self._thread.join(MISSED * (LOOK_SECONDS + 1))
        self._end.set()
        self._thread.join()  # who has given up ends the process: not both are to write the tables
        if self.gone and isinstance(error, Exception):
            raise KeyboardInterrupt from error

    def _look(self) -> None:
        missed = dict.fromkeys(self._places, 0)
        while not self._end.wait(LOOK_SECONDS):
            for name, place in self._places.items():
                missed[name] = 0 if _answers(place) else missed[name] + 1
                if missed[name] == MISSED:
                    self.gone = name
                    self._lost(name)
                    if not self._end.wait(STUCK_SECONDS):
                        self._give_up()
                    return


def _places() -> dict[str, tuple[str, int]]:
    """Where Ray's head, and its process on this node, listen."""
    context = ray.get_runtime_context()
    host, _, port = context.gcs_address.rpartition(":")
    (own,) = (node for node in ray.nodes() if node["NodeID"] == context.get_node_id())
    return {
        "its head (GCS)": (host.strip("[]"), int(port)),
        "its process on this machine (raylet)": (own["NodeManagerAddress"], own["NodeManagerPort"]),
    }


def _answers(place: tuple[str, int]) -> bool:
    try:
        socket.create_connection(place, timeout=ANSWER_SECONDS).close()
    except OSError:
        return False
    return True
