"""Results of a space, made up: tables as a study's, with planted scores, and a folder that holds them."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from analysis.tables import SpaceResults
from study.machine.files import write_json
from study.metrics import metrics_for
from study.records.study_folder import StudyFolder
from study.records.tables import _schema
from study.space import parse_space
from tests.records.written import FLOOR
from tests.studies import study_plan

SPACE = {
    "method": "random",
    "early_terminate": {"type": "hyperband", "min_iter": 1, "eta": 3},
    "parameters": {
        "model": {"value": "wgan_gp"},
        "lr_g": {"distribution": "log_uniform_values", "min": 1e-5, "max": 1e-2},
        "lr_d": {"distribution": "log_uniform_values", "min": 1e-5, "max": 1e-2},
        "n_critic": {"values": [1, 5]},
    },
}
COMMAND = ["python", "-m", "study.tune", "--space", "a", "--seeds", "2", "--name", "mine"]
PRICE = 1.0  # what an untrained generator scores


def made(
    scores: Any,
    *,
    state: Any = "completed",
    origin: Any = None,
    evaluations: int = 3,
    space: str = "a",
    **changes: Any,
) -> SpaceResults:
    """A study of one space whose seeds come straight from PRICE to their last scores.

    Args:
        scores: (trials, seeds), or (trials, seeds, evaluations + 1); NaN: the seed has diverged by then.
        state, origin: of each trial, or of all; the first trial is the default where nothing is said.
        changes: of the plan.
    """
    given = np.asarray(scores, dtype=float)
    n, seeds = given.shape[:2]
    if given.ndim == 2:
        given = PRICE + (given[:, :, None] - PRICE) * np.linspace(0, 1, evaluations + 1)
    evaluations = given.shape[2] - 1
    known = {"spaces": {space: SPACE}, "trials": n, "seeds": seeds, "kimg": float(evaluations)}
    known |= {"eval_kimg": 1.0, "samplers": "qmc", "min_updates": 50}
    plan = study_plan(**known | changes)
    states = pd.Series(state, index=range(n), dtype=str)
    last = np.where(states == "pruned", 1, evaluations)  # stopped after the first evaluation
    random = np.random.default_rng(0)
    each = pd.DataFrame(
        {
            "study": plan.name,
            "space": space,
            "model": "wgan_gp",
            "dataset": plan.dataset,
            "trial_id": [f"{space}-{number:05d}" for number in range(n)],
            "lr_g": 10 ** random.uniform(-5, -2, n),
            "lr_d": 10 ** random.uniform(-5, -2, n),
            "beta1": 0.0,
            "beta2": 0.9,
            "n_critic": random.choice([1, 5], n),
            "optimizer": "adam",
            "init": "he",
            "batch_size": 64,
            "width": 32,
            "latent_dim": 16,
            "lambda_gp": 10.0,
        }
    )
    trial, seed, at = (index.ravel() for index in np.indices(given.shape))
    value = given.ravel()
    score = np.where(np.isnan(value), PRICE, value)
    curves = each.loc[trial].reset_index(drop=True)
    curves = curves.assign(
        seed=seed,
        evaluation=at,
        kimg=at.astype(float),
        kimg_planned=at.astype(float),
        score=score,
        diverged=np.isnan(value),
        **{plan.metric: value, "mode_coverage": np.clip(1 - value, 0, 1)},
        train_seconds=2.0 * at * seeds,
        eval_seconds=0.5,
        generator_updates=100 * at,
        critic_updates=500 * at,
        reason=pd.Series(np.isnan(value)).map({True: "non-finite critic loss", False: None}),
    )
    curves = curves[at <= last[trial]]
    ends = curves.groupby(["trial_id", "seed"], sort=False).tail(1).reset_index(drop=True)
    own = ends["trial_id"].str[-5:].astype(int).to_numpy()
    first = curves[curves["diverged"]].groupby(["trial_id", "seed"])["kimg"].min().rename("diverged_at_kimg")
    runs = ends.join(first, on=["trial_id", "seed"])
    survived = np.where(states[own] == "completed", "survived", "censored")
    runs["end"] = np.where(runs["diverged"], "diverged", survived)
    runs["kimg_at_risk"] = runs["diverged_at_kimg"].fillna(runs["kimg"])
    grouped = runs.groupby("trial_id", sort=False)
    spread = grouped["score"].std(ddof=1).fillna(np.nan).to_numpy()
    objective = grouped["score"].mean().to_numpy()
    trials = each.assign(
        origin=["default", *["sampler"] * (n - 1)] if origin is None else origin,
        state=states.to_numpy(),
        ended_by=states.map({"completed": "budget", "pruned": "asha", "diverged": "divergence"}).to_numpy(),
        kimg=last.astype(float),
        kimg_planned=plan.kimg,
        objective=objective,
        objective_low=objective - 2 * spread,
        objective_high=objective + 2 * spread,
        metric=plan.metric,
        aggregate=plan.aggregate,
        n_seeds=seeds,
        n_diverged=grouped["diverged"].sum().to_numpy(),
        n_censored=(runs["end"] == "censored").groupby(runs["trial_id"], sort=False).sum().to_numpy(),
        precision="fp32",
        mode_coverage=grouped["mode_coverage"].mean().to_numpy(),
        train_seconds=2.0 * last * seeds,
        eval_seconds=0.5 * (last + 1),
        started=pd.Timestamp("2026-01-01", tz="UTC"),
        ended=pd.Timestamp("2026-01-01", tz="UTC") + pd.to_timedelta(np.arange(n) + 1, unit="min"),
    )
    trials["failure_rate"] = (trials["n_diverged"] / seeds).where(trials["n_censored"] == 0)
    metrics = tuple(metrics_for(plan.dataset))
    tables = {"trials": trials, "runs": runs, "curves": curves}
    typed = {name: _typed(name, metrics, table) for name, table in tables.items()}
    floor: Any = {name: {"mean": FLOOR.get(name, 0.0), "std": 0.01} for name in metrics}
    record = {
        "command": COMMAND,
        "plan": plan.to_dict(),
        "hardware": {"cpus": 2, "cpu_name": "x", "gpus": []},
    }
    parsed = parse_space(space, plan.spaces[space])
    return SpaceResults(
        label=space,
        folder=Path("results/mine"),
        record=record,
        plan=plan,
        space=parsed,
        floor=floor,
        **typed,
    )


def _typed(name: str, metrics: tuple[str, ...], table: pd.DataFrame) -> pd.DataFrame:
    """With every column of the schema, in its type."""
    schema = _schema(name, metrics)
    missing = dict.fromkeys(set(schema.names) - set(table))
    whole = table.assign(**missing)[schema.names].reset_index(drop=True)
    return pa.Table.from_pandas(whole, schema, preserve_index=False).to_pandas()


def write(results: SpaceResults, folder: Path) -> Path:
    """A study's folder with these tables."""
    study = StudyFolder(folder)
    study.create(results.plan, COMMAND, dict(results.record["hardware"]))
    study.judges.mkdir()
    floor = {"dataset": results.plan.dataset, "sha256": "", "floor": dict(results.floor)}
    write_json(study.judges / f"{results.plan.dataset}-0.json", floor)
    for name in ("trials", "runs", "curves"):
        schema = _schema(name, tuple(metrics_for(results.plan.dataset)))
        table = pa.Table.from_pandas(getattr(results, name), schema, preserve_index=False)
        pq.write_table(table, folder / f"{name}.parquet")
    return folder


def normal(generator: np.random.Generator, trials: int, seeds: int, correlation: float) -> np.ndarray:
    """Standard normal scores (trials, seeds), those of a seed correlated over trials: alike luck."""
    shared = generator.standard_normal((1, seeds))
    own = generator.standard_normal((trials, seeds))
    return np.asarray(np.sqrt(correlation) * shared + np.sqrt(1 - correlation) * own)
