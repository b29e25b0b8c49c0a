"""What the processes of a running study do with the cores, read from /proc (Linux)."""

import json
import os
import subprocess
import time
from collections import Counter
from pathlib import Path

LOOK_SECONDS = 0.25
ENDED = ("DONE", "DIVERGED", "FAILED")
KINDS = {  # by a word of the command line, the first that fits
    "workers": "Trainable",
    "W&B": "wandb",
    "W&B's tracker": "multiprocessing.spawn",
    "Ray": "ray",
}
Times = dict[int, tuple[float, float]]  # by process: seconds on a core, seconds ready but waiting for one


def watch(process: subprocess.Popen[bytes], folder: Path) -> dict[str, object]:
    """Follow a study to its end.

    Returns:
        cpu_seconds: by kind of process, of the whole study.
        full_seconds: how long every slot had a trial in training.
        core_use, core_wait: meanwhile, shares of the slots' time in which their workers were on a core,
            or ready and waiting for one that other processes of this machine, or of the study, held.
    """
    slots = 0
    full_seconds = ran = waited = 0.0
    kinds: dict[int, str] = {}
    cpu: dict[int, float] = {}
    before: Times = {}
    last = time.perf_counter()
    while process.poll() is None:
        time.sleep(LOOK_SECONDS)
        now = time.perf_counter()
        for pid, arguments in _below(process.pid).items():
            kind = next((kind for kind, word in KINDS.items() if word in arguments), "other")
            if kinds.get(pid) != "workers":  # between two tasks it has another name
                kinds[pid] = "driver" if pid == process.pid else kind
        times = {pid: found for pid in kinds if (found := _scheduled(pid)) is not None}
        cpu |= {pid: found[0] for pid, found in times.items()}
        workers = {pid: found for pid, found in times.items() if kinds[pid] == "workers"}
        if not slots and (folder / "study.json").exists():
            slots = json.loads((folder / "study.json").read_text())["plan"]["concurrency"]
        training = [f for f in folder.glob("trials/*/curves.jsonl") if not _ended(f.parent)]
        if slots and len(training) >= slots and before and before.keys() == workers.keys():
            full_seconds += now - last
            ran += sum(workers[pid][0] - before[pid][0] for pid in workers)
            waited += sum(workers[pid][1] - before[pid][1] for pid in workers)
        before, last = workers, now
    seconds: Counter[str] = Counter()
    for pid, value in cpu.items():
        seconds[kinds[pid]] += value  # type: ignore[assignment]
    capacity = max(1e-9, slots * full_seconds)
    return {
        "cpu_seconds": dict(seconds),
        "cores": len(os.sched_getaffinity(0)),
        "full_seconds": full_seconds,
        "core_use": ran / capacity,
        "core_wait": waited / capacity,
    }


def _ended(folder: Path) -> bool:
    return any((folder / marker).exists() for marker in ENDED)


def _below(pid: int) -> dict[int, str]:
    """Command lines of a process and of those below it."""
    lines = subprocess.run(["ps", "-A", "-ww", "-o", "pid=,ppid=,args="], capture_output=True, text=True)
    rows = [line.split(None, 2) for line in lines.stdout.splitlines()]
    found: set[int] = set()
    newest = {pid}
    while newest:
        found |= newest
        newest = {int(row[0]) for row in rows if int(row[1]) in newest} - found
    return {int(row[0]): row[2] for row in rows if int(row[0]) in found and len(row) > 2}


def _scheduled(pid: int) -> tuple[float, float] | None:
    """Of all threads of a process; None when it is gone."""
    ran = waited = 0.0
    try:
        for thread in Path(f"/proc/{pid}/task").iterdir():
            fields = (thread / "schedstat").read_text().split()
            ran, waited = ran + int(fields[0]) / 1e9, waited + int(fields[1]) / 1e9
    except OSError:
        return None
    return ran, waited
