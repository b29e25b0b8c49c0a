"""Every column of the tables, declared once: type, unit, meaning, tables, and what a trial has of its seeds.

A trial's rows on disk (curves.jsonl) are its rows of the `curves` table, but for the columns in KEYS.
"""

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

from study.machine.typed import misfit
from study.metrics import METRICS
from study.metrics.failure import CENSORED, failure_interval, failure_rate
from study.metrics.stability import aggregate, iqr, student_interval, worst
from study.models import hyperparameters

TABLES = ("trials", "runs", "curves")
VERSION = 2  # counts changes of what the tables hold or mean: in study.json
Row = dict[str, Any]


def _mean_interval(values: Sequence[float], how: str, _: bool) -> tuple[float, float] | None:
    # Of values that are all alike an interval of width 0 would say that this is certain.
    return student_interval(values) if how == "mean" and len(set(values)) > 1 else None


def _end(interval: Callable[..., tuple[float, float] | None], place: int) -> Callable[..., float | None]:
    """One end of an interval."""

    def end(*given: Any) -> float | None:
        found = interval(*given)
        return None if found is None else found[place]

    return end


# What a trial has of its seeds' values, by (values, aggregate, higher is better).
OVER_SEEDS: dict[str, Callable[[Sequence[Any], str, bool], Any]] = {
    "same": lambda values, *_: values[0],  # the seeds agree
    "aggregate": aggregate,  # mean, median or cvar: the objective's
    "mean low": _end(_mean_interval, 0),
    "mean high": _end(_mean_interval, 1),
    "iqr": lambda values, *_: iqr(values),
    "worst": lambda values, _, higher: worst(values, higher),
    "sum": lambda values, *_: sum(values),
    "censored": lambda values, *_: values.count(CENSORED),
    "failure": lambda values, *_: failure_rate(values),
    "failure low": _end(lambda values, *_: failure_interval(values), 0),
    "failure high": _end(lambda values, *_: failure_interval(values), 1),
}


@dataclass(frozen=True)
class Column:
    """A column of one or several tables.

    Attributes:
        type: str, int, float, bool, datetime, or list, which is of int. Values may be null, in a row of
            `curves` unless `required`.
        tables: those that have it, of TABLES.
        over_seeds: how a trial's value is made of its seeds', a key of OVER_SEEDS; '' where it is not.
        of: the seeds' column that it is made of; its own name where nothing is said.
        higher_is_better: the direction of what it measures.
        counts: its values are whole numbers, though a trial's, made of several, need not be.
        timed: it tells of the time and the place, and not of the training.
    """

    name: str
    type: type
    tables: tuple[str, ...]
    meaning: str
    unit: str = ""
    over_seeds: str = ""
    of: str = ""
    required: bool = False
    higher_is_better: bool = False
    counts: bool = False
    timed: bool = False

    def type_in(self, table: str) -> Any:
        return int if self.counts and table != "trials" else self.type

    def of_seeds(self, rows: Sequence[Row], how: str) -> Any:
        """A trial's value, from one row per seed; None unless each of them has one."""
        values = [row.get(self.of or self.name) for row in rows]
        if not values or None in values:
            return None
        return OVER_SEEDS[self.over_seeds](values, how, self.higher_is_better)


ON_DISK: dict[type, Any] = {datetime: str, list: list[int]}  # in JSON, where not the column's own type
TRIALS, RUNS, PER_SEED, ALL = ("trials",), ("runs",), ("runs", "curves"), TABLES

