"""SIGTERM and Ctrl-C, which end a command alike: a cluster's polite kill keeps what was done.

Importing this takes no time: it is the first thing that a command imports.
"""

import os
import signal
from typing import NoReturn

INTERRUPTED = 130  # the exit status
SIGNALS = (signal.SIGINT, signal.SIGTERM)


def end_at_once() -> None:
    """Let them end the process: for the moment in which a command is imported, and has nothing to lose."""

    def end(*_: object) -> NoReturn:
        os.write(2, b"interrupted\n")
        os._exit(INTERRUPTED)

    for number in SIGNALS:
        signal.signal(number, end)


def raise_interrupt() -> None:
    """Let them raise KeyboardInterrupt."""
    for number in SIGNALS:
        signal.signal(number, signal.default_int_handler)
