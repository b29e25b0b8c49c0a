"""Tables of a space, written by hand: what each seed of each trial covers over its evaluations."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.tables import SpaceResults
from study.space import parse_space
from tests.studies import small, study_plan

Coverage = float | None  # None: the seed has diverged
Trial = tuple[str, Sequence[Sequence[Coverage]]]  # state, one list of evaluations a seed


def of_trial(trial: str, state: str, seeds: Sequence[Sequence[Coverage]], lr: float) -> tuple[Any, Any, Any]:
    """Its row of trials, of runs and of curves; the objective, w1, is 1 - the mean coverage at the end."""
    ends = [seed[-1] or 0.0 for seed in seeds]
    key = {"study": "mine", "space": "a", "trial_id": trial, "lr_g": lr, "lr_d": 1e-3}
    objective = 1 - sum(ends) / len(ends)
    row = {**key, "state": state, "objective": objective, "origin": "startup", "kimg": len(seeds[0]) - 1.0}
    runs = [
        {**key, "seed": k, "mode_coverage": seed[-1], "diverged": seed[-1] is None, "score": 1 - ends[k]}
        for k, seed in enumerate(seeds)
    ]
    curves = [
        {
            **key, "seed": k, "evaluation": e, "kimg": e + 0.01 * (e > 0), "kimg_planned": float(e),
            "mode_coverage": value, "diverged": value is None,
            "mode_counts": None if value is None else [round(80 * value), 0, 5],
        }
        for e in range(len(seeds[0]))
        for k, value in enumerate(seed[e] for seed in seeds)
    ]  # fmt: skip
    return row, runs, curves


def covered(*trials: Trial, folder: Path = Path("nowhere"), **plan: Any) -> SpaceResults:
    """A space of these trials, with lr_g 1e-4, 2e-3, 1e-2 in turn: the space's low end, within, high end."""
    known = study_plan(**{"spaces": {"a": small()}, "kimg": 2.0, "eval_kimg": 1.0, **plan})
    rows = [
        of_trial(f"a-{number:05d}", state, seeds, (1e-4, 2e-3, 1e-2)[number % 3])
        for number, (state, seeds) in enumerate(trials)
    ]
    tables = (
        pd.DataFrame([row for row, _, _ in rows]).astype({"objective": float}),
        pd.DataFrame([run for _, runs, _ in rows for run in runs]).astype({"mode_coverage": float}),
        pd.DataFrame([row for _, _, curves in rows for row in curves]).astype({"mode_coverage": float}),
    )
    return SpaceResults("a", folder, {}, known, parse_space("a", known.spaces["a"]), *tables, {})


def changed(results: SpaceResults, **values: Any) -> SpaceResults:
    fields: Mapping[str, Any] = {name: getattr(results, name) for name in SpaceResults.__dataclass_fields__}
    return SpaceResults(**{**fields, **values})
