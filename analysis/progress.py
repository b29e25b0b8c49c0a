"""How far a study has come, from its folder alone, read again and again at little cost.

Trials that have ended come from the tables, read when they have changed; the others from their own folders.
Nothing is written, and no lock is held.
"""

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq

from study.metrics import METRICS
from study.plan import StudyPlan
from study.records.objective import evaluations, objective
from study.records.study_folder import StudyFolder
from study.reporting.console import Best
from study.reporting.last_words import failures

UNDER_WAY = "under way"
COLUMNS = {
    "trials": ["space", "trial_id", "state", "objective", "kimg", "ended"],
    "runs": ["study", "space", "trial_id", "end", "kimg_at_risk"],
}
Curve = Sequence[tuple[float, float]]  # (kimg, objective) of each evaluation
Signature = tuple[int, int]


@dataclass(frozen=True)
class SpaceProgress:
    """One space.

    Attributes:
        states: how many trials are in each state, of those that have begun.
        best: of the completed trials and of those under way; `curve`: its own.
        failure: how often seeds diverge, in words; '' where no trial has ended.
    """

    name: str
    trials: int
    states: Mapping[str, int]
    best: Best | None
    curve: Curve
    failure: str


@dataclass(frozen=True)
class Progress:
    """A study.

    Attributes:
        running: whether a process drives it now.
        ended: trials that have ended, of `plan.total_trials`.
        seconds: since it was started, or last resumed, until now, or until its last trial ended.
        left: seconds that it may still take; None where it isn't running, or no trial has ended since.
    """

    folder: Path
    plan: StudyPlan
    running: bool
    ended: int
    spaces: Sequence[SpaceProgress]
    seconds: float
    left: float | None


class Watched:
    """A study that is looked at again and again."""

    def __init__(self, folder: StudyFolder) -> None:
        self._folder = folder
        self._tables: dict[str, tuple[Signature, pd.DataFrame]] = {}
        self._failures: dict[str, tuple[Signature, str]] = {}
        self._endings: dict[str, dict[str, Any]] = {}  # of trials that no table has yet
        self._curves: dict[str, tuple[Signature, Curve]] = {}

    def read(self, now: datetime | None = None) -> Progress:
        """How far it is now. Raises UserError where the folder is not a study's."""
        running = self._folder.is_running()  # first: what a driver wrote last is then read
        record, plan = self._folder.read(), self._folder.plan()
        ended, under_way = self._trials()
        begun = datetime.fromisoformat([record["started"], *(r["when"] for r in record["resumed"])][-1])
        until = (now or datetime.now(UTC)) if running else ended["ended"].max()
        seconds = 0.0 if pd.isna(until) else max(0.0, (until - begun).total_seconds())
        before = int((ended["ended"] < begun).sum())
        since = len(ended) - before
        done = since + sum(curve[-1][0] / plan.kimg for curve in under_way.values() if curve)
        todo = plan.total_trials - before
        left = max(0.0, seconds * (todo - done) / done) if running and since else None
        spaces = [self._space(plan, name, ended, under_way) for name in plan.spaces]
        return Progress(self._folder.path, plan, running, len(ended), spaces, seconds, left)

    def _trials(self) -> tuple[pd.DataFrame, dict[str, Curve]]:
        """The rows of trials that have ended, and the curves of those that have begun and haven't."""
        _, table = self._table("trials")
        table = table[table["state"] != "interrupted"]  # it may go on by now
        known = set(table["trial_id"])
        under_way: dict[str, Curve] = {}
        self._endings = {trial: row for trial, row in self._endings.items() if trial not in known}
        for trial in self._folder.trial_ids():
            if trial in known or trial in self._endings:
                continue
            ending = self._folder.trial(trial).ending()
            if ending is None:
                under_way[trial] = self._curve(trial)
            else:
                when = ending.ended and datetime.fromisoformat(ending.ended)
                row = {"space": _space_of(trial), "trial_id": trial, **vars(ending), "ended": when or pd.NaT}
                self._endings[trial] = {column: row[column] for column in COLUMNS["trials"]}
        rows = pd.DataFrame(list(self._endings.values()), columns=COLUMNS["trials"]).astype(table.dtypes)
        return pd.concat([table, rows], ignore_index=True), under_way

    def _table(self, name: str) -> tuple[Signature, pd.DataFrame]:
        """A table's columns of interest, read through one handle, as it may be replaced meanwhile."""
        path = self._folder.path / f"{name}.parquet"
        try:
            with path.open("rb") as file:
                signature = _signature(file.fileno())
                if name not in self._tables or self._tables[name][0] != signature:
                    table = pq.read_table(file, columns=COLUMNS[name]).to_pandas()
                    self._tables[name] = signature, table
        except (OSError, ValueError):  # not there yet, or damaged
            pass
        return self._tables.get(name) or ((0, 0), _empty(name))

    def _curve(self, trial: str) -> Curve:
        """A trial's objectives, read again where there are more; none where they can't be read."""
        folder = self._folder.trial(trial)
        signature = _signature(folder.path / "curves.jsonl")
        if trial not in self._curves or self._curves[trial][0] != signature:
            try:
                plan, rows = folder.plan(), folder.rows()
                curve = [(own[0]["kimg"], objective(plan, own)) for own in evaluations(rows).values()]
            except (ValueError, OSError):
                curve = []
            self._curves[trial] = signature, curve
        return self._curves[trial][1]

    def _space(
        self, plan: StudyPlan, name: str, ended: pd.DataFrame, under_way: Mapping[str, Curve]
    ) -> SpaceProgress:
        own = ended[ended["space"] == name]
        curves = {trial: curve for trial, curve in under_way.items() if _space_of(trial) == name}
        higher = METRICS[plan.metric].higher_is_better
        states = Counter(own["state"]) + Counter({UNDER_WAY: len(curves)})
        found = [
            Best(curve[-1][1], trial, curve[-1][0], ended=False) for trial, curve in curves.items() if curve
        ]
        completed = own[(own["state"] == "completed") & own["objective"].notna()]
        if len(completed):
            at = completed["objective"].idxmax() if higher else completed["objective"].idxmin()
            row: Any = completed.loc[[at]].to_dict("records")[0]
            found.append(Best(float(row["objective"]), str(row["trial_id"]), float(row["kimg"]), ended=True))
        best = (max if higher else min)(found, default=None)
        curve = self._curve(best.trial_id) if best else []
        return SpaceProgress(name, plan.trials[name], states, best, curve, self._failure(plan, name))

    def _failure(self, plan: StudyPlan, space: str) -> str:
        """Estimated anew where the table has changed: it takes a second of many thousand runs."""
        signature, runs = self._table("runs")
        if space not in self._failures or self._failures[space][0] != signature:
            own = runs[(runs["space"] == space) & runs["end"].notna()]
            self._failures[space] = signature, failures(plan, own, space) if len(own) else ""
        return self._failures[space][1]


def _space_of(trial: str) -> str:
    return trial.rpartition("-")[0]


def _signature(file: Path | int) -> Signature:
    """Changes when a file does."""
    try:
        found = os.stat(file)  # noqa: PTH116
    except OSError:
        return 0, 0
    return found.st_mtime_ns, found.st_size


def _empty(name: str) -> pd.DataFrame:
    types = dict.fromkeys(COLUMNS[name], "string") | {"objective": "float64", "kimg": "float64"}
    types |= {"ended": "datetime64[us, UTC]", "kimg_at_risk": "float64"}
    return pd.DataFrame({column: pd.Series(dtype=types[column]) for column in COLUMNS[name]})
