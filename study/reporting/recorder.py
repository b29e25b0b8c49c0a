"""The process that talks to W&B for study.reporting.tracking; nothing else imports wandb.

python -m study.reporting.recorder PIPE MODE FOLDER PROJECT GROUP, with PIPE an inherited descriptor
"""

import contextlib
import hashlib
import json
import os
import signal
import sys
import threading
import traceback
import uuid
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from study.machine.files import read_json, write_json

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
TAGS = ("space", "dataset")  # of a run's config; its state is one, too, when it has ended
TAG_LENGTH = 64  # W&B's limit
EXIT_CODES = {"failed": 1, "interrupted": 255}  # as wandb's own hooks have it after a fault, and a Ctrl-C


class Recorder:
    """The open runs, and those whose end is still being written or uploaded."""

    def __init__(
        self, mode: str, folder: Path, project: str, group: str, report: Callable[[str], None]
    ) -> None:
        import wandb

        forced: dict[str, Any] = {} if mode == "auto" else {"mode": mode}
        wandb.setup(settings=wandb.Settings(**QUIET, **forced))
        self.wandb, self.report = wandb, report
        self.folder, self.project, self.group = folder, project, group
        self.mode = self._available(mode)
        self.under_agent = "WANDB_SWEEP_ID" in os.environ  # a sweep's, which has named project and run
        self.sweeps = folder / "wandb" / "sweeps.json"
        self.sweep_ids: dict[str, str] = read_json(self.sweeps) if self.sweeps.exists() else {}
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

    def make_sweeps(self, sweeps: dict[str, dict[str, Any]]) -> None:
        """Those that this study doesn't have yet; a server that refuses one is asked for no other."""
        for space, sweep in sweeps.items():
            if self.mode != "online" or self.under_agent or space in self.sweep_ids:
                continue
            try:
                self.sweep_ids[space] = self.wandb.sweep(sweep, project=self.project)
            except Exception as error:  # of wandb's, of requests', of whatever a server may say
                self.report(f"W&B makes no sweep ({_short(error)}); the runs belong to none.")
                return
            write_json(self.sweeps, self.sweep_ids)

    def start(self, name: str, config: dict[str, Any]) -> None:
        self.finish(name, "interrupted", {})
        if name in self.ending:  # two live runs cannot share an id
            self.ending.pop(name).result()
        self.with_kimg.discard(name)
        while name not in self.runs:
            try:
                self.runs[name] = self._init(name, config)
            except self.wandb.Error as error:
                self._ask_for_less(error)

    def _ask_for_less(self, error: Exception) -> None:
        """After a run was refused: no sweep, which may have been deleted, and then no server."""
        if self.mode != "online":
            raise error
        if self.sweep_ids:
            self.sweep_ids = {}
            self.report(f"W&B takes no run of the study's sweeps ({_short(error)}); the runs belong to none.")
        else:
            self.mode = "offline"
            self.report(f"W&B cannot be reached ({_short(error)}); runs are kept offline from now.")

    def _init(self, name: str, config: dict[str, Any]) -> Any:
        options: dict[str, Any] = {"mode": self.mode}
        if not self.under_agent:
            sweep_id = self.sweep_ids.get(config.get("space", ""))
            options |= {"settings": self.wandb.Settings(sweep_id=sweep_id)} if sweep_id else {}
            options |= {"project": self.project, "id": uuid.uuid4().hex[:16]}
            if self.mode == "online":  # an offline run cannot be continued: it gets a new id
                options |= {"id": self._lasting_id(name), "resume": "allow"}
        return self.wandb.init(
            dir=self.folder,
            name=name,
            group=self.group,
            job_type="trial",
            config=config,
            tags=_tags(config),
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

    def finish(self, name: str, state: str, summary: dict[str, Any]) -> None:
        for done in [other for other, future in self.ending.items() if future.done()]:
            self.ending.pop(done).result()  # raises what went wrong in that thread
        run = self.runs.pop(name, None)
        if run is not None:
            told = {key: value for key, value in summary.items() if key not in run.config}
            run.summary.update({**told, "state": state})
            run.tags = [*_tags(run.config), state]
            self.ending[name] = self.pool.submit(run.finish, exit_code=EXIT_CODES.get(state, 0))

    def close(self) -> None:
        for name in list(self.runs):
            self.finish(name, "interrupted", {})
        for future in self.ending.values():
            future.result()


def main(descriptor: str, mode: str, folder: str, project: str, group: str) -> None:
    """Record until told to close, or until the driver is gone."""
    # Ctrl-C and a SIGTERM to the whole group are the driver's business, which then closes us.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    os.environ.pop("WANDB_SERVICE", None)  # a wandb-core of our own, that ends with us
    os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
    sys.modules["pandas"] = None  # type: ignore[assignment]  # half a second, to log one image
    pipe: Connection[Any, Any] = Connection(int(descriptor))

    def report(line: str, goes_on: bool = True) -> None:
        pipe.send_bytes(json.dumps([line, goes_on]).encode())

    try:
        recorder = Recorder(mode, Path(folder), project, group, report)
        actions: dict[str, Callable[..., None]] = {
            "make_sweeps": recorder.make_sweeps,
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
                return
            actions[kind](*rest)
    except Exception as error:
        traceback.print_exc()
        _exit_after(ORPHAN_SECONDS)
        with contextlib.suppress(OSError):  # nobody is left to tell
            report(_short(error), goes_on=False)


def _exit_after(seconds: float) -> None:
    timer = threading.Timer(seconds, os._exit, (1,))
    timer.daemon = True
    timer.start()


def _tags(config: Any) -> list[str]:
    return [config[key][:TAG_LENGTH] for key in TAGS if key in config]


def _short(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:300]


if __name__ == "__main__":
    main(*sys.argv[1:])
