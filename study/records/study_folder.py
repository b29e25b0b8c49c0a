"""A study on disk: results/<study>/ with study.json, the journal, the tables and the trials."""

import fcntl
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from filelock import FileLock, Timeout

from study.errors import UserError, shown
from study.machine.clock import now
from study.machine.files import read_json, write_json
from study.machine.typed import misfit
from study.metrics.judge.floor import check_floors
from study.plan import StudyPlan
from study.records.record import Record
from study.records.schema import TABLES, VERSION
from study.records.trial_folder import TRIAL_FILES, TRIAL_FOLDERS, TrialFolder

PACKAGES = (
    "torch",
    "torchvision",
    "ray",
    "optuna",
    "wandb",
    "numpy",
    "pandas",
    "scipy",
    "scikit-learn",
    "POT",
)

WORDS = "ray.log"  # what Ray's libraries say
HERE = ".here"  # by which nodes find out whether they have the folder
FILES = {"study.json", "optuna.journal", WORDS, HERE, *(f"{table}.parquet" for table in TABLES), *TRIAL_FILES}
FOLDERS = {"trials", "judge", *TRIAL_FOLDERS}
FOREIGN = ("wandb", ".ray")  # folders whose content is other programs' business
LOOK_SECONDS = 0.5  # far longer than whoever looks whether a study is running shares its lock


# A link that Optuna makes, and a kill may leave: whoever has the study's own lock takes it away.
JOURNAL_LOCK = "optuna.journal.lock"


class OtherVersionError(UserError):
    """A study whose tables mean other things than those of this program."""


class StudyFolder:
    """Paths of a study and its one lock: a study has one driver at a time."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.journal = path / "optuna.journal"
        self.ray = path / ".ray"
        self.words = path / WORDS
        self.judges = path / "judge"
        self._lock = path / ".lock"

    @property
    def name(self) -> str:
        return self.path.resolve().name

    def trial(self, trial_id: str) -> TrialFolder:
        return TrialFolder(self.path / "trials" / trial_id)

    def trials(self) -> Iterator[tuple[str, TrialFolder]]:
        """Every trial's id and folder, in order of id."""
        for trial_id in self.trial_ids():
            yield trial_id, self.trial(trial_id)

    def trial_ids(self) -> list[str]:
        """In order; a matter of milliseconds with thousands of them."""
        try:
            with os.scandir(self.path / "trials") as entries:
                return sorted(entry.name for entry in entries if entry.is_dir())
        except (FileNotFoundError, NotADirectoryError):
            return []

    def check_own(self) -> None:
        """Raise UserError for a link, a pipe or the like in it, and for a folder in a file's place, say.

        What a study writes goes to no other place.
        """
        check_own(self.path)
        check_floors(self.judges)

    def can_go_on(self) -> bool:
        """Whether it has its trials' folders, without which its tables are all that there is of it."""
        return bool(self.trial_ids()) or not self.has_rows()

    def has_rows(self) -> bool:
        """Whether its tables hold a trial."""
        path = self.path / "trials.parquet"
        try:
            return path.is_file() and pq.read_metadata(path).num_rows > 0
        except (OSError, ValueError):
            return False  # damaged: nothing is lost

    def create(self, plan: StudyPlan, command: list[str], hardware: dict[str, Any]) -> None:
        """Make the folder with its study.json.

        Raises:
            UserError: the folder exists already or can't be written.
        """
        record = self._record(plan, command, hardware)
        try:
            self.path.mkdir(parents=True)
        except FileExistsError as error:
            raise UserError(
                f"{self.path} exists already; continue it with --resume {self.path}, or choose another --name"
            ) from error
        except OSError as error:
            raise UserError(f"{self.path} can't be written: {error.strerror}") from error
        try:
            (self.path / "trials").mkdir()
            write_json(self.path / "study.json", record)
        except OSError as error:
            shutil.rmtree(self.path, ignore_errors=True)  # half a study would be in the next one's way
            raise UserError(f"{self.path} can't be written: {error.strerror}") from error

    @staticmethod
    def _record(plan: StudyPlan, command: list[str], hardware: dict[str, Any]) -> dict[str, Any]:
        try:
            directory = str(Path.cwd())
        except FileNotFoundError as error:
            raise UserError("the folder that this was started in is gone") from error
        return {
            "command": command,
            "directory": directory,
            "plan": plan.to_dict(),
            "tables": VERSION,
            "started": now(),
            "python": platform.python_version(),
            "packages": _versions(),
            "git_commit": _git_commit(),
            "hardware": hardware,
            "resumed": [],
        }

    def read(self) -> dict[str, Any]:
        """study.json as a dict. Raises UserError when this is not a study folder."""
        path = self.path / "study.json"
        if not path.is_file():
            why = "it has no study.json" if self.path.exists() else "there is no such folder"
            raise UserError(f"{self.path} is not a study folder: {why}")
        try:
            record = read_json(path)
        except (OSError, ValueError) as error:
            raise UserError(f"{self.path} is not a readable study folder: {error}") from error
        if isinstance(record, dict) and record.get("tables", 1) != VERSION:
            raise OtherVersionError(
                f"{self.path} was made by another version of this program, whose tables mean other things "
                f"(version {shown(record.get('tables', 1))}, here {VERSION}); its files are left as they are"
            )
        if wrong := misfit("study.json", record, Record):
            raise UserError(f"{self.path} is not a readable study folder: {wrong}")
        return dict(record)

    def plan(self) -> StudyPlan:
        """The study's plan. Raises UserError when it can't be read."""
        plan = self.read()["plan"]
        try:
            return StudyPlan.from_dict(plan)
        except TypeError as error:  # a field too many, or missing
            raise UserError(f"{self.path / 'study.json'} holds a plan of another version or kind") from error
        except UserError as error:
            raise UserError(f"{self.path / 'study.json'} is not a study's plan: {error}") from error

    def resume(self, plan: StudyPlan, command: list[str], hardware: dict[str, Any]) -> None:
        """Write the plan as it now is, and that the study was taken up again.

        Raises UserError: it can't be written.
        """
        again = {"command": command, "when": now(), "packages": _versions(), "hardware": hardware}
        record = self.read()
        resumed = [*record.get("resumed", []), again]
        try:
            write_json(self.path / "study.json", {**record, "plan": plan.to_dict(), "resumed": resumed})
        except OSError as error:
            raise UserError(f"{self.path} can't be written: {error.strerror}") from error

    def reopen_failed(self) -> list[str]:
        """Take the marker of their end from the trials that failed; returns their names."""
        return [name for name, trial in self.trials() if trial.reopen_failed()]

    def add_facts(self, **facts: Any) -> None:
        """Write further facts into study.json."""
        write_json(self.path / "study.json", {**self.read(), **facts})

    def lock(self) -> FileLock:
        """The driver's lock, taken at once, or from who only looks (`is_running`) in a moment, or not at all.

        Raises:
            UserError: another process runs this study.
        """
        lock = FileLock(self._lock, timeout=LOOK_SECONDS)
        try:
            lock.acquire()
        except Timeout as error:
            raise UserError(f"{self.path} is being run by another process") from error
        except OSError as error:
            raise UserError(f"{self.path} can't be written: {error.strerror}") from error
        return lock

    def is_running(self) -> bool:
        """Whether some process drives this study now.

        Looking makes no file, needs no right to write, and keeps nobody out: it shares the lock for less than
        the moment that `lock` waits.
        """
        if not self._lock.is_file():
            return False
        try:
            with self._lock.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except FileNotFoundError:
            return False
        except BlockingIOError:
            return True
        return False


