"""One Weights & Biases run per trial, kept by a process of its own.

The driver only puts messages in a queue, so a stuck network, a slow upload or a fault in wandb
cannot hold it up, and `Tracker.close` ends everything in a bounded time.
"""

import atexit
import contextlib
import hashlib
import json
import multiprocessing
import os
import queue
import signal
import sys
import threading
import time
import traceback
import types
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

MODES = ("auto", "online", "offline", "disabled")

QUEUE_MESSAGES = 5_000  # about 1 kB each
ORPHAN_SECONDS = 5.0  # how long the child outlives a driver that never closed it
QUIET: dict[str, Any] = {  # nothing on the console, no probes of git, code and hardware
    "silent": True,
    "console": "off",
    "disable_git": True,
    "disable_code": True,
    "save_code": False,
    "symlink": False,
    "x_disable_stats": True,
    "x_disable_meta": True,
    "x_disable_machine_info": True,
    "x_save_requirements": False,
    "init_timeout": 20.0,  # seconds; a server silent for longer is taken for unreachable
}


class Tracker:
    """The driver's side. No call waits for W&B or raises its faults; use it from one thread.

    After a fault one line on stderr says so, and every method does nothing from then on.
    """

    def __init__(self, mode: str, folder: Path, project: str, group: str) -> None:
        """Start the child, which writes to `folder`/wandb, and return without waiting for it.

        "auto" is online where a W&B login is found and offline elsewhere, unless WANDB_MODE says
        otherwise. Raises ValueError for a mode outside `MODES`.
        """
        if mode not in MODES:
            raise ValueError(f"W&B mode is {mode!r}; choose one of {', '.join(MODES)}")
        self._process: Any = None  # the child, while there is one
        self._dropped = 0
        if mode == "disabled" or (mode == "auto" and os.environ.get("WANDB_MODE") == "disabled"):
            return
        spawn = multiprocessing.get_context("spawn")
        self._pipe, childs_end = spawn.Pipe()
        arguments = (childs_end, mode, folder.resolve(), project, group)
        process = spawn.Process(target=_serve, args=arguments, name="wandb", daemon=True)
        try:
            with _bare_start():
                process.start()
        except OSError as error:
            _say(_stopped(f"no process for it ({error})"))
            return
        finally:
            childs_end.close()  # so that the child's death reads as the end of the pipe
        self._process, self._open = process, True
        self._outbox: queue.Queue[bytes] = queue.Queue(QUEUE_MESSAGES)
        threading.Thread(target=self._feed, name="wandb-feed", daemon=True).start()
        atexit.register(self.close)  # offline, wandb writes a run's last rows when it ends

    def start(self, run: str, config: dict[str, object], tags: Sequence[str] = ()) -> None:
        """Open the W&B run called `run`; one of that name still open is ended as failed."""
        self._send("start", run, config, list(tags))

    def log(self, run: str, values: dict[str, float], step: int, image: Path | None = None) -> None:
        """Add a row to the history of `run`; steps may not fall, rows of one step are merged.

        None and NaN are left out. `image` is a PNG, read later by the child if it is there, and
        shown as "samples". Once "kimg" is among the values, it is the x-axis of the run.
        """
        kept = {key: value for key, value in values.items() if value is not None and value == value}
        if kept or image:
            self._send("log", run, kept, step, str(image.resolve()) if image else None)

    def finish(self, run: str, summary: dict[str, object], failed: bool = False) -> None:
        """End `run` with its summary, marked as failed if `failed`."""
        self._send("finish", run, summary, failed)

    def close(self, timeout_seconds: float = 10.0) -> None:
        """Give open work at most `timeout_seconds` to drain, then kill it; idempotent.

        Runs still open are ended as failed, with what they have.
        """
        if self._process is None:
            return
        atexit.unregister(self.close)
        limit = time.monotonic() + 0.9 * timeout_seconds  # the last tenth is for the kill
        try:
            patience = 0.9 * timeout_seconds if self._listen() else 0.0
            with contextlib.suppress(queue.Full):  # then the child is stuck, and killed below
                self._outbox.put(json.dumps(["close", timeout_seconds]).encode(), timeout=patience)
            self._process.join(max(0.0, limit - time.monotonic()))
            if self._process.is_alive():
                _say(f"W&B tracking was cut off, not done after {timeout_seconds:g} s.")
            else:
                self._listen()
        finally:  # also when a second Ctrl-C cuts the wait short
            self._process.kill()  # wandb-core sees its parent die, and goes too
            self._process.join(0.1 * timeout_seconds)
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
        try:
            while self._open and self._pipe.poll():
                line, self._open = json.loads(self._pipe.recv_bytes())
                _say(line)
        except (EOFError, OSError):
            self._open = False
            self._process.join(1.0)  # it has died: this only collects the exit code
            if self._process.exitcode != 0:
                _say(_stopped(f"its process ended with code {self._process.exitcode}"))
        return self._open


