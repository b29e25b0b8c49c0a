"""The tables of a study, built from its trial folders: trials, runs (trial x seed), curves (x evaluation)."""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from functools import cache, partial
from itertools import pairwise
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from study.data import Fingerprint
from study.errors import UserError, sentence
from study.machine.files import write_whole
from study.metrics import METRICS, metrics_for
from study.metrics.failure import end_of_run
from study.metrics.judge.floor import Spread, check_floors, floors
from study.metrics.stability import (
    collapsed,
    dispersion,
    drawdown,
    learning_range,
    never_covered,
    never_learned,
)
from study.plan import StudyPlan, TrialPlan
from study.records.objective import Standing, objectives, standings
from study.records.schema import TABLES, Column, Row, columns
from study.records.spool import Spool
from study.records.study_folder import OtherVersionError, StudyFolder
from study.records.trial_folder import Ending

OBJECTIVES = pa.schema(
    {
        "evaluation": pa.int64(),
        "objective": pa.float64(),
        "rank": pa.float64(),
        "generator_updates": pa.int64(),
    }
)
PANDAS = {
    str: "string",
    float: "float64",
    int: "Int64",
    bool: "boolean",
    datetime: "datetime64[us, UTC]",
    list: "object",
}


class Results:
    """A study's records, each read once from its folder, and the tables made of them."""

    def __init__(self, folder: StudyFolder) -> None:
        """Raises UserError: the tables would be wrong of every trial."""
        self._folder = folder
        self.problems: list[str] = []
        self._plan = self._plan_of_study()
        check_floors(folder.judges)
        if self._plan is None:
            for _, trial in folder.trials():
                with suppress(ValueError):  # said where it is added; here, what it declares becomes columns
                    trial.plan()
        self._spool = Spool(
            {**{table: _schema(table, tuple(METRICS)) for table in TABLES}, "objectives": OBJECTIVES}
        )
        self._datasets: set[str] = set()
        self._floors: dict[tuple[str, str], dict[str, Spread]] = {}
        self._extremes: tuple[tuple[float, str, float], tuple[float, str, float]] | None = None

    def _plan_of_study(self) -> StudyPlan | None:
        """None where a trial was trained by itself, or study.json can't be read: then that is a problem."""
        if (self._folder.path / "study.json").exists():
            try:
                return self._folder.plan()
            except OtherVersionError:
                raise
            except UserError as error:
                self.problems.append(f"{error}; the tables are made of the trials alone")
        return None

    def add_all(self, *, include_unfinished: bool) -> None:
        """Read every trial folder that has ended; unfinished ones count as interrupted, if asked."""
        for trial_id, folder in self._folder.trials():
            if trial_id not in self._spool and (include_unfinished or folder.ending() is not None):
                self.add(trial_id)

    def _asked(self, space: str) -> float:
        """How many trials a space is to have; more than any where study.json does not say."""
        return self._plan.trials.get(space, math.inf) if self._plan is not None else math.inf

    def missing(self) -> Iterator[str]:
        """Trials that have no folder, though later ones of their space have, in words."""
        spaces: dict[str, list[int]] = {}
        for name in self._folder.trial_ids():
            space, _, number = name.rpartition("-")
            if space and number.isdigit():
                spaces.setdefault(space, [-1]).append(int(number))
        for space, numbers in spaces.items():
            for before, after in pairwise(sorted(numbers)):
                if after > before + 1 and after < self._asked(space):
                    first, last = f"{space}-{before + 1:05d}", f"{space}-{after - 1:05d}"
                    yield f"trial {first}" if first == last else f"trials {first} to {last}"

    def add(self, trial_id: str) -> None:
        """Read one trial folder. What can't be read is a failed trial, and a problem to be told."""
        folder = self._folder.trial(trial_id)
        try:
            plan, rows, ending = folder.plan(), folder.rows(), folder.ending()
            if plan.trial_id != trial_id:
                self.problems.append(f"{folder.path} is a copy of {plan.trial_id}: it is in no table")
                return
            curve = zip(objectives(plan, rows), standings(plan, rows), strict=True)  # in order, as they check
            _check_whole(plan, rows, ending)
            runs = _run_rows(plan, rows, ending, self.floor(plan.config.dataset, plan.fingerprint))
            self._spool.put(
                trial_id,
                {
                    "trials": [_trial_row(plan, rows, runs if rows else [], ending)],
                    "runs": runs,
                    "curves": [_curve_row(plan, row) for row in rows],
                    "objectives": [
                        {"objective": objective, **standing._asdict()} for (_, objective), standing in curve
                    ],
                },
            )
            self._datasets.add(plan.config.dataset)
            if ending is not None and ending.objective is not None:
                found = (ending.objective, trial_id, ending.kimg)
                low, high = self._extremes or (found, found)
                self._extremes = min(low, found), max(high, found)
        except (ValueError, KeyError, TypeError, OverflowError, OSError) as error:
            message = sentence(error) or repr(error)
            self.problems.append(f"trial {trial_id} can't be read: {message}")
            space = trial_id.rpartition("-")[0]
            row = {"study": self._folder.name, "space": space, "trial_id": trial_id, "error": message}
            row |= {"state": "failed", "ended_by": "unreadable"}
            self._spool.put(trial_id, {"trials": [row], "runs": [], "curves": [], "objectives": []})

    def objectives(self, trial_id: str) -> list[tuple[int, float]]:
        """(evaluation, objective) of one trial that was added; empty when it can't be read."""
        return [(row["evaluation"], row["objective"]) for row in self._curve(trial_id)]

    def standings(self, trial_id: str) -> list[Standing]:
        """The same, as schedulers see it."""
        return [Standing(*(row[name] for name in Standing._fields)) for row in self._curve(trial_id)]

    def _curve(self, trial_id: str) -> list[Row]:
        rows: list[Row] = []
        if trial_id in self._spool:
            rows = self._spool.get(trial_id, "objectives").to_pylist()
        return rows

    def floor(self, dataset: str, fingerprint: Fingerprint) -> dict[str, Spread]:
        """What real data score in each metric, as far as the study keeps it."""
        key = dataset, fingerprint.get("sha256", "")
        if not self._floors.get(key):  # a new study has none until its judge is made
            self._floors[key] = floors(self._folder.judges, *key)
        return self._floors[key]

    def of_trial(self, name: str, trial_id: str) -> pd.DataFrame:
        """The rows of one trial that was added, in a table."""
        return pa.Table.from_batches([self._spool.get(trial_id, name)]).to_pandas()

    def trial_row(self, trial_id: str) -> Row:
        """What the trials table knows of one trial that was added."""
        (row,) = self._spool.get(trial_id, "trials").to_pylist()
        return {name: value for name, value in row.items() if value is not None}

    def best(self, metric: str) -> tuple[float, str, float] | None:
        """The best objective so far, its trial, and the kimg it was measured at."""
        if self._extremes is None:
            return None
        return self._extremes[1 if METRICS[metric].higher_is_better else 0]

    def table(self, name: str) -> pd.DataFrame:
        """One table, with every column present and typed even when it is empty."""
        parts = list(self._parts(name, self._columns_schema(name)))
        return pa.concat_tables([self._columns_schema(name).empty_table(), *parts]).to_pandas()

    def write(self) -> None:
        """Write <study>/trials.parquet, runs.parquet and curves.parquet, each whole or not at all."""
        for name in TABLES:
            write_whole(self._folder.path / f"{name}.parquet", partial(self._write, name))
        pa.default_memory_pool().release_unused()  # Arrow would keep what one writing took

    def _write(self, name: str, path: Path) -> None:
        schema = self._columns_schema(name)
        with pq.ParquetWriter(path, schema) as writer:
            writer.write_table(schema.empty_table())
            for part in self._parts(name, schema):
                writer.write_table(part)

    def _parts(self, name: str, schema: pa.Schema) -> Iterator[pa.Table]:
        for part in self._spool.tables(name):
            yield part.select(schema.names).cast(schema)

    def _columns_schema(self, name: str) -> pa.Schema:
        """A table's columns: those of the metrics of all the datasets in it."""
        datasets = self._datasets
        if not datasets and self._plan is not None:
            datasets = {self._plan.dataset}
        found = {metric: None for dataset in sorted(datasets) for metric in metrics_for(dataset)}
        return _schema(name, tuple(found))


