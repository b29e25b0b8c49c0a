"""What is reported of a trial: one evaluation of all its members. Importing this is cheap."""

from dataclasses import dataclass
from pathlib import Path

from study.metrics import METRICS
from study.records.schema import CLOCKS, METERS, Row


class FaultError(RuntimeError):
    """A trial's own fault, as its traceback."""


class SharedFaultError(RuntimeError):
    """A fault in the training of several trials as one pack: whose it was is seen when each goes on alone."""


class NotHereError(RuntimeError):
    """A process is asked for a trial that it does not have: the one that had it is no more."""


@dataclass(frozen=True)
class Evaluation:
    """One evaluation of all members.

    Attributes:
        rows: one curve row per seed, as curves.jsonl holds them.
        objective: aggregate of the members' scores, always finite.
        rank: the objective, ties of seeds at their price broken, for schedulers.
        state: 'running', or the state in which the trial has now ended.
        ended_by: what ended it; '' while it runs.
        image: the picture of samples.
        note: what happened on the way here that the user should know; '' if nothing.
    """

    evaluation: int
    kimg: float
    rows: list[Row]
    objective: float
    rank: float
    state: str
    ended_by: str
    image: Path | None
    note: str = ""

    def summary(self) -> dict[str, float]:
        """Figures for a log or a chart: means over the seeds, and each seed's as '<metric>/seed_<seed>'.

        No means where a seed has diverged: they would look the better, the more seeds die.
        """
        first = self.rows[0]
        figures = {name: first[name] for name in ("kimg", *(c.name for c in CLOCKS))} | {
            "objective": self.objective
        }
        for name in (*METRICS, *(c.name for c in METERS)):
            of_seeds = {row["seed"]: row[name] for row in self.rows if row.get(name) is not None}
            figures |= {f"{name}/seed_{seed}": value for seed, value in of_seeds.items()}
            if len(of_seeds) == len(self.rows):
                figures[name] = sum(of_seeds.values()) / len(of_seeds)
        figures["diverged_seeds"] = sum(row["diverged"] for row in self.rows)
        return figures