class _Recorder:
    """The child's side: the open runs, and those whose end is still being written or uploaded."""

    def __init__(
        self, mode: str, folder: Path, project: str, group: str, report: Callable[[str], None]
    ) -> None:
        import wandb

        forced: dict[str, Any] = {} if mode == "auto" else {"mode": mode}
        wandb.setup(settings=wandb.Settings(**QUIET, **forced))
        self.wandb, self.report = wandb, report
        self.folder, self.project, self.group = folder, project, group
        self.mode = self._available(mode)
        self.runs: dict[str, Any] = {}
        self.with_kimg: set[str] = set()
        self.ending: dict[str, Future[None]] = {}
        self.pool = ThreadPoolExecutor(16)  # uploads of trials that end together overlap

    def _available(self, asked: str) -> str:
        """The mode that is possible here; asks for no password and writes none."""
        configured = self.wandb.setup().settings.mode  # from WANDB_MODE or the user's settings
        if configured in ("offline", "dryrun", "disabled"):
            return configured
        try:
            if self.wandb.login(prompt=False, verify=False):
                return "online"
            if asked == "online":
                self.report("W&B has no login here; the runs are kept offline.")
        except self.wandb.Error as error:
            self.report(f"W&B has no valid login here ({error}); the runs are kept offline.")
        return "offline"

    def start(self, name: str, config: dict[str, Any], tags: list[str]) -> None:
        self.finish(name, {}, failed=True)
        if name in self.ending:  # two live runs cannot share an id
            self.ending.pop(name).result()
        self.with_kimg.discard(name)
        try:
            self.runs[name] = self._init(name, config, tags)
        except self.wandb.Error as error:
            if self.mode != "online":
                raise
            self.report(f"W&B cannot be reached ({_short(error)}); runs are kept offline from now.")
            self.mode = "offline"
            self.runs[name] = self._init(name, config, tags)

    def _init(self, name: str, config: dict[str, Any], tags: list[str]) -> Any:
        options: dict[str, Any] = {"mode": self.mode}
        if "WANDB_SWEEP_ID" not in os.environ:  # else the sweep's agent has named all three
            options |= {"project": self.project, "id": uuid.uuid4().hex[:16]}
            if self.mode == "online":  # an offline run cannot be continued: it gets a new id
                options |= {"id": self._lasting_id(name), "resume": "allow"}
        return self.wandb.init(
            dir=self.folder,
            name=name,
            group=self.group,
            config=config,
            tags=tags or None,
            reinit="create_new",
            **options,
        )

    def _lasting_id(self, name: str) -> str:
        """The same id whenever this study folder is resumed; a new one in a new folder."""
        path = self.folder / "wandb" / "study-id"
        if not path.exists():
            path.write_text(uuid.uuid4().hex)
        return hashlib.sha256(f"{path.read_text()}/{self.group}/{name}".encode()).hexdigest()[:16]

    def log(self, name: str, values: dict[str, float], step: int, image: str | None) -> None:
        run = self.runs.get(name)
        if run is None:  # it has ended, or its start was among the dropped messages
            return
        if "kimg" in values and name not in self.with_kimg:
            self.with_kimg.add(name)
            run.define_metric("kimg")
            run.define_metric("*", step_metric="kimg")
        samples = {"samples": self.wandb.Image(image)} if image and Path(image).is_file() else {}
        run.log({**values, **samples}, step=step)

    def finish(self, name: str, summary: dict[str, Any], failed: bool) -> None:
        for done in [other for other, future in self.ending.items() if future.done()]:
            self.ending.pop(done).result()  # raises what went wrong in that thread
        run = self.runs.pop(name, None)
        if run is not None:
            run.summary.update(summary)
            self.ending[name] = self.pool.submit(run.finish, exit_code=int(failed))

    def close(self) -> None:
        for name in list(self.runs):
            self.finish(name, {}, failed=True)
        for future in self.ending.values():
            future.result()


