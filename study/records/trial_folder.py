"""A trial on disk: config.json first, then curves, checkpoint and samples, and a marker last.

config.json          the plan: identity, configuration, seeds, budget
environments.json    what computed it, from which evaluation on
curves.jsonl         a line per seed and evaluation
checkpoint/pack.pt   the pack at its last evaluation
checkpoint/best.pt   its networks at the evaluation with the best objective, where the plan keeps them
samples/*.png, *.npz   samples from fixed latents: a picture, and what it shows, per evaluation
DONE | DIVERGED | FAILED   how it ended (JSON); none while it runs or was interrupted
.lock, .claim        who trains it: held meanwhile, and named, lest one that was given up writes any more
"""

import json
import math
import os
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from filelock import FileLock

from study.errors import ConfigError, UserError, not_one_of, sentence
from study.machine.clock import now
from study.machine.files import read_json, write_json, write_whole
from study.machine.typed import check_fields
from study.plan import TrialPlan
from study.records.schema import Row, check_row

RUNNING = "running"  # the state of a trial that has not ended
MARKERS = {"completed": "DONE", "pruned": "DONE", "diverged": "DIVERGED", "failed": "FAILED"}
CLAIM = ".claim"
TRIAL_FILES = (
    "config.json",
    "environments.json",
    "curves.jsonl",
    "pack.pt",
    "best.pt",
    ".lock",
    CLAIM,
    *MARKERS.values(),
)
TRIAL_FOLDERS = ("checkpoint", "samples")
LOCK_SECONDS = 60
IDENTITY = (
    "study",
    "space",
    "trial_id",
    "config",
    "seeds",
    "study_seed",
    "eval_kimg",
    "metric",
    "aggregate",
    "precision",
)


@dataclass(frozen=True, kw_only=True)
class Ending:
    """How a trial ended.

    Attributes:
        state: 'completed', 'pruned', 'diverged' or 'failed'.
        ended_by: 'budget', 'divergence', 'fault', 'unreadable', or the scheduler's name.
        objective: aggregate of the seeds' last scores; None when nothing was evaluated.
        error: the traceback of a fault.
        ended: when, in UTC and ISO 8601, once it is on disk.
    """

    state: str
    ended_by: str
    kimg: float
    objective: float | None
    error: str | None = None
    ended: str | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        """Raises ConfigError where an ending read from a marker makes no sense."""
        check_fields(self)
        if self.state not in MARKERS:
            raise ConfigError(not_one_of("state", self.state, MARKERS))
        if self.kimg < 0 or (self.objective is None and self.state != "failed"):
            raise ConfigError(f"a trial can't be {self.state} at kimg {self.kimg:g} with {self.objective}")


class GivenAwayError(RuntimeError):
    """Another process has taken on the trial: nothing is to be written here any more."""


