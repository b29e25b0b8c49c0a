"""A running study's mirror: its copy in a remote folder, kept up to date by a thread of its own.

The study neither waits for it nor fails because of it, and its folder is the truth.
"""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from study.records.remote_folder import RemoteFolder, reason
from study.records.study_copy import StudyCopy
from study.records.study_folder import StudyFolder

AT_A_TIME = 8  # trials
PAUSES = (1.0, 60.0)  # seconds between two attempts: at first, at most
PATIENCE = 60.0  # seconds without progress that a study which has ended waits for its mirror
PATIENCE_INTERRUPTED = 10.0
QUIET_SECONDS = 2.0  # of waiting, before it is said what for
REASON_LETTERS = 66
FAILURES_TO_TELL = 2  # in a row: one alone is nothing special


class NoMirror:
    """That of a study which has none."""

    def trial(self, name: str) -> None: ...

    def study(self) -> None: ...

    def close(self, patience: float) -> None: ...


class Mirror:
    """Copies first what is not there yet, then what it is told of.

    Only names wait: what is copied is the newest.
    """

    def __init__(self, url: str, folder: StudyFolder, say: Callable[[str], None]) -> None:
        self._copy = StudyCopy(folder, RemoteFolder(url))
        self._say = say
        self._trials = set(folder.trial_ids())
        self._study = True
        self._under_way: set[str] | None = None
        self._closing = self._closed = False
        self._failures, self._error = 0, ""
        self._changed = threading.Condition()
        say(f"mirror: {url} gets each trial's evaluations, and the study's own files with its tables")
        threading.Thread(target=self._work, name="mirror", daemon=True).start()

    def trial(self, name: str) -> None:
        """A trial was evaluated, or has ended: to be called before the journal hears of it."""
        with self._changed:
            self._trials.add(name)
            self._changed.notify_all()

    def study(self) -> None:
        """The tables were written."""
        with self._changed:
            self._study = True
            self._changed.notify_all()

    def close(self, patience: float) -> None:
        """Wait until all is there, or nothing was copied for `patience` seconds, or Ctrl-C."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
            try:
                if not self._wait_until_complete(min(QUIET_SECONDS, patience)):
                    self._say("mirror: waiting for the last files to be there (Ctrl-C: not to wait) ...")
                    self._wait_until_complete(patience)
            except KeyboardInterrupt:
                pass
            self._closed = True
            self._changed.notify_all()
            number, complete = len(self._trials | (self._under_way or set())), not self._waits()
        if complete:
            self._say("mirror: complete")
        else:
            why = f" ({self._error})" if self._error else ""
            rest = f"{number} trial{'' if number == 1 else 's'}" if number else "the study's own files"
            self._say(f"mirror: not complete{why}: --resume sends the rest, of {rest}")

    def _waits(self) -> bool:
        return bool(self._trials) or self._study or self._under_way is not None

    def _wait_until_complete(self, patience: float) -> bool:
        """Returns whether it is. The lock is held."""
        began = time.monotonic()
        while self._waits():
            left = max(began, self._copy.progress) + patience - time.monotonic()
            if left <= 0:
                return False
            self._changed.wait(min(left, 1.0))
        return True

    def _work(self) -> None:
        pause = PAUSES[0]
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._trials or self._study or self._closed)
                if self._closed:
                    return
                study, self._study = self._study, False
                self._under_way = set()
            failed, error = self._send(study=study)
            with self._changed:
                self._trials |= failed
                self._study |= study and error is not None
                self._under_way = None
                self._changed.notify_all()
            self._tell(error)
            pause = PAUSES[0] if error is None else self._pause(pause)

    def _take(self) -> set[str]:
        """The trials that have news."""
        with self._changed:
            self._under_way, self._trials = self._trials, set()
            return self._under_way

    def _send(self, *, study: bool) -> tuple[set[str], Exception | None]:
        """The trials that could not be sent, and what went wrong."""
        trials = set[str]()
        try:
            # Before it is known which trials have news: then it tells of no end that is not copied.
            journal = self._copy.journal() if study else None
            trials = self._take()
            self._copy.take_stock()
            self._copy.send_plan()
            with ThreadPoolExecutor(AT_A_TIME) as pool:
                errors = dict(zip(trials, pool.map(self._send_trial, trials), strict=True))
        except Exception as error:
            return trials, error
        failed = {name for name, error in errors.items() if error is not None}
        try:
            if study:
                self._copy.send_own(None if failed else journal)
        except Exception as error:
            return failed, error
        return failed, next((error for error in errors.values() if error is not None), None)

    def _send_trial(self, name: str) -> Exception | None:
        """What went wrong."""
        try:
            if self._closed:
                raise InterruptedError("the study has ended")
            self._copy.send_trial(name)
        except Exception as error:  # each file system has its own
            return error
        return None

    def _pause(self, seconds: float) -> float:
        """Wait so long, or until the study ends; returns how long to wait the next time."""
        with self._changed:
            closing = self._closing
            self._changed.wait_for(lambda: self._closed or self._closing != closing, seconds)
            return PAUSES[0] if self._closing != closing else min(2 * seconds, PAUSES[1])

    def _tell(self, error: Exception | None) -> None:
        """Say once that there is a problem, and once that it is over."""
        if self._closed:
            return
        known = self._failures >= FAILURES_TO_TELL
        self._failures = 0 if error is None else self._failures + 1
        self._error = "" if error is None else reason(error, REASON_LETTERS)
        if error is None and known:
            self._say("mirror: has caught up")
        elif self._failures == FAILURES_TO_TELL:
            self._say(f"mirror: can't be written ({self._error}); the study goes on, and it is tried again")