def _serve(pipe: Connection, mode: str, folder: Path, project: str, group: str) -> None:
    """The child: record until told to close, or until the driver is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the driver's, which then closes us
    # So is a SIGTERM to the whole group; but a driver that exits without closing sends one too.
    signal.signal(signal.SIGTERM, lambda *_: _exit_after(ORPHAN_SECONDS))
    os.environ.pop("WANDB_SERVICE", None)  # a wandb-core of our own, that ends with us
    os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
    sys.modules["pandas"] = None  # type: ignore[assignment]  # half a second, to log one image

    def report(line: str, goes_on: bool = True) -> None:
        pipe.send_bytes(json.dumps([line, goes_on]).encode())

    try:
        (folder / "wandb").mkdir(parents=True, exist_ok=True)
        _redirect_console(folder / "wandb" / "tracker.log")
        recorder = _Recorder(mode, folder, project, group, report)
        actions: dict[str, Callable[..., None]] = {
            "start": recorder.start,
            "log": recorder.log,
            "finish": recorder.finish,
        }
        while True:
            try:
                kind, *rest = json.loads(pipe.recv_bytes())
            except (EOFError, ConnectionResetError):
                kind, rest = "close", [ORPHAN_SECONDS]
            if kind == "close":
                _exit_after(*rest)
                recorder.close()
                break
            actions[kind](*rest)
    except Exception as error:
        traceback.print_exc()  # to tracker.log
        _exit_after(ORPHAN_SECONDS)
        with contextlib.suppress(OSError):  # nobody is left to tell
            report(_stopped(_short(error)), goes_on=False)
    if "wandb" in sys.modules:
        sys.modules["wandb"].teardown()  # not done at exit in a process of multiprocessing's


def _redirect_console(log: Path) -> None:
    """Turn the real stdin, stdout and stderr away from the terminal, for wandb-core as well."""
    with Path(os.devnull).open() as nothing, log.open("a") as file:
        for source, target in ((nothing, 0), (file, 1), (file, 2)):
            os.dup2(source.fileno(), target)


def _exit_after(seconds: float) -> None:
    timer = threading.Timer(seconds, os._exit, (1,))
    timer.daemon = True
    timer.start()


@contextlib.contextmanager
def _bare_start() -> Iterator[None]:
    """Start a child that neither imports the driver's main script nor dies of an early Ctrl-C.

    Spawned processes import that script: with Ray and torch, seconds of CPU for nothing.
    """
    resource_tracker.ensure_running()  # when it starts with the child, it lifts the mask below
    main = sys.modules["__main__"]
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # inherited by the child
    sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def _plain(value: Any) -> Any:
    """JSON for what json does not know: numpy's and torch's numbers, paths, dates."""
    return value.tolist() if hasattr(value, "tolist") else str(value)


def _short(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:300]


def _stopped(reason: str) -> str:
    return f"W&B tracking stopped: {reason}; the study goes on without it"


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