KEYS = (
    Column("study", str, ALL, "name of the study"),
    Column("space", str, ALL, "search space that proposed the trial"),
    Column("model", str, ALL, "GAN variant"),
    Column("dataset", str, ALL, "training data"),
    Column("trial_id", str, ALL, "the trial's folder"),
)
PROGRESS = (
    Column("seed", int, PER_SEED, "member seed", required=True),
    Column("evaluation", int, ("curves",), "its number, in intervals since kimg 0", required=True),
    Column(
        "origin",
        str,
        TRIALS,
        "who proposed it: default (the paper), startup (chance), sampler, or given (a user)",
    ),
    Column("state", str, TRIALS, "completed, pruned, diverged (every seed), failed or interrupted"),
    Column("ended_by", str, TRIALS, "budget, divergence, fault, interrupt, unreadable, or the scheduler"),
    Column(
        "kimg", float, ALL, "real images (points) shown to each critic", "thousands", "same", required=True
    ),
    Column(
        "kimg_planned",
        float,
        ALL,
        "kimg at which the training was to end; in curves, at which the evaluation was due",
        "thousands",
    ),
    Column(
        "score",
        float,
        PER_SEED,
        "the optimised metric, no worse than before training or, of a bounded metric, than its worst value",
        required=True,
    ),
    Column("objective", float, TRIALS, "aggregate of the seeds' scores"),
    Column(
        "objective_low",
        float,
        TRIALS,
        "lower end of Student's 95% interval of the mean over seeds",
        "",
        "mean low",
        "score",
    ),
    Column("objective_high", float, TRIALS, "upper end of that interval", "", "mean high", "score"),
    Column("metric", str, TRIALS, "the optimised metric"),
    Column("aggregate", str, TRIALS, "how the objective is made of the seeds' scores"),
    Column("precision", str, TRIALS, "what networks compute in: fp32 or bf16"),
    Column("n_seeds", int, TRIALS, "seeds, each of them a member"),
    Column("n_diverged", int, TRIALS, "members that diverged", "", "sum", "diverged"),
    Column("n_censored", int, TRIALS, "members stopped before they could show it", "", "censored", "end"),
    Column(
        "failure_rate",
        float,
        TRIALS,
        "share of members that diverged; null where one was censored",
        "",
        "failure",
        "end",
    ),
    Column(
        "failure_rate_low", float, TRIALS, "lower end of its 95% Wilson interval", "", "failure low", "end"
    ),
    Column("failure_rate_high", float, TRIALS, "upper end of that interval", "", "failure high", "end"),
    Column("end", str, RUNS, "diverged, censored (stopped before its budget) or survived"),
    Column("kimg_at_risk", float, RUNS, "kimg until it diverged or ended, of those planned", "thousands"),
    Column("diverged", bool, PER_SEED, "whether the member has diverged", required=True),
    Column("diverged_at_kimg", float, PER_SEED, "when it did, in kimg", "thousands"),
    Column("reason", str, PER_SEED, "what showed its divergence"),
    Column("mode_counts", list, ("curves",), "samples that lie on each mode, or class, in their order"),
)
STABILITY = (
    Column(
        "never_learned",
        bool,
        RUNS,
        "the optimised metric never got a tenth of the way from its untrained value to the floor",
    ),
    Column("never_covered", bool, RUNS, "mode coverage never reached half of what real data covers"),
    Column("collapsed", bool, RUNS, "it did reach that, and ended under half of its own best"),
    Column("n_never_learned", int, TRIALS, "members that never learned", "", "sum", "never_learned"),
    Column("n_never_covered", int, TRIALS, "members that never covered", "", "sum", "never_covered"),
    Column("n_collapsed", int, TRIALS, "members that collapsed", "", "sum", "collapsed"),
    Column(
        "dispersion",
        float,
        RUNS,
        "IQR of the optimised metric's differences between evaluations, over the range from the untrained "
        "value to the floor; null of a run that diverged",
    ),
    Column(
        "drawdown",
        float,
        RUNS,
        "largest loss of the optimised metric from its best value so far, over the same range; likewise",
    ),
)
METERS = (
    Column("loss_d", float, PER_SEED, "critic loss, mean since the last evaluation"),
    Column("loss_g", float, PER_SEED, "generator loss, likewise"),
    Column("grad_norm_d", float, PER_SEED, "norm of the critic's gradient, likewise"),
    Column("grad_norm_g", float, PER_SEED, "norm of the generator's gradient, likewise"),
)
CLOCKS = (
    Column("critic_updates", int, ALL, "updates of each member's critic so far", over_seeds="same"),
    Column(
        "generator_updates",
        int,
        ALL,
        "updates of each member's generator so far",
        over_seeds="same",
        required=True,
    ),
    Column(
        "train_seconds",
        float,
        ALL,
        "training, all seeds together; its share of a pack",
        "seconds",
        "same",
        timed=True,
    ),
    Column("eval_seconds", float, ALL, "evaluation, all seeds together", "seconds", "same", timed=True),
)
WHERE = (
    Column("evaluated", datetime, ("curves",), "when the evaluation was made (UTC)", timed=True),
    Column(
        "started",
        datetime,
        TRIALS,
        "when its first evaluation was made, before any training (UTC)",
        timed=True,
    ),
    Column("ended", datetime, TRIALS, "when it ended (UTC)", timed=True),
    Column(
        "host", str, ("trials", "curves"), "machine; of a trial, the one of its last evaluation", timed=True
    ),
)
TIMED = frozenset(column.name for column in (*CLOCKS, *WHERE) if column.timed)
ERROR = Column("error", str, TRIALS, "traceback of a failed trial")


