"""A study's folder with trials of every fate, written by hand."""

from collections.abc import Callable
from typing import Any

import pandas as pd

from study.machine.files import write_json
from study.metrics import METRICS, metrics_for
from study.records.schema import METERS, Row
from study.records.study_folder import StudyFolder
from study.records.tables import TABLES, Results
from study.records.trial_folder import Ending, TrialFolder

UNTRAINED = {"w1": 1.0, "hq": 0.0, "modes_covered": 1, "mode_coverage": 0.125, "mode_kl": 2.0, "fd": 40.0}
FLOOR = {"w1": 0.0, "hq": 0.99, "modes_covered": 8.0, "mode_coverage": 1.0, "mode_kl": 0.0}  # of ring8
Add = Callable[..., TrialFolder]


def typed(metric: str, value: float) -> float:
    """A value of a metric, or, of one that counts, eight times as many."""
    return round(8 * value) if METRICS[metric].counts else value


def row(seed: int, evaluation: int, w1: float | None, dataset: str = "ring8", **changes: Any) -> Row:
    """A curve row as study.trial.run writes it; w1 None: the seed has diverged half an evaluation ago."""
    names = metrics_for(dataset)
    metric = names[0]
    diverged = w1 is None
    values: dict[str, Any] = dict.fromkeys(names) if diverged else {n: typed(n, 0.5) for n in names}
    values[metric] = w1
    mean = None if evaluation == 0 else 1.5
    return {
        "seed": seed,
        "evaluation": evaluation,
        "evaluated": f"2026-01-01T00:00:{evaluation:02d}.500+00:00",
        "host": "here",
        "kimg": float(evaluation),
        "critic_updates": 10 * evaluation,
        "generator_updates": 2 * evaluation,
        "train_seconds": 3.0 * evaluation,
        "eval_seconds": 0.25,
        **values,
        "score": UNTRAINED[metric] if w1 is None else min(w1, UNTRAINED[metric]),
        **{meter.name: mean for meter in METERS},
        "diverged": diverged,
        "diverged_at_kimg": evaluation - 0.5 if diverged else None,
        "reason": "non-finite critic loss" if diverged else None,
        "mode_counts": None if diverged else [3, 0, 2],
    } | changes


def write_floor(study: StudyFolder, **means: float) -> None:
    """What real data of ring8 score."""
    floor = {name: {"mean": mean, "std": 0.01} for name, mean in (FLOOR | means).items()}
    study.judges.mkdir(exist_ok=True)
    write_json(study.judges / "ring8-0.json", {"dataset": "ring8", "sha256": "0", "floor": floor})


def rows(*curves: list[float | None], **changes: Any) -> list[Row]:
    """One list of w1 per seed."""
    return [
        row(seed, evaluation, curve[evaluation], **changes)
        for evaluation in range(len(curves[0]))
        for seed, curve in enumerate(curves)
    ]


def ended(state: str, objective: float | None = 0.5, **changes: Any) -> Ending:
    by = {"completed": "budget", "pruned": "asha", "diverged": "divergence", "failed": "fault"}[state]
    return Ending(**{"state": state, "ended_by": by, "kimg": 2.0, "objective": objective, **changes})


def tables(study: StudyFolder, include_unfinished: bool = True) -> dict[str, pd.DataFrame]:
    results = Results(study)
    results.add_all(include_unfinished=include_unfinished)
    results.write()
    return {name: results.table(name) for name in TABLES}


def one_trial(study: StudyFolder) -> dict[str, Any]:
    record: Any
    (record,) = tables(study)["trials"].to_dict("records")
    return record


def runs_of(study: StudyFolder) -> list[Any]:
    return tables(study)["runs"].to_dict("records")


def every_fate(add: Add) -> None:
    """One trial of each fate."""
    add("a-00000", rows([1.0, 0.6, 0.4], [1.0, 0.7, 0.6]), ended("completed"))
    add("a-00001", rows([1.0, 0.9], [1.0, 0.9]), ended("pruned", 0.9, kimg=1.0))
    add("a-00002", rows([1.0, None], [1.0, None]), ended("diverged", 1.0, kimg=1.0))
    add("b-00000", rows([1.0], [1.0]), ended("failed", None, kimg=0.0, error="Traceback\nboom"))
    add("b-00001", rows([1.0, 0.8], [1.0, 0.7]))  # interrupted
    add("b-00002", [])  # interrupted before its first evaluation
    mangled = add("b-00003", rows([1.0, 0.8], [1.0, 0.7]), ended("completed"))
    (mangled.path / "config.json").write_text("{")
