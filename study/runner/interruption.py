"""Ctrl-C in a running study: remembered, then acted on between two steps of Ray's loop."""

import signal
from types import FrameType

from study.console import Console


class Interruption:
    """While entered, the first SIGINT only sets `requested`; a second one raises KeyboardInterrupt.

    Starting Ray must not be cut off (its exit handlers crash then), nor a step of its loop, in which
    files are being written.
    """

    def __init__(self, console: Console) -> None:
        self.requested = False
        self._console = console

    def __enter__(self) -> "Interruption":
        self._before = signal.signal(signal.SIGINT, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        signal.signal(signal.SIGINT, self._before)

    def _handle(self, _signal: int, _frame: FrameType | None) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True
        self._console.say("stopping: running trials keep their last checkpoint (again to stop at once) ...")

    def check(self) -> None:
        """Raise KeyboardInterrupt if it was asked for: called where nothing is half done."""
        if self.requested:
            raise KeyboardInterrupt
