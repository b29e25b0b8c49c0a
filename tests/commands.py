"""`python -m study.tune` as a process of its own: started, waited for, and ended with all that it started."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass
class Command:
    """A study.tune that runs, or has run, in `folder`."""

    process: subprocess.Popen[bytes]
    folder: Path
    began: float
    seconds: float = 0.0

    @property
    def out(self) -> str:
        return (self.folder / "out.txt").read_text()

    @property
    def err(self) -> str:
        return (self.folder / "err.txt").read_text()

    def wait(self, seconds: float = 150) -> int:
        status = self.process.wait(seconds)
        self.seconds = self.seconds or time.perf_counter() - self.began
        return status


def descendants(pid: int) -> set[int]:
    """All processes below `pid`."""
    lines = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True).stdout
    pairs = [tuple(map(int, line.split())) for line in lines.splitlines()]
    found: set[int] = set()
    newest = {pid}
    while newest:
        newest = {child for child, parent in pairs if parent in newest} - found
        found |= newest
    return found


def alive(pids: set[int]) -> set[int]:
    """Those that still run, zombies left out."""
    lines = subprocess.run(["ps", "-A", "-o", "pid=,stat="], capture_output=True, text=True).stdout
    stats = {int(pid): stat for pid, stat in (line.split() for line in lines.splitlines())}
    return {pid for pid in pids if stats.get(pid, "Z")[0] != "Z"}


def workers(pids: set[int]) -> set[int]:
    """Those that run trials."""

    def name(pid: int) -> bytes:
        try:
            return Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            return b""

    return {pid for pid in alive(pids) if b"Trainable" in name(pid) or b"PackWorker" in name(pid)}


def wait_for(condition: Callable[[], object], seconds: float = 100) -> None:
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit
        time.sleep(0.1)


def end_all(pids: set[int]) -> None:
    """End what a killed driver left: Ray's agents notice its death within a minute only."""
    for pid in alive(pids):
        os.kill(pid, signal.SIGKILL)


Start = Callable[..., Command]


def starter(folder: Path) -> Iterator[Start]:
    """Starts `python -m study.tune` in a folder, as the leader of its own process group.

    Its trials stop at the `gate` if one is given (tests/gate).
    """
    started: list[subprocess.Popen[bytes]] = []

    def start(*arguments: str, gate: Path | None = None) -> Command:
        environment = {**os.environ}
        if gate is not None:
            paths = [str(Path(__file__).parent / "gate"), os.environ.get("PYTHONPATH", "")]
            environment |= {"GATE": str(gate), "PYTHONPATH": os.pathsep.join(filter(None, paths))}
        began = time.perf_counter()
        with (folder / "out.txt").open("wb") as out, (folder / "err.txt").open("wb") as err:
            process = subprocess.Popen(
                [sys.executable, "-m", "study.tune", *arguments],
                cwd=folder,
                env=environment,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )
        started.append(process)
        return Command(process, folder, began)

    yield start
    for process in started:
        if process.poll() is None:
            below = descendants(process.pid)
            process.kill()
            process.wait()
            end_all(below)


def wait_until_held(command: Command, trials: int) -> None:
    """Until so many trials have come to the gate, since it was closed."""

    def held() -> bool:
        assert command.process.poll() is None, command.err
        return len(list(command.folder.glob("gate/*.held"))) == trials

    wait_for(held)