def _check_whole(plan: TrialPlan, rows: Sequence[Row], ending: Ending | None) -> None:
    """Raise ValueError when a trial that has ended does not have its curve up to the end."""
    if ending is not None and ending.state != "failed":
        last = rows[-1]["kimg"] if rows else None
        if last != ending.kimg:
            raise ValueError(f"its curve ends at kimg {last}, its marker says {ending.kimg}")
        if len(rows) % len(plan.seeds):
            raise ValueError(f"its curve ends with seed {rows[-1]['seed']}: those after it were cut off")


def _keys(plan: TrialPlan) -> Row:
    return {
        "study": plan.study,
        "space": plan.space,
        "model": plan.config.model,
        "dataset": plan.config.dataset,
        "trial_id": plan.trial_id,
        **plan.config.to_dict(),
    }


def _curve_row(plan: TrialPlan, row: Row) -> Row:
    due = row["evaluation"] * plan.eval_kimg
    if due > plan.kimg or math.isclose(due, plan.kimg):  # 9 * (kimg / 9) may round to less than kimg
        due = plan.kimg
    return {**_keys(plan), **row, "kimg_planned": due, "evaluated": _time(row.get("evaluated"))}


def _time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def _trial_row(plan: TrialPlan, rows: Sequence[Row], runs: Sequence[Row], ending: Ending | None) -> Row:
    row = {
        **_keys(plan),
        "origin": plan.origin,
        "kimg_planned": plan.kimg,
        "started": _time(rows[0].get("evaluated")) if rows else None,
        "ended": _time(ending.ended) if ending else None,
        "host": rows[-1].get("host") if rows else None,
        "state": _state(ending),
        "ended_by": ending.ended_by if ending else "interrupt",
        "metric": plan.metric,
        "aggregate": plan.aggregate,
        "objective": ending.objective if ending else None,
        "n_seeds": len(plan.seeds),
        "precision": plan.precision,
        "error": ending.error if ending else None,
    }
    row |= {c.name: c.of_seeds(runs, plan.aggregate) for c in _over_seeds(tuple(METRICS))}
    row["kimg"] = row["kimg"] or 0.0
    if row["objective"] is None:  # a fault, or an interrupt: nor has it an interval
        row["objective_low"] = row["objective_high"] = None
    return row