def of_hyperparameters() -> list[Column]:
    return [Column(name, h.type, ALL, h.meaning, h.unit) for name, h in hyperparameters().items()]


def of_metric(name: str) -> list[Column]:
    """A metric's own column, and those made of it."""
    metric = METRICS[name]

    def column(suffix: str, tables: tuple[str, ...], meaning: str, over_seeds: str, of: str = "") -> Column:
        return Column(
            name + suffix,
            float,
            tables,
            meaning,
            over_seeds=over_seeds,
            of=of,
            higher_is_better=metric.higher_is_better,
            counts=metric.counts,
        )

    return [
        column("", ALL, metric.meaning, "aggregate"),
        column("_iqr", TRIALS, "interquartile range over the seeds", "iqr", of=name),
        column("_worst", TRIALS, "the worst seed's", "worst", of=name),
        column("_best", RUNS, "the best of all evaluations", ""),
    ]


def columns(table: str, metrics: Collection[str]) -> list[Column]:
    """A table's columns in order, those of `metrics` among them."""
    found = [*KEYS, *of_hyperparameters(), *PROGRESS, *STABILITY]
    found += [column for name in metrics for column in of_metric(name)]
    found = [column for column in (*found, *METERS, *CLOCKS, *WHERE, ERROR) if table in column.tables]
    for name, count in Counter(column.name for column in found).items():
        if count > 1:
            raise ValueError(f"{name} is a column already: no metric or hyperparameter can be called so")
    return found


def untimed(row: Mapping[str, Any]) -> Row:
    """A row without the columns that tell of time and place: the same of two runs that are alike."""
    return {name: value for name, value in row.items() if name not in TIMED}


def check_row(row: Row, *, written: bool) -> None:
    """Raise ValueError where a row of `curves` lacks what is required, or has a value of the wrong type.

    One that is `written` may have no other columns; one that is read may be of a metric that isn't here.
    """
    known, required = _on_disk(tuple(METRICS))
    given = {name: value for name, value in row.items() if value is not None}
    for name in required:
        if name not in given:
            raise ValueError(f"{name} is missing")
    for name, value in given.items():
        if name in known and (wrong := misfit(name, value, known[name])):
            raise ValueError(wrong)
    if written and not row.keys() <= known.keys():
        raise ValueError(f"no column is declared for {', '.join(row.keys() - known.keys())}")


@cache
def _on_disk(metrics: tuple[str, ...]) -> tuple[dict[str, Any], list[str]]:
    """Of a row on disk, which lacks what config.json tells: types in JSON by column, and required columns."""
    told = {column.name for column in (*KEYS, *of_hyperparameters())}
    found = [column for column in columns("curves", metrics) if column.name not in told]
    types = {column.name: column.type_in("curves") for column in found}
    required = [column.name for column in found if column.required]
    return {name: ON_DISK.get(own, own) for name, own in types.items()}, required
