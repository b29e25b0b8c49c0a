"""Where a node trains a study's trials: in the study's folder, or in one of its own that travels.

The driver's folder is the truth. A node that does not have it (there is no file system that both share)
fetches a trial's folder when it begins or goes on with the trial, and what an evaluation adds is sent back
before the evaluation is reported: a trial that moves to another node is there whole.
"""

import os
import shutil
import socket
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray

from study.errors import StoppedError
from study.machine.files import full_disk, is_full, write_whole
from study.records.study_folder import HERE, StudyFolder
from study.records.travel import SAMPLES, Stamp, in_order, stamps
from study.records.trial_folder import MARKERS, TrialFolder

SCRATCH = "GAN_STUDY_SCRATCH"  # a node's folder to train in, instead of the study's, shared or not

Files = dict[str, bytes]  # by path below a folder


@dataclass(frozen=True)
class Home:
    """A study's folder, as every process that trains is told.

    Attributes:
        path: absolute, on the driver's machine.
        marker: what the file HERE in it holds; '' where all processes are on that machine.
        keeper: of a cluster's, the actor that is a `Keeper`.
    """

    path: str
    marker: str = ""
    keeper: Any = None

    def is_here(self) -> bool:
        """Whether this node has the folder."""
        if not self.marker:
            return True
        try:
            return SCRATCH not in os.environ and Path(self.path, HERE).read_text() == self.marker
        except OSError:
            return False


class Keeper:
    """A Ray actor on the driver's machine: reads and writes the study's folder for nodes that can't.

    What writes raises StoppedError where there is no space left.
    """

    def __init__(self, study: str) -> None:
        self._study = StudyFolder(Path(study))

    def judge(self) -> Files:
        return _read(self._study.judges)

    def keep_judge(self, files: Files) -> None:
        with self._stopped_when_full():
            _write(self._study.judges, files)

    def give(self, trial_id: str) -> tuple[str, Files]:
        """A trial's claim (see `TrialFolder.claim`), and what it goes on from."""
        folder = self._study.trial(trial_id)
        with self._stopped_when_full():
            claim = folder.claim()
        return claim, {n: file for n, file in _read(folder.path).items() if not n.startswith(SAMPLES)}

    def keep(self, trial_id: str, claim: str, files: Files) -> None:
        """Raises GivenAwayError: the trial has been given to another process since."""
        folder = self._study.trial(trial_id)
        markers = {name: files[name] for name in files if name in MARKERS.values()}
        for part in ({name: files[name] for name in files.keys() - markers}, markers):
            folder.check_claim(claim)  # and once more before the last: a checkpoint takes a while
            with self._stopped_when_full():
                _write(folder.path, part)

    @contextmanager
    def _stopped_when_full(self) -> Iterator[None]:
        """Said here, where it is known whose disk it is; and of an OSError's number nothing travels."""
        try:
            yield
        except OSError as error:
            if is_full(error):
                raise StoppedError(full_disk(self._study.path)) from error
            raise


def mark(folder: StudyFolder) -> str:
    """Mark a study's folder, for nodes to find out whether they have it: a `Home`'s marker."""
    marker = uuid.uuid4().hex
    write_whole(folder.path / HERE, lambda path: _write_bytes(path, marker.encode()))
    return marker


class Workplace:
    """Where this process trains trials.

    Attributes:
        root: the study's folder, or this process's own.
    """

    def __init__(self, home: Home) -> None:
        self._keeper: Any = None
        self.root = Path(home.path)
        if not home.is_here():
            self._keeper = home.keeper
            self.root = _scratch()
        self._claims: dict[str, str] = {}
        self._known: dict[str, dict[str, Stamp]] = {}

    def folder(self, trial_id: str) -> TrialFolder:
        return TrialFolder(self.root / "trials" / trial_id)

    def begin(self, trial_id: str) -> TrialFolder:
        """The folder of a trial that begins, or goes on, here."""
        folder = self.folder(trial_id)
        if self._keeper is not None:
            self.leave(trial_id)
            self.fetch_judge()
            self._claims[trial_id], files = ray.get(self._keeper.give.remote(trial_id))
            _write(folder.path, files)
            self._known[trial_id] = stamps(folder.path)
        return folder

    def send(self, trial_id: str) -> None:
        """Return when the driver's machine has what is new of a trial. Raises GivenAwayError."""
        if self._keeper is None:
            return
        path, known = self.folder(trial_id).path, self._known.setdefault(trial_id, {})
        now = stamps(path)
        new = {name: (path / name).read_bytes() for name, stamp in now.items() if known.get(name) != stamp}
        ray.get(self._keeper.keep.remote(trial_id, self._claims.get(trial_id, ""), new))
        self._known[trial_id] = now

    def fetch_judge(self) -> None:
        judges = StudyFolder(self.root).judges
        if self._keeper is not None and not judges.exists():
            _write(judges, ray.get(self._keeper.judge.remote()))

    def send_judge(self) -> None:
        if self._keeper is not None:
            ray.get(self._keeper.keep_judge.remote(_read(StudyFolder(self.root).judges)))

    def leave(self, trial_id: str) -> None:
        """Forget a trial that has ended, or goes on elsewhere."""
        if self._keeper is not None:
            shutil.rmtree(self.folder(trial_id).path, ignore_errors=True)
            self._known.pop(trial_id, None)
            self._claims.pop(trial_id, None)


def _scratch() -> Path:
    """A new folder for this process; what processes that have died left behind goes."""
    user = os.getuid()
    machine = f"gan-study-{socket.gethostname()}-{user}"  # others may see the same file system
    above = Path(os.environ.get(SCRATCH) or tempfile.gettempdir()) / machine
    above.mkdir(parents=True, exist_ok=True, mode=0o700)
    if above.is_symlink() or above.stat().st_uid != user:  # what a link leads to would be emptied
        raise PermissionError(f"{above} belongs to somebody else")
    for other in above.iterdir():
        if not _is_running(other.name.partition("-")[0]):
            shutil.rmtree(other, ignore_errors=True)
    return Path(tempfile.mkdtemp(prefix=f"{os.getpid()}-", dir=above))


def _is_running(process: str) -> bool:
    """Whether there is a process of this number; /proc would tell on Linux alone."""
    try:
        os.kill(int(process), 0)
    except PermissionError:  # somebody else's
        return True
    except (ValueError, OverflowError, ProcessLookupError):
        return False
    return True


def _read(folder: Path) -> Files:
    return {name: (folder / name).read_bytes() for name in stamps(folder)}


def _write(folder: Path, files: Files) -> None:
    for name in in_order(files):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        content = files[name]
        write_whole(path, lambda temporary, content=content: _write_bytes(temporary, content))  # type: ignore[misc]


def _write_bytes(path: Path, content: bytes) -> None:
    path.write_bytes(content)