@cache
def _over_seeds(metrics: tuple[str, ...]) -> list[Column]:
    return [column for column in columns("trials", metrics) if column.over_seeds]


def _state(ending: Ending | None) -> str:
    return ending.state if ending else "interrupted"


def _run_rows(
    plan: TrialPlan, rows: Sequence[Row], ending: Ending | None, floor: Mapping[str, Spread]
) -> list[Row]:
    """One row per seed; a seed that was never evaluated has only its keys."""
    runs = []
    for seed in plan.seeds:
        curve = [row for row in rows if row["seed"] == seed]
        run: Row = {**_keys(plan), "seed": seed, "kimg_planned": plan.kimg}
        runs.append(run | (_run_figures(plan, curve, _state(ending), floor) if curve else {}))
    return runs


def _run_figures(plan: TrialPlan, curve: Sequence[Row], state: str, floor: Mapping[str, Spread]) -> Row:
    """What the curve came to: its last row, and figures of the whole, until divergence if there was one."""
    run = dict(curve[-1])
    run["end"] = end_of_run(run["diverged"], state)
    # An iteration is never cut, so a trial ends a little beyond its budget.
    run["kimg_at_risk"] = min(run["diverged_at_kimg"] if run["diverged"] else run["kimg"], plan.kimg)
    run["eval_seconds"] = sum(row["eval_seconds"] for row in curve)
    seen = {
        name: [row[name] for row in curve if row.get(name) is not None]
        for name in metrics_for(plan.config.dataset)
    }
    for name, values in seen.items():
        choose = max if METRICS[name].higher_is_better else min
        run[f"{name}_best"] = choose(values) if values else None
    real = {name: spread["mean"] for name, spread in floor.items()}
    higher, values = METRICS[plan.metric].higher_is_better, seen[plan.metric]
    scale = learning_range(curve[0].get(plan.metric), real.get(plan.metric), higher)
    run["never_learned"] = never_learned(values, scale, higher)
    if not run["diverged"]:
        run["dispersion"], run["drawdown"] = dispersion(values, scale), drawdown(values, scale, higher)
    if "mode_coverage" in real:
        coverage, best = seen.get("mode_coverage", []), real["mode_coverage"]
        run["never_covered"], run["collapsed"] = never_covered(coverage, best), collapsed(coverage, best)
    return run


def _schema(table: str, metrics: tuple[str, ...]) -> pa.Schema:
    """A table's columns as Arrow types, which pandas reads back as its own, with unit and meaning."""
    return _arrow(table, tuple(columns(table, metrics)))


@cache
def _arrow(table: str, columns: tuple[Column, ...]) -> pa.Schema:
    types = {column.name: PANDAS[column.type_in(table)] for column in columns}
    schema = pa.Schema.from_pandas(pd.DataFrame(columns=list(types)).astype(types), preserve_index=False)
    for place, column in enumerate(columns):
        field = schema.field(place)
        if column.type is list:  # pandas can't tell of what
            field = pa.field(column.name, pa.list_(pa.int64()))
        told = {"meaning": column.meaning, **({"unit": column.unit} if column.unit else {})}
        schema = schema.set(place, field.with_metadata(told))
    return schema
