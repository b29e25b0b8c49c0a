"""Holds trials at a gate, in every Python process that finds this folder on its PYTHONPATH.

A trial that a file in the folder GATE is named after stops before its fourth evaluation is written, and
its process with it, until that file is gone. `<name>.held` says that it stands there. Where there is a file
`<name>.deadly` the process then kills itself.
"""

import os
import signal
import sys
import time
from pathlib import Path
from typing import Any


def hold(event: str, arguments: tuple[Any, ...]) -> None:
    """The picture is an evaluation's first file: it is renamed to results/.../<trial>/samples/0003.png."""
    if event != "os.rename" or not str(arguments[1]).endswith("/samples/0003.png"):
        return
    gate = Path(os.environ["GATE"], Path(arguments[1]).parts[-3])
    if gate.exists():
        Path(f"{gate}.held").touch()
    while gate.exists():
        time.sleep(0.02)
    if Path(f"{gate}.deadly").exists():
        os.kill(os.getpid(), signal.SIGKILL)


sys.addaudithook(hold)
