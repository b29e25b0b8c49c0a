"""Every column of the tables, declared once: type, unit, meaning, tables, and what a trial has of its seeds.

A trial's rows on disk (curves.jsonl) are its rows of the `curves` table, but for the columns in KEYS.
"""

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from study.metrics import METRICS
from study.metrics.stability import aggregate, cvar, iqr, wilson_interval
from study.models import hyperparameters

TABLES = ("trials", "runs", "curves")
Row = dict[str, Any]

# What a trial has of its seeds' values (those that are not null), by (values, aggregate, higher is better).
OVER_SEEDS: dict[str, Callable[[Sequence[Any], str, bool], Any]] = {
    "same": lambda values, *_: values[0],  # the seeds agree
    "aggregate": aggregate,  # mean, median or cvar: the objective's
    "iqr": lambda values, *_: iqr(values),
    "cvar": lambda values, _, higher: cvar(values, higher),
    "mean": lambda values, *_: sum(values) / len(values),
    "sum": lambda values, *_: sum(values),
    "low": lambda values, *_: wilson_interval(sum(values), len(values))[0],
    "high": lambda values, *_: wilson_interval(sum(values), len(values))[1],
}


@dataclass(frozen=True)
class Column:
    """A column of one or several tables.

    Attributes:
        type: str, int, float, bool, or list, which is of int. Values may be null, in a row of `curves` unless
            `required`.
        tables: those that have it, of TABLES.
        over_seeds: how a trial's value is made of its seeds', a key of OVER_SEEDS; '' where it is not.
        of: the seeds' column that it is made of; its own name where nothing is said.
        higher_is_better: the direction of what it measures.
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

    def of_seeds(self, rows: Sequence[Row], how: str) -> Any:
        """A trial's value, from one row per seed; None where none of them has one."""
        values = [row[self.of or self.name] for row in rows if row.get(self.of or self.name) is not None]
        return OVER_SEEDS[self.over_seeds](values, how, self.higher_is_better) if values else None


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
    Column("state", str, TRIALS, "completed, pruned, diverged (every seed), failed or interrupted"),
    Column("ended_by", str, TRIALS, "budget, divergence, fault, interrupt, unreadable, or the scheduler"),
    Column(
        "kimg", float, ALL, "real images (points) shown to each critic", "thousands", "same", required=True
    ),
    Column(
        "score",
        float,
        PER_SEED,
        "the optimised metric, no worse than before training or, of a bounded metric, than its worst value",
        required=True,
    ),
    Column("objective", float, TRIALS, "aggregate of the seeds' scores"),
    Column("metric", str, TRIALS, "the optimised metric"),
    Column("aggregate", str, TRIALS, "how the objective is made of the seeds' scores"),
    Column("precision", str, TRIALS, "what networks compute in: fp32 or bf16"),
    Column("n_seeds", int, TRIALS, "seeds, each of them a member"),
    Column("n_diverged", int, TRIALS, "members that diverged", "", "sum", "diverged"),
    Column("failure_rate", float, TRIALS, "share of members that diverged", "", "mean", "diverged"),
    Column("failure_rate_low", float, TRIALS, "lower end of its 95% Wilson interval", "", "low", "diverged"),
    Column(
        "failure_rate_high", float, TRIALS, "upper end of its 95% Wilson interval", "", "high", "diverged"
    ),
    Column("diverged", bool, PER_SEED, "whether the member has diverged", required=True),
    Column("diverged_at_kimg", float, PER_SEED, "when it did, in kimg", "thousands"),
    Column("reason", str, PER_SEED, "what showed its divergence"),
    Column("mode_counts", list, ("curves",), "samples that lie on each mode, or class, in their order"),
)
STABILITY = (
    Column("collapsed", bool, RUNS, "mode coverage ended at most at half of what real data covers"),
    Column(
        "dispersion", float, RUNS, "IQR of the differenced score, over the range from the floor to untrained"
    ),
    Column("drawdown", float, RUNS, "largest loss from the best score so far, over the same range"),
)
METERS = (
    Column("loss_d", float, PER_SEED, "critic loss, mean since the last evaluation"),
    Column("loss_g", float, PER_SEED, "generator loss, likewise"),
    Column("grad_norm_d", float, PER_SEED, "norm of the critic's gradient, likewise"),
    Column("grad_norm_g", float, PER_SEED, "norm of the generator's gradient, likewise"),
)
CLOCKS = (
    Column("critic_updates", int, ALL, "updates of each member's critic so far", over_seeds="same"),
    Column("generator_updates", int, ALL, "updates of each member's generator so far", over_seeds="same"),
    Column(
        "train_seconds", float, ALL, "training, all seeds together; its share of a pack", "seconds", "same"
    ),
    Column("eval_seconds", float, ALL, "evaluation, all seeds together", "seconds", "same"),
)
ERROR = Column("error", str, TRIALS, "traceback of a failed trial")


def of_hyperparameters() -> list[Column]:
    return [
        Column(name, h.type, ("trials", "runs"), h.meaning, h.unit) for name, h in hyperparameters().items()
    ]


def of_metric(name: str) -> list[Column]:
    """A metric's own column, and those made of it."""
    metric = METRICS[name]

    def column(suffix: str, tables: tuple[str, ...], meaning: str, over_seeds: str, of: str = "") -> Column:
        better = metric.higher_is_better
        return Column(name + suffix, float, tables, meaning, "", over_seeds, of, higher_is_better=better)

    return [
        column("", ALL, metric.meaning, "aggregate"),
        column("_iqr", TRIALS, "interquartile range over the seeds that did not diverge", "iqr", of=name),
        column("_cvar", TRIALS, "mean of the worst quarter of them", "cvar", of=name),
        column("_best", RUNS, "the best of all evaluations", ""),
    ]


def columns(table: str, metrics: Collection[str]) -> list[Column]:
    """A table's columns in order, those of `metrics` among them."""
    found = [*KEYS, *of_hyperparameters(), *PROGRESS, *STABILITY]
    found += [column for name in metrics for column in of_metric(name)]
    found = [column for column in (*found, *METERS, *CLOCKS, ERROR) if table in column.tables]
    for name, count in Counter(column.name for column in found).items():
        if count > 1:
            raise ValueError(f"{name} is a column already: no metric or hyperparameter can be called so")
    return found


def check_row(row: Row, *, written: bool) -> None:
    """Raise ValueError where a row of `curves` lacks what is required, or has a value of the wrong type.

    One that is `written` may have no other columns; one that is read may be of a metric that isn't here.
    """
    known = _curve_columns(tuple(METRICS))
    for name, column in known.items():
        value = row.get(name)
        if value is None:
            if column.required:
                raise ValueError(f"{name} is missing")
            continue
        types = (int, float) if column.type is float else column.type
        wrong = not isinstance(value, types) or isinstance(value, bool) != (column.type is bool)
        if wrong or (column.type is list and any(type(item) is not int for item in value)):
            raise ValueError(f"{name} = {value!r} is not of type {column.type.__name__}")
    if written and not row.keys() <= known.keys():
        raise ValueError(f"no column is declared for {', '.join(row.keys() - known.keys())}")


@cache
def _curve_columns(metrics: tuple[str, ...]) -> dict[str, Column]:
    """The columns of a row on disk, by name."""
    return {column.name: column for column in columns("curves", metrics)[len(KEYS) :]}
