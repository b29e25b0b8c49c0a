"""A study's copy in a remote folder: what is in it, and in which order it comes there.

It can be resumed at any moment: a trial's curve comes before its checkpoint and its marker last of all, the
judge before the plan that names it, and the journal after the trials that it tells of.
"""

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from study.records.remote_folder import RemoteFolder
from study.records.study_folder import FOREIGN, JOURNAL_LOCK, StudyFolder
from study.records.travel import CHECKPOINT, ROWS, SAMPLES, Stamp, in_order, is_hidden, stamp_of, stamps
from study.records.trial_folder import MARKERS

TRIALS, PLAN, JOURNAL, JUDGE = "trials", "study.json", "optuna.journal", "judge"


class Snapshot(NamedTuple):
    """A file as it stood at one moment."""

    stamp: Stamp
    content: bytes


class StudyCopy:
    """Sends what has changed. Trials may be sent from several threads, each from one at a time.

    Not copied: what belongs to other programs (Ray's files, W&B's), locks, temporary files.

    Attributes:
        progress: when the last file was sent, by time.monotonic().
    """

    def __init__(self, folder: StudyFolder, remote: RemoteFolder) -> None:
        self._folder, self._remote = folder, remote
        self._there: dict[str, dict[str, int]] | None = None  # sizes by trial, until it is sent
        self._sent: dict[str, dict[str, Stamp]] = {}  # by trial that has not ended; '': the study's own
        self._whole: set[str] = set()  # trials that had ended when they were sent
        self.progress = time.monotonic()

    def take_stock(self) -> None:
        """Look once at what is there already."""
        if self._there is None:
            there: dict[str, dict[str, int]] = {}
            for name, size in self._remote.sizes().items():
                head, _, rest = name.partition("/")
                trial, _, file = rest.partition("/")
                if head == TRIALS and file:
                    there.setdefault(trial, {})[file] = size
            self._there = there

    def journal(self) -> Snapshot | None:
        """It may only be sent after the trials that it tells of: to be read before it is known which."""
        return _read(self._folder.journal)

    def send_plan(self) -> None:
        """What a study can't begin again without: its judge and its plan."""
        plan = _read(self._folder.path / PLAN)
        for name, stamp in stamps(self._folder.judges).items():
            self._send("", f"{JUDGE}/{name}", stamp)
        if plan is not None:
            self._send("", PLAN, plan.stamp, plan)

    def send_own(self, journal: Snapshot | None) -> None:
        """What else is the study's own: tables, and the journal as it stood before its trials were sent."""
        for name, stamp in stamps(self._folder.path, but=(*FOREIGN, TRIALS, JUDGE)).items():
            if name not in (PLAN, JOURNAL, JOURNAL_LOCK):
                self._send("", name, stamp)
        if journal is not None:
            self._send("", JOURNAL, journal.stamp, journal)

    def send_trial(self, trial: str) -> None:
        """A trial as it now is; what isn't in its folder any more goes. Nothing is sent after its marker."""
        if trial in self._whole:
            return
        folder = self._folder.trial(trial)
        before = stamps(folder.path)
        sent = self._sent_of(trial, before)
        # It may be trained meanwhile. A marker counts if it was there before all else was read, and the
        # checkpoint is read before the curve, which it must not be ahead of.
        markers = before.keys() & MARKERS.values()
        checkpoint = None
        if CHECKPOINT in before and before[CHECKPOINT] != sent.get(CHECKPOINT):
            checkpoint = _read(folder.checkpoint)
        files = stamps(folder.path)
        for gone in sorted(sent.keys() - files.keys()):
            self._remote.delete(f"{TRIALS}/{trial}/{gone}")
            del sent[gone]
        for name in in_order(files, began_again=_size(files, ROWS) < _size(sent, ROWS)):
            if name == CHECKPOINT and checkpoint is not None:
                self._send(trial, name, checkpoint.stamp, checkpoint)
            elif name in markers or name not in (CHECKPOINT, *MARKERS.values()):
                self._send(trial, name, files[name])
        if markers:
            self._whole.add(trial)
            del self._sent[trial]

    def _sent_of(self, trial: str, files: dict[str, Stamp]) -> dict[str, Stamp]:
        """What of a trial was sent. Of what an earlier process sent only sizes are known.

        Where the marker is there, all that came before it is. Else what is written once is.
        """
        if trial not in self._sent:
            assert self._there is not None
            there = self._there.pop(trial, {})
            complete = any(there[name] == _size(files, name) for name in there if name in MARKERS.values())
            self._sent[trial] = {
                name: files[name]
                if _size(files, name) == size and (complete or name.startswith(SAMPLES))
                else Stamp(size, 0)
                for name, size in there.items()
                if not is_hidden(name)
            }
        return self._sent[trial]

    def _send(self, trial: str, name: str, stamp: Stamp, snapshot: Snapshot | None = None) -> None:
        """Send a file if it has changed: as the snapshot has it, or as it now is, if it is still there."""
        sent = self._sent.setdefault(trial, {})
        if sent.get(name) == stamp:
            return
        place = f"{TRIALS}/{trial}/{name}" if trial else name
        found = snapshot or _read(self._folder.path / place)
        if found is not None:
            self._remote.write(place, found.content)
            sent[name] = found.stamp
            self.progress = time.monotonic()


def _read(path: Path) -> Snapshot | None:
    """None where it is not there (any more)."""
    try:
        with path.open("rb") as file:
            stamp = stamp_of(os.fstat(file.fileno()))
            return Snapshot(stamp, file.read())
    except FileNotFoundError:
        return None


def _size(files: Mapping[str, Stamp], name: str) -> int:
    """-1 where there is no such file."""
    return files[name].size if name in files else -1