def check_own(folder: Path, *, itself: bool = False) -> None:
    """Raise UserError where something below a study's folder, or a part of one, is not what its name says.

    `itself`: the folder has to be one, and no link.
    """
    wrong = folder if itself and (folder.is_symlink() or not folder.is_dir()) else next(_others(folder), None)
    if wrong is not None:
        raise UserError(f"{wrong} is neither a file nor a folder of its own: nothing was changed")


def _others(folder: Path) -> Iterator[Path]:
    """What is below a folder and not what its name says; of other names, neither a file nor a folder."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name == JOURNAL_LOCK:
                continue
            is_folder, is_file = entry.is_dir(follow_symlinks=False), entry.is_file(follow_symlinks=False)
            is_named = entry.name in FOLDERS or (folder.name == "trials" and not entry.name.startswith("."))
            if entry.name in FILES or not is_folder:
                if not is_file or is_named:
                    yield Path(entry.path)
            elif entry.name not in FOREIGN:
                yield from _others(Path(entry.path))


def _versions() -> dict[str, str | None]:
    return {name: _version(name) for name in PACKAGES}


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _git_commit() -> str | None:
    """The commit of this source tree, '-dirty' when files differ; None outside a checkout."""
    here = Path(__file__).resolve().parent
    try:
        found = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],
            cwd=here,
            capture_output=True,
            text=True,
            timeout=10,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return found.stdout.strip() or None if found.returncode == 0 else None


def command_line() -> list[str]:
    """How this process was started, as a user would type it."""
    module = Path(sys.argv[0]).stem
    return ["python", "-m", f"study.{module}", *sys.argv[1:]]
