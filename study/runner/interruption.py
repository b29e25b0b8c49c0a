"""What ends a study before its time: Ctrl-C, SIGTERM, a full disk, the loss of Ray.

It is remembered, then acted on between two steps of Ray's loop.
"""

import signal
from types import FrameType

from study.reporting.console import Console
from study.signals import SIGNALS


class Interruption:
    """While entered, the first signal only sets `requested`; a second one raises KeyboardInterrupt.

    Starting Ray must not be cut off (its exit handlers crash then), nor a step of its loop, in which
    files are being written.

    Attributes:
        why: in words, where it is no signal.
    """

    def __init__(self, console: Console) -> None:
        self.requested = False
        self.why = ""
        self._console = console

    def __enter__(self) -> "Interruption":
        self._before = {number: signal.signal(number, self._handle) for number in SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _handle(self, _signal: int, _frame: FrameType | None) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True
        self._console.say("stopping: running trials keep their last checkpoint (again to stop at once) ...")

    def stop(self, why: str) -> None:
        """End the study, for this reason."""
        self.why = self.why or why
        self.requested = True

    def check(self) -> None:
        """Raise KeyboardInterrupt if it was asked for: called where nothing is half done."""
        if self.requested:
            raise KeyboardInterrupt
