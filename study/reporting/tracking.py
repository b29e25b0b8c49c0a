"""One Weights & Biases run per trial, kept by a process of its own (study.reporting.recorder).

The driver only puts messages in a queue, so a stuck network, a slow upload or a fault in wandb
cannot hold it up, and `Tracker.close` ends everything in a bounded time.
"""

import atexit
import contextlib
import json
import multiprocessing
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from study.metrics import METRICS
from study.plan import WANDB_MODES, StudyPlan

PROJECT = "gan-study"
QUEUE_MESSAGES = 5_000  # about 2 kB each


def config_of(plan: Mapping[str, Any]) -> dict[str, object]:
    """A trial's plan, as a dict, -> a run's config: flat, each hyperparameter once."""
    flat = {**plan, **plan["config"]}
    del flat["config"]
    return flat


def sweep_of(plan: StudyPlan, space: str) -> dict[str, Any]:
    """A study's space as a W&B sweep; how many trials there are and when they end is the study's business."""
    goal = "maximize" if METRICS[plan.metric].higher_is_better else "minimize"
    sweep = {**plan.spaces[space], "name": f"{plan.name} {space}"}
    for key in ("early_terminate", "run_cap"):
        sweep.pop(key, None)
    return {**sweep, "metric": {"name": "objective", "goal": goal}}


class Tracker:
    """The driver's side. No call waits for W&B or raises its faults; use it from one thread.

    After a fault one line on stderr says so, and every method does nothing from then on.
    """

    def __init__(self, mode: str, folder: Path, project: str, group: str) -> None:
        """Start the child, which writes to `folder`/wandb, and return without waiting for it.

        "auto" is online where a W&B login is found and offline elsewhere, unless WANDB_MODE says
        otherwise. Raises ValueError for a mode outside `WANDB_MODES`.
        """
        if mode not in WANDB_MODES:
            raise ValueError(f"W&B mode is {mode!r}; choose one of {', '.join(WANDB_MODES)}")
        self._process: subprocess.Popen[bytes] | None = None  # the child, while there is one
        self._dropped = 0
        if mode == "disabled" or (mode == "auto" and os.environ.get("WANDB_MODE") == "disabled"):
            return
        self._pipe, childs_end = multiprocessing.Pipe()
        try:
            self._process = _start(childs_end, mode, folder.resolve(), project, group)
        except OSError as error:
            _say(_stopped(f"no process for it ({error})"))
            return
        finally:
            childs_end.close()  # so that the child's death reads as the end of the pipe
        self._open = True
        self._outbox: queue.Queue[bytes] = queue.Queue(QUEUE_MESSAGES)
        threading.Thread(target=self._feed, name="wandb-feed", daemon=True).start()
        atexit.register(self.close)  # offline, wandb writes a run's last rows when it ends

    def make_sweeps(self, sweeps: Mapping[str, Mapping[str, Any]]) -> None:
        """Online, have a W&B sweep for each space, from its configuration; runs of the space belong to it.

        The study's folder keeps their ids: a resumed study has the same sweeps.
        """
        self._send("make_sweeps", sweeps)

    def start(self, run: str, config: dict[str, object]) -> None:
        """Open the W&B run called `run`, tagged with the config's "space" and "dataset".

        One of that name still open is ended as interrupted.
        """
        self._send("start", run, config)

    def log(self, run: str, values: dict[str, float], step: int, image: Path | None = None) -> None:
        """Add a row to the history of `run`; steps may not fall, rows of one step are merged.

        None and NaN are left out. `image` is a PNG, read later by the child if it is there, and
        shown as "samples". Once "kimg" is among the values, it is the x-axis of the run.
        """
        kept = {key: value for key, value in values.items() if value is not None and value == value}
        if kept or image:
            self._send("log", run, kept, step, str(image.resolve()) if image else None)

    def finish(self, run: str, state: str, summary: dict[str, object]) -> None:
        """End `run`, tagged with its state; W&B shows 'failed' as failed, 'interrupted' as killed.

        The summary gets the state and what the config doesn't say already.
        """
        self._send("finish", run, state, summary)

    def close(self, timeout_seconds: float = 10.0) -> None:
        """Give open work at most `timeout_seconds` to drain, then kill it; idempotent.

        Runs still open are ended as interrupted, with what they have.
        """
        process = self._process
        if process is None:
            return
        atexit.unregister(self.close)
        limit = time.monotonic() + 0.9 * timeout_seconds  # the last tenth is for the kill
        try:
            patience = 0.9 * timeout_seconds if self._listen() else 0.0
            with contextlib.suppress(queue.Full):  # then the child is stuck, and killed below
                self._outbox.put(json.dumps(["close", timeout_seconds]).encode(), timeout=patience)
            if _exit_code(process, limit - time.monotonic()) is None:
                _say(f"W&B tracking was cut off, not done after {timeout_seconds:g} s.")
            else:
                self._listen()
        finally:  # also when a second Ctrl-C cuts the wait short
            process.kill()  # wandb-core sees its parent die, and goes too
            _exit_code(process, 0.1 * timeout_seconds)
            self._process = None
        if self._dropped:
            _say(f"W&B tracking fell behind; {self._dropped} messages were dropped.")

    def _send(self, *message: object) -> None:
        if self._process is None or not self._listen():
            return
        try:
            # As JSON: objects of the driver's would bring their modules into the child.
            self._outbox.put_nowait(json.dumps(message, default=_plain).encode())
        except queue.Full:
            self._dropped += 1

    def _feed(self) -> None:
        """Move messages from the queue to the pipe, where a stuck child may block this thread."""
        with contextlib.suppress(OSError):  # the child is gone; `_listen` says so
            while True:
                message = self._outbox.get()
                self._pipe.send_bytes(message)
                if message.startswith(b'["close"'):
                    return

    def _listen(self) -> bool:
        """Say on stderr what the child reports. Returns whether it still takes messages."""
        assert self._process is not None
        try:
            while self._open and self._pipe.poll():
                line, self._open = json.loads(self._pipe.recv_bytes())
                _say(line if self._open else _stopped(line))
        except (EOFError, OSError):
            self._open = False
            code = _exit_code(self._process, 1.0)  # it has died: this only collects the code
            if code != 0:
                _say(_stopped(f"its process ended with code {code}"))
        return self._open


def _start(pipe: Connection, mode: str, folder: Path, project: str, group: str) -> "subprocess.Popen[bytes]":
    """Start the child; an early Ctrl-C doesn't reach it, and it finds modules where this process does."""
    arguments = [str(pipe.fileno()), mode, str(folder), project, group]
    path = os.pathsep.join(entry or str(Path.cwd()) for entry in sys.path)
    (folder / "wandb").mkdir(parents=True, exist_ok=True)
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # inherited by the child
    try:
        with (folder / "wandb" / "tracker.log").open("a") as log:  # also for what wandb-core prints
            return subprocess.Popen(
                [sys.executable, "-P", "-m", "study.reporting.recorder", *arguments],
                env={**os.environ, "PYTHONPATH": path},
                pass_fds=[pipe.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _exit_code(process: "subprocess.Popen[bytes]", seconds: float) -> int | None:
    """None while it still runs after `seconds`."""
    with contextlib.suppress(subprocess.TimeoutExpired):
        return process.wait(max(0.0, seconds))
    return None


def _plain(value: Any) -> Any:
    """JSON for what json does not know: numpy's and torch's numbers, paths, dates."""
    return value.tolist() if hasattr(value, "tolist") else str(value)


def _stopped(reason: str) -> str:
    return f"W&B tracking stopped: {reason}; the study goes on without it"


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