class TrialFolder:
    """Reads and writes one trial's folder."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._claim = ""
        self.checkpoint = path / "checkpoint" / "pack.pt"
        self.best = path / "checkpoint" / "best.pt"
        self.samples = path / "samples"
        self.study = path.parent.parent
        self.judges = self.study / "judge"
        self._curves = path / "curves.jsonl"

    def create(self, plan: TrialPlan) -> None:
        """Make the folder and write config.json, unless it is there already.

        Raises:
            UserError: it is the folder of another trial.
        """
        for folder in (self.path, self.checkpoint.parent, self.samples):
            folder.mkdir(parents=True, exist_ok=True)
        try:
            known = self.plan()
        except ValueError:  # missing, or damaged
            write_json(self.path / "config.json", plan.to_dict())
        else:
            self.check_same(known, plan)

    def check_same(self, known: TrialPlan, plan: TrialPlan) -> None:
        """Raise UserError where `known`, its config.json, is of another trial than `plan`."""
        for name in IDENTITY:
            if getattr(known, name) != getattr(plan, name):
                raise UserError(f"{self.path} holds another trial ({name} differs)")

    def exists(self) -> bool:
        return (self.path / "config.json").exists()

    def plan(self) -> TrialPlan:
        """Raises ValueError when config.json is missing, damaged or invalid."""
        path = self.path / "config.json"
        if not path.exists():
            raise ValueError(f"{path} is missing")
        try:
            return TrialPlan.from_dict(read_json(path))
        except (KeyError, TypeError, AttributeError, UserError) as error:
            raise ValueError(f"{path} is not a trial's configuration: {error!r}") from error

    def environments(self) -> list[dict[str, Any]]:
        """What computed the trial, in order (`study.machine.environment`), each with its first `evaluation`.

        Raises ValueError: the file is damaged.
        """
        path = self.path / "environments.json"
        known = read_json(path) if path.exists() else []
        if not isinstance(known, list) or not all(
            isinstance(each, dict) and isinstance(each.get("companions"), list) for each in known
        ):
            raise ValueError(f"{path} is not a list of environments")
        return known

    def companions(self) -> set[str]:
        """Trials that were there when it came to its pack, at first or later.

        Raises ValueError: config.json or environments.json is damaged.
        """
        later = (name for known in self.environments() for name in known["companions"])
        return {*self.plan().companions, *later}

    def add_environment(self, found: Mapping[str, Any], evaluation: int) -> None:
        """Note what computes the trial from an evaluation on, unless it is what computed it before."""
        try:
            known = self.environments()
        except ValueError:  # what is damaged tells of nothing any more
            known = []
        if not known or any(known[-1].get(name) != value for name, value in found.items()):
            known.append({**found, "evaluation": evaluation, "when": now()})
            write_json(self.path / "environments.json", known)

    def cost_of_best(self) -> str:
        """What keeping the best evaluation's networks costs, in words; they have been written."""
        size = self.best.stat().st_size / 1e6
        return (
            "keeping the best evaluation's networks beside the last checkpoint: "
            f"about {size:.3g} MB a trial (--no-keep-best: none)"
        )

    def claim(self) -> str:
        """Take the trial from whoever trains it: what a process given up for lost still writes is refused."""
        self._claim = uuid.uuid4().hex
        write_json(self.path / CLAIM, self._claim)
        return self._claim

    def check_claim(self, claim: str) -> None:
        """Raise GivenAwayError unless the last claim was this one."""
        if read_json(self.path / CLAIM) != claim:
            raise GivenAwayError(f"{self.path} has been given to another process")

    def check_still_mine(self) -> None:
        """Raise GivenAwayError where this process claimed the trial and another has since."""
        if self._claim:
            self.check_claim(self._claim)

    def lock(self) -> FileLock:
        """Held while a process trains this trial: a killed driver's last worker may still be dying."""
        return FileLock(self.path / ".lock", timeout=LOCK_SECONDS)

    def append(self, rows: Iterable[Row]) -> None:
        """Add one evaluation's rows and force them to disk. Numbers that are not finite become null.

        Raises:
            ValueError: the schema of curves does not know a row.
            GivenAwayError: another process has claimed the trial since.
        """
        self.check_still_mine()
        lines = []
        for row in map(_without_nan, rows):
            check_row(row, written=True)
            lines.append(json.dumps(row, allow_nan=False) + "\n")
        with self._curves.open("a") as file:
            file.write("".join(lines))
            file.flush()
            os.fsync(file.fileno())

    def rows(self) -> list[Row]:
        """All rows in order. A last line that was cut off by a kill is not a row yet.

        Raises:
            ValueError: a line is not JSON (names file and line).
        """
        if not self._curves.exists():
            return []
        if not self._curves.is_file():
            raise ValueError(f"{self._curves} is not a file")
        rows: list[Row] = []
        for number, line in enumerate(self._curves.read_bytes().split(b"\n")[:-1], 1):
            try:
                row = json.loads(line)
                check_row(row, written=False)
            except (ValueError, AttributeError, RecursionError) as error:
                raise ValueError(
                    f"{self._curves}, line {number} is not a row of a curve: {error!r}"
                ) from error
            rows.append(row)
        return rows

    def keep_rows_before(self, evaluation: int) -> list[Row]:
        """Drop what was written after the checkpoint was: rows of `evaluation` and later."""
        rows = self.rows()
        kept = [row for row in rows if row["evaluation"] < evaluation]
        if kept == rows and self._ends_whole():
            return kept
        text = "".join(json.dumps(row) + "\n" for row in kept)

        def write(path: Path) -> None:
            path.write_text(text)

        write_whole(self._curves, write)
        return kept

    def _ends_whole(self) -> bool:
        return not self._curves.exists() or self._curves.read_bytes()[-1:] in (b"", b"\n")

    def finish(self, ending: Ending) -> None:
        """Write the marker, last of all. Raises GivenAwayError: see `append`."""
        self.check_still_mine()
        write_json(self.path / MARKERS[ending.state], {**asdict(ending), "ended": now()})

    def record_fault(self, error: str) -> None:
        """Finish as failed with this traceback, unless the trial has ended already."""
        if self.ending() is not None:
            return
        try:
            kimg = self.rows()[-1]["kimg"]
        except (ValueError, IndexError):  # the damage may be the fault that is being recorded
            kimg = 0.0
        self.path.mkdir(parents=True, exist_ok=True)
        self.finish(Ending(state="failed", ended_by="fault", kimg=kimg, objective=None, error=error))

    def reopen_failed(self) -> bool:
        """Take the marker of its end from a trial that failed; returns whether it had one."""
        path = self.path / MARKERS["failed"]
        known = path.exists()
        path.unlink(missing_ok=True)
        return known

    def ending(self) -> Ending | None:
        """How the trial ended; None while it runs or when it was interrupted.

        A marker that can't be read says so: the trial is failed, ended by 'unreadable'.
        """
        for name in dict.fromkeys(MARKERS.values()):
            path = self.path / name
            if path.exists():
                try:
                    ending = Ending(**read_json(path))
                    if MARKERS[ending.state] != name:
                        raise ValueError(f"it says {ending.state}")
                    return ending
                except (TypeError, ValueError) as error:
                    message = f"{path} is not a trial's ending: {sentence(error)}"
                    return Ending(
                        state="failed", ended_by="unreadable", kimg=0.0, objective=None, error=message
                    )
        return None


def _without_nan(row: Row) -> Row:
    return {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in row.items()}
